"""A course notebook from elsewhere finds what it expects, and overwrites nothing."""

import pytest

from nst.core.config import CONFIG, OWN_WEIGHTS
from nst.lab import working_folder as module
from nst.lab.working_folder import working_folder


def test_a_notebook_alone_finds_pictures_weights_and_an_output_folder(tmp_path, monkeypatch):
    weights = tmp_path / OWN_WEIGHTS.name
    monkeypatch.setattr(module, "OWN_WEIGHTS", weights)
    weights.write_text("weights")
    (tmp_path / "Downloads").mkdir()
    with working_folder(tmp_path / "Downloads" / "old.ipynb", "", tmp_path / "made") as folder:
        assert (folder / CONFIG.CONTENT_IMAGE).is_file()
        for name in ("output/0.png", f"pretrained-model/{weights.name}", "../log.txt"):
            (folder / name).write_text("new")
        (folder / "results").mkdir()
        (folder / "results" / "log.txt").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"Downloads", "made", weights.name}
    assert weights.read_text() == "weights"
    assert files_in(tmp_path / "made") == {
        *("0.png", f"pretrained-model/{weights.name}", "log.txt", "results/log.txt")
    }
    assert list((tmp_path / "Downloads").iterdir()) == []


def test_the_notebook_s_own_files_come_first_and_are_not_overwritten(tmp_path, monkeypatch):
    """Neither small ones, nor large ones and folders that it names, here and in ../"""
    monkeypatch.setattr(module, "SMALL_FILE", 5)
    home = tmp_path / "home"
    own = ["images/pyramid.jpg", "output/a.jpg", "nst_utils.py", "x.png", "data/in/a.csv"]
    own += ["large.bin", "../data/b.csv", "../c.txt"]
    for name in own:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("own, large" if name == "large.bin" else "own")
    code = (
        "from nst_utils import *; open('data/in/a.csv'), '../data/b.csv', '../c.txt', 'large.bin'"
    )
    with working_folder(home / "old.ipynb", code, tmp_path / "made") as folder:
        assert (folder / "images" / "impressionist.jpg").is_file()
        for name in own:
            if name != "output/a.jpg":
                assert (folder / name).read_text().startswith("own")
            (folder / name).write_text("new")
    assert {(home / name).read_text() for name in own} == {"own", "own, large"}
    assert files_in(tmp_path / "made") == {name.removeprefix("../") for name in own} - {
        "output/a.jpg"
    } | {"a.jpg"}


def test_what_is_neither_small_nor_named_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "SMALL_FILE", 2)
    monkeypatch.setattr(module, "LARGEST", 6)
    for name in ("movie.mp4", "named.bin", "too_large.bin"):
        (tmp_path / name).write_text(name[:7])
    (tmp_path / "named.bin").write_text("named")
    (tmp_path / "private").mkdir()
    code = "open('named.bin'), open('too_large.bin')"
    with working_folder(tmp_path / "old.ipynb", code, tmp_path / "made") as folder:
        assert {path.name for path in folder.iterdir()} - {"images", "pretrained-model"} == {
            *("output", "named.bin")
        }
    assert f"{tmp_path / 'too_large.bin'} is left out" in capsys.readouterr().out


def test_results_are_kept_if_the_run_fails_and_without_links(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(module.os, "symlink", refuse)
    with (
        pytest.raises(KeyboardInterrupt),
        working_folder(tmp_path / "old.ipynb", "", tmp_path / "made") as folder,
    ):
        (folder / "output" / "0.png").write_text("new")
        raise KeyboardInterrupt
    assert files_in(tmp_path / "made") == {"0.png"}


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
