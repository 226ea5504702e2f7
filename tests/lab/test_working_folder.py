"""A course notebook from elsewhere finds what it expects, and overwrites nothing."""

from nst.core.config import CONFIG, OWN_WEIGHTS
from nst.lab import working_folder as module
from nst.lab.working_folder import working_folder


def test_a_notebook_alone_finds_pictures_weights_and_an_output_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "OWN_WEIGHTS", tmp_path / OWN_WEIGHTS.name)
    (tmp_path / OWN_WEIGHTS.name).write_text("weights")
    (tmp_path / "Downloads").mkdir()
    with working_folder(tmp_path / "Downloads" / "old.ipynb", tmp_path / "made") as folder:
        assert (folder / CONFIG.CONTENT_IMAGE).is_file()
        assert (folder / "pretrained-model" / OWN_WEIGHTS.name).read_text() == "weights"
        (folder / "output" / "0.png").write_text("picture")
        (folder / "results").mkdir()
        (folder / "results" / "log.txt").write_text("log")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["Downloads", "made", OWN_WEIGHTS.name]
    )
    assert (tmp_path / "made" / "0.png").read_text() == "picture"
    assert (tmp_path / "made" / "results" / "log.txt").read_text() == "log"
    assert list((tmp_path / "Downloads").iterdir()) == []


def test_the_notebook_s_own_files_come_first_and_are_not_overwritten(tmp_path, monkeypatch):
    home = tmp_path / "home"
    for folder in ("images", "output", "data"):
        (home / folder).mkdir(parents=True)
    own = ["images/pyramid.jpg", "output/generated_image.jpg", "nst_utils.py", "result.png"]
    for name in [*own, "data/a.csv", "../beside.txt"]:
        (home / name).write_text("own")
    with working_folder(home / "old.ipynb", tmp_path / "made") as folder:
        assert (folder / "images" / "pyramid.jpg").read_text() == "own"
        assert (folder / "images" / "impressionist.jpg").is_file()
        assert (folder / "data" / "a.csv").read_text() == "own"
        assert (folder / ".." / "beside.txt").read_text() == "own"
        for name in ("output/generated_image.jpg", "result.png"):
            (folder / name).write_text("new")
    assert {(home / name).read_text() for name in own} == {"own"}
    made = {path.name: path.read_text() for path in (tmp_path / "made").iterdir()}
    assert made == {"generated_image.jpg": "new", "result.png": "new"}


def test_large_files_are_linked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "COPIED_FILE", 2)
    (tmp_path / "large").write_text("large")
    with working_folder(tmp_path / "old.ipynb", tmp_path / "made") as folder:
        assert (folder / "large").is_symlink()
    assert (tmp_path / "large").read_text() == "large"
