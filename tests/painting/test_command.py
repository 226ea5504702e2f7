"""`nst paint`: what the terminal shows, the files it writes, Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nst.core.interrupts import InterruptGuard
from nst.core.progress import ProgressLine
from nst.painting import command as paint_command
from nst.painting import options, painter
from nst.painting.painter import Progress
from tests.conftest import ROOT


@pytest.fixture
def pictures(tmp_path):
    """Paths of a photo, (60, 80) pixels, and of a painting."""
    rng = np.random.default_rng(0)
    photo, painted = tmp_path / "photo.png", tmp_path / "painting.jpg"
    Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).save(photo)
    Image.linear_gradient("L").convert("RGB").save(painted)
    return photo, painted


@pytest.fixture
def command(monkeypatch, capsys, fake_weights):
    """Run `nst paint` in this process; return its exit status and what it printed."""
    monkeypatch.setattr(painter, "EVALUATIONS", (4, 3, 2, 2))

    def run(*arguments):
        try:
            paint_command.main([*map(str, arguments), f"--weights={fake_weights}"])
            status = None
        except SystemExit as ended:
            status = ended.code
        return status, capsys.readouterr().out

    return run


def start(*arguments, **options):
    """Start the real command."""
    return subprocess.Popen(
        [sys.executable, "-m", "nst", "paint", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        **options,
    )


def test_a_picture_is_painted_at_the_size_that_is_asked_for(command, pictures, tmp_path):
    made = tmp_path / "new" / "made.png"
    status, printed = command(*pictures, "--size", 120, "--output", made)
    assert status is None
    assert Image.open(made).size == (120, 90)
    lines = printed.splitlines()
    assert lines[0] == "photo.png in the style of painting.jpg, 120×90 pixels"
    assert lines[1].startswith("  level 1 of 2, 100×75 pixels ")
    assert lines[-1].startswith("Finished in ")
    assert lines[-1].endswith(os.path.relpath(made))
    assert list(made.parent.iterdir()) == [made]


def test_the_picture_of_each_level_is_kept(command, pictures, tmp_path):
    made, steps = tmp_path / "made.png", tmp_path / "steps"
    status, _ = command(*pictures, "--size=120", f"--output={made}", f"--steps={steps}")
    assert status is None
    sizes = {path.name: Image.open(path).size for path in steps.iterdir()}
    assert sizes == {"made_level_1.png": (100, 75), "made_level_2.png": (120, 90)}


def test_a_folder_of_photos_is_painted(command, pictures, tmp_path):
    photo, painted = pictures
    folder, made = tmp_path / "photos", tmp_path / "made"
    folder.mkdir()
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").touch()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(photo.read_bytes())
    status, printed = command(folder, painted, "--size=48", f"--output={made}")
    assert status == "1 of the photos failed: broken.jpg"
    assert printed.count("Finished in ") == 2
    assert {path.name for path in made.iterdir()} == {"a_painting.jpg", "b_painting.jpg"}


def test_a_folder_without_photos_is_refused(command, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    status, _ = command(tmp_path / "empty", pictures[1])
    assert status.endswith("empty contains no photos: name another folder")


def test_every_option_reaches_the_painter(monkeypatch, pictures, tmp_path, fake_weights):
    asked = []
    real = painter.paint

    def paint(*arguments, **settings):
        asked.append((*arguments, settings))
        return real(*arguments, **settings | {"size": 16})

    monkeypatch.setattr(painter, "paint", paint)
    photo, painted = map(str, pictures)
    flags = ["--size=48", "--strength=light", "--colours=content", "--strokes=2"]
    flags += ["--precision=float32", "--memory=5"]
    paths = ["--weights", str(fake_weights), "--output", str(tmp_path / "made.jpg")]
    paint_command.main([photo, f"{painted}:2", f"{photo}:0.5", *flags, *paths])
    settings = {"size": 48, "strength": 0.25, "colors": "content", "strokes": 2.0}
    settings |= {"precision": "float32", "model": str(fake_weights), "memory": 5.0}
    assert asked == [(photo, {painted: 2.0, photo: 0.5}, settings)]


def test_weights_of_styles_follow_a_colon(tmp_path):
    assert paint_command.weighted("a.jpg:2") == ("a.jpg", 2)
    assert paint_command.weighted("a.jpg") == ("a.jpg", 1)
    assert paint_command.weighted(r"C:\pictures\a.jpg") == (r"C:\pictures\a.jpg", 1)
    odd = tmp_path / "odd:2"
    odd.touch()
    assert paint_command.weighted(str(odd)) == (str(odd), 1)


def test_results_are_named_by_photo_and_styles(tmp_path):
    paths = options.output_paths("a/photo.jpg", {"b/one.png": 1, "two.jpg": 1}, tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in islice(paths, 3)]
    assert names == [f"photo_one_two{n}.jpg" for n in ("", "_2", "_3")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{photo}", "{folder}/paintin.jpg"], "paintin.jpg not found: did you mean"),
        (["{photo}", "{painted}", "--output={folder}/made.txt"], "made.txt has the unknown"),
        (["{photo}", "{painted}", "--output={photo}"], "{photo} exists already"),
        (["{photo}", "{painted}", "--output={photo}/made.jpg"], "cannot create folder {photo}"),
        (["{photo}", "{painted}", "--size=8"], "8 is not a whole number of 16 or more"),
        (["{photo}", "{painted}", "--size=20000"], "painting on 20000×15000 pixels takes"),
        (["{photo}", "{painted}", "--strength=7"], "7 is not light, medium, strong or a number"),
        (["{photo}"], "STYLE is missing"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(command, pictures, tmp_path, arguments, words):
    names = {"photo": pictures[0], "painted": pictures[1], "folder": tmp_path}
    if not any("--output" in argument for argument in arguments):
        arguments = [*arguments, "--output={folder}/made.jpg"]
    message, _ = command(*(argument.format(**names) for argument in arguments))
    assert words.format(**names) in message
    assert "\n" not in message
    assert not (tmp_path / "made.jpg").exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_missing_weights_are_refused(pictures, tmp_path):
    with pytest.raises(SystemExit, match=r"none\.mat .*make weights"):
        output = f"--output={tmp_path / 'made.jpg'}"
        paint_command.main([*map(str, pictures), "--weights=none.mat", output])


# --- the real command ----------------------------------------------------------------------------


def wait_for(condition, process):
    """Wait until a condition holds, or the process ends."""
    while not condition() and process.poll() is None:
        time.sleep(0.05)


def test_ctrl_c_keeps_the_picture_at_full_size(pictures, tmp_path, fake_weights):
    made = tmp_path / "made" / "picture.jpg"
    arguments = [*pictures, "--size=900", "--weights", fake_weights, "--output", made]
    with start(*arguments) as process:
        wait_for(made.exists, process)  # an intermediate result, of a level of 100×75
        assert Image.open(made).size == (900, 675)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=300)
    last = printed.splitlines()[-1]
    assert last.startswith("Stopped at ")
    assert last.endswith(f"%: the picture so far is {os.path.relpath(made, Path.cwd())}")
    assert process.returncode == 0
    assert Image.open(made).size == (900, 675)
    assert list(made.parent.iterdir()) == [made]
    begins = ("photo.png in the style", "  level ", "  stopping", "Stopped at")
    assert [line for line in printed.splitlines() if line and not line.startswith(begins)] == []


def test_ctrl_c_before_there_is_a_picture_exits(pictures, tmp_path, fake_weights):
    arguments = [*pictures, "--weights", fake_weights, "--output", tmp_path / "made.jpg"]
    with start(*arguments) as process:
        process.stdout.readline()  # then it imports TensorFlow
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=300)
    assert rest.split() in ([], ["Stopped"])
    assert process.returncode != 0
    assert not (tmp_path / "made.jpg").exists()


def limit_files():
    """Limit files to 4,000 bytes: a full disk for one process."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_is_reported_in_one_sentence(pictures, tmp_path, fake_weights):
    made = tmp_path / "made.png"
    arguments = [*pictures, "--size=60", "--weights", fake_weights, "--output", made]
    with start(*arguments, preexec_fn=limit_files) as process:
        printed, _ = process.communicate(timeout=300)
    why = f"{made} cannot be written (File too large): free some disk space, or choose a"
    assert printed.count(why) == 2  # once for intermediate results, once for the result
    assert "painting continues" in printed
    assert printed.splitlines()[-1].startswith(why)
    assert process.returncode == 1
    assert not made.exists()


def test_a_result_that_cannot_be_written_is_kept_elsewhere(tmp_path):
    in_the_way = tmp_path / "made"
    in_the_way.touch()
    progress = Progress(np.zeros((1, 20, 30, 3), np.float32), (40, 60), 1, 1, 1.0, 0.0)
    guard, line = InterruptGuard(), ProgressLine()
    results = paint_command.IntermediateResults(in_the_way / "picture.png", guard, line)
    with pytest.raises(OSError, match=r"^cannot create folder .*made \(File ex.*\): ") as error:
        results.finish(progress)
    kept = Path(str(error.value).partition("until then the picture is in ")[2])
    assert Image.open(kept).size == (60, 40)
