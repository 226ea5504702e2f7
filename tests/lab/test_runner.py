"""Notebooks run from a terminal: Ctrl-C at any moment, what is kept, and what goes wrong."""

import os
import random
import shlex
import signal
import subprocess
import sys
import textwrap

import nbformat
import numpy as np
import pytest

from nst.core.config import BYTES_PER_PIXEL
from nst.core.memory import free_memory
from nst.lab import runner
from tests.conftest import ROOT, as_nobody
from tests.lab.striking import STRIKE, StruckClient, kernels, no_run_hangs

CELLS = 5
# a signal that comes just before a sleep does not end it, so each is short
WAIT = "import time; any(time.sleep(0.1) for _ in range(6000))"
AT_THE_END = f"get_ipython().events.register('post_execute', lambda: exec({STRIKE!r}))"


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(textwrap.dedent(source)) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def printed(path):
    """Return what each cell of a notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


@pytest.fixture(autouse=True)
def _watched():
    with no_run_hangs():
        yield


# --- Ctrl-C --------------------------------------------------------------------------------------


def seeded_moments():
    """The end of every cell, as the cell sees it, and 15 more moments."""
    ends = [(cell, "last statement") for cell in range(CELLS)]
    places = ("before", "busy", "execute_input", "stream", "post_execute", "idle", "after")
    others = [(cell, place) for cell in range(CELLS) for place in places]
    start = [(-1, "before"), (-1, "started"), (-1, "ready")]
    return ends + random.Random(0).sample(others, 12) + start


MOMENTS = [  # a quarter of them in every run, the others if the marker `slow` asks for them
    moment if number % 4 == 0 else pytest.param(moment, marks=pytest.mark.slow)
    for number, moment in enumerate(seeded_moments())
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_at_any_moment_ends_the_run(tmp_path, monkeypatch, moment):
    """No cell after the running one ends by itself, so a run that continued would not end."""
    monkeypatch.setattr(StruckClient, "moment", moment)
    monkeypatch.setattr(runner, "TerminalClient", StruckClient)
    cell, place = moment
    sources = [f"print({i})" for i in range(CELLS)]
    sources[cell + 1 :] = ["import time\nwhile True: time.sleep(0.1)"] * (CELLS - cell)
    if place in ("last statement", "post_execute"):
        sources[cell] += "\n" + (STRIKE if place == "last statement" else AT_THE_END)
    path = write_notebook(tmp_path / "some.ipynb", *sources)

    with pytest.raises(KeyboardInterrupt):
        runner.run(path, tmp_path / "made", {})
    assert kernels() == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    made = [file.name for file in (tmp_path / "made").iterdir()]
    if cell >= 0:
        assert made == ["some_unfinished.ipynb"]
        assert printed(tmp_path / "made" / made[0])[:cell] == [f"{i}\n" for i in range(cell)]
    else:
        assert made == []


def test_ctrl_c_ends_a_cell_that_would_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr(StruckClient, "moment", (0, "stream"))
    monkeypatch.setattr(runner, "TerminalClient", StruckClient)
    endless = "print(0)\nimport time\nwhile True: time.sleep(0.1)"
    path = write_notebook(tmp_path / "some.ipynb", endless, "print(1)")
    with pytest.raises(KeyboardInterrupt):
        runner.run(path, tmp_path / "made", {})
    assert kernels() == []
    assert printed(tmp_path / "made" / "some_unfinished.ipynb") == ["0\n", ""]


def test_a_second_ctrl_c_ends_a_cell_that_heeds_none(tmp_path, capfd):
    source = f"""
        while True:
            try:
                {STRIKE}
                {WAIT}
            except KeyboardInterrupt:
                pass
    """
    path = write_notebook(tmp_path / "some.ipynb", source)
    with pytest.raises(KeyboardInterrupt):
        runner.run(path, tmp_path / "made", {})
    assert kernels() == []
    said = capfd.readouterr()
    assert said.out.strip() == (
        "stopping; press Ctrl-C again to end the run immediately without saving more"
    )
    assert said.err == ""


def test_a_kernel_that_was_interrupted_in_its_own_code_is_not_waited_for(tmp_path):
    """KeyboardInterrupt is caught there and no reply sent: the kernel idles, the client waits."""
    source = f"""
        def finish_metadata(*_):
            {STRIKE}
            {WAIT}
        get_ipython().kernel.finish_metadata = finish_metadata
    """
    path = write_notebook(tmp_path / "some.ipynb", source, "1 / 0")
    with pytest.raises(KeyboardInterrupt):
        runner.run(path, tmp_path / "made", {})
    assert kernels() == []


AT_IMPORT = """
import os, runpy, signal, sys

class Striking:
    imports = 0

    def find_spec(self, name, path, target=None):
        self.imports += 1
        if self.imports == int(sys.argv[-1]):
            os.kill(os.getpid(), signal.SIGINT)

finder = Striking()
import nst.__main__  # until it begins, Ctrl-C is Python's
sys.meta_path.insert(0, finder)
sys.argv[1:1] = ["run", "--help"]
try:
    nst.__main__.main()
finally:
    print(finder.imports)
"""


def test_ctrl_c_while_python_imports_is_told_in_one_line():
    def start(moment):
        command = [sys.executable, "-c", AT_IMPORT, str(moment)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    imports = int(start(0).stdout.split()[-1])
    for moment in [1, *random.Random(0).sample(range(2, imports + 1), 5)]:
        done = start(moment)
        assert (done.stdout, done.stderr, done.returncode) == ("", "\nStopped\n", 130), moment


def test_a_run_that_is_stopped_before_it_made_anything_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(StruckClient, "moment", (-1, "started"))
    monkeypatch.setattr(runner, "TerminalClient", StruckClient)
    path = write_notebook(tmp_path / "some.ipynb", "print(1)")
    with pytest.raises(SystemExit) as ended:
        runner.main([str(path), "--output", str(tmp_path / "made")])
    assert ended.value.code == "Stopped before anything was made"
    assert capsys.readouterr() == ("", "")


def test_the_command_to_go_on_repeats_what_was_given(monkeypatch):
    given = ["--content", "my photo.jpg", "--style=a$5.jpg", "--size=64", "--output=out"]
    args = runner._parser().parse_args(given)
    monkeypatch.setenv("MAKELEVEL", "1")
    command = shlex.split(runner.command_to_go_on(args))
    assert command[:2] == ["make", "run"]
    assert set(command[2:]) == {
        *("CONTENT=my photo.jpg", "STYLE=a$5.jpg", "SIZE=64", "OUTPUT=out", "RESUME=1")
    }
    monkeypatch.delenv("MAKELEVEL")
    command = shlex.split(runner.command_to_go_on(args))
    again = runner._parser().parse_args(command[command.index("run") + 1 :])
    assert vars(again) == vars(args) | {"resume": True}


# --- what is kept --------------------------------------------------------------------------------


def test_a_failed_run_leaves_the_good_copy_and_no_shipped_output(tmp_path):
    path = write_notebook(tmp_path / "some.ipynb", "print('good')")
    runner.run(path, tmp_path / "made", {})
    good = (tmp_path / "made" / "some.ipynb").read_bytes()

    notebook = nbformat.read(write_notebook(path, "print(1)", "1 / 0", "print(3)"), as_version=4)
    for cell in notebook.cells:
        cell.outputs = [nbformat.v4.new_output("stream", text="as shipped")]
        cell.execution_count = 7
    nbformat.write(notebook, path)
    with pytest.raises(runner.CellFailed, match="division by zero"):
        runner.run(path, tmp_path / "made", {})
    assert (tmp_path / "made" / "some.ipynb").read_bytes() == good
    unfinished = tmp_path / "made" / "some_unfinished.ipynb"
    assert printed(unfinished) == ["1\n", "", ""]
    counts = [cell.execution_count for cell in nbformat.read(unfinished, as_version=4).cells]
    assert counts == [1, 2, None]


def test_a_stopped_run_is_overwritten_only_if_that_is_asked_for(tmp_path, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("RESUME = False")])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "some.ipynb")
    made = tmp_path / "made"
    state, command = made / "state.npz", (tmp_path / "some.ipynb", "--output", made)
    made.mkdir()
    np.savez(state, iteration=7, stopped=True)
    monkeypatch.delenv("MAKELEVEL", raising=False)
    said = refused(*command)
    assert "was stopped after iteration 7: add --resume to continue it, or --resume=0 " in said
    monkeypatch.setenv("MAKELEVEL", "1")
    assert "add RESUME=1 to continue it, or RESUME=0 " in refused(*command)
    runner.main([*map(str, command), "--resume"])
    assert state.exists()
    runner.main([*map(str, command), "--resume=0"])
    assert not state.exists()
    np.savez(state, iteration=7, stopped=False)
    runner.main([*map(str, command)])


@pytest.fixture
def small_disk():
    """No file can grow beyond 100,000 bytes, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_on_a_full_disk_the_first_error_is_the_one_that_is_told(tmp_path):
    fill = "print('x' * 200_000)\nraise OSError('the picture cannot be written')"
    path = write_notebook(tmp_path / "some.ipynb", fill)
    message = r"^\nCode cell 1, line 2: raise OSError.*\n  OSError: the picture cannot be written$"
    with pytest.raises(SystemExit, match=message):
        runner.main([str(path), "--output", str(tmp_path / "made")])
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.usefixtures("small_disk")
def test_on_a_full_disk_the_copy_is_written_whole_or_not_at_all(tmp_path):
    path = write_notebook(tmp_path / "some.ipynb", "print('x' * 200_000)")
    (tmp_path / "made").mkdir()
    copy = tmp_path / "made" / "some.ipynb"
    copy.write_text("an earlier one")
    message = r"^\n.*some\.ipynb cannot be written \(File too large\): free some disk space, or "
    with pytest.raises(SystemExit, match=message):
        runner.main([str(path), "--output", str(tmp_path / "made")])
    assert copy.read_text() == "an earlier one"
    assert list((tmp_path / "made").iterdir()) == [copy]


def refused(*arguments):
    """Run the command, check that it starts no kernel, and return its error."""
    with pytest.raises(SystemExit) as ended:
        runner.main([str(argument) for argument in arguments])
    assert kernels() == []
    return str(ended.value.code).strip()


def test_an_output_folder_that_is_a_file_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    assert refused("--output", tmp_path / "file") == (
        f"cannot create folder {tmp_path / 'file'} (File exists): choose a different output folder"
    )


def test_a_read_only_output_folder_is_refused_at_once(folder_for_all):
    path = write_notebook(folder_for_all / "some.ipynb", "print(1)")
    (folder_for_all / "made").mkdir(mode=0o555)

    def check():
        assert refused(path, "--output", folder_for_all / "made") == (
            f"{folder_for_all / 'made' / 'some.ipynb'} cannot be written (Permission denied): "
            "free some disk space, or choose a different output folder"
        )

    as_nobody(check)


def test_a_copy_never_replaces_the_notebook_itself(tmp_path):
    path = write_notebook(tmp_path / "some.ipynb", "print(1)")
    before = path.read_bytes()
    assert refused(path, "--output", tmp_path) == (
        f"the executed copy would replace {path}: choose a different output folder"
    )
    assert path.read_bytes() == before


def test_a_kernel_that_is_killed_gets_one_sentence(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("MAKELEVEL", raising=False)  # of the make that runs these tests
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    path = write_notebook(tmp_path / "some.ipynb", kill)
    assert refused(path, "--output", tmp_path / "made") == (
        "the notebook's kernel died, perhaps because memory ran out: "
        "close other programs and choose a smaller size"
    )
    state = f"open({str(tmp_path / 'made' / 'state.npz')!r}, 'w').close()\n"
    write_notebook(path, state + kill)
    said = refused(path, "--output", tmp_path / "made")
    assert "\n" not in said
    assert "close other programs and continue from its last report: " in said
    assert said.endswith(f"run --output={tmp_path / 'made'} --resume=1 {path}")
    assert capfd.readouterr() == ("", "")


def test_a_cell_that_fails_is_named_with_its_line_the_reason_and_the_copy(tmp_path):
    path = write_notebook(tmp_path / "some.ipynb", "print(1)", "x = 1\nx.shape")
    assert refused(path, "--output", tmp_path / "made") == (
        "Code cell 2, line 2: x.shape\n"
        "  AttributeError: 'int' object has no attribute 'shape'\n"
        f"The executed copy: {os.path.relpath(tmp_path / 'made' / 'some_unfinished.ipynb')}"
    )


def test_a_course_notebook_s_failure_ends_in_the_diagnosis_of_the_kernel(tmp_path):
    sources = ["import tensorflow as tf\nsess = tf.Session()", "y = 1", "del y", "print(y)"]
    path = write_notebook(tmp_path / "old.ipynb", *sources)
    said = refused(path, "--output", tmp_path / "made").splitlines()
    assert said[0] == "Code cell 4, line 1: print(y)"
    assert said[2] == ("  name 'y' is not defined: run first the cell that begins with “y = 1”")


@pytest.mark.parametrize("command", ["!read -p 'Proceed? ' answer", "!cat"])
def test_a_command_that_reads_from_the_terminal_ends(tmp_path, command):
    path = write_notebook(tmp_path / "some.ipynb", f"{command}\n!echo done")
    runner.run(path, tmp_path / "made", {})
    assert "done\n" in printed(tmp_path / "made" / "some.ipynb")[0]


def test_a_script_runs_as_a_notebook(tmp_path, capsys):
    (tmp_path / "old.py").write_text(
        "import argparse, tensorflow as tf\nargs = argparse.ArgumentParser().parse_args()\n"
        "# In[2]:\nprint(tf.Session().run(tf.constant(3)), __file__)\n"
        "if __name__ == '__main__':\n    open('made.txt', 'w').close()\n",
        encoding="utf-8-sig",
    )
    runner.main([str(tmp_path / "old.py"), "--output", str(tmp_path / "made")])
    assert capsys.readouterr().out.startswith("3 old.py\nFinished in ")
    assert {p.name for p in (tmp_path / "made").iterdir()} == {"old.ipynb", "made.txt"}


def test_a_byte_order_mark_is_no_damage(tmp_path):
    path = write_notebook(tmp_path / "some.ipynb", "print(1)")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [cell.source for cell in runner.read_notebook(path).cells] == ["print(1)"]


def test_what_was_made_is_known_on_a_disk_whose_clock_is_behind(tmp_path, capsys):
    made = tmp_path / "made" / "evolution.gif"
    source = f"""
        import os
        from pathlib import Path
        Path({str(made)!r}).touch()
        os.utime({str(made)!r}, (1, 1))
    """
    path = write_notebook(tmp_path / "some.ipynb", source)
    runner.main([str(path), "--output", str(tmp_path / "made")])
    assert "evolution.gif" in capsys.readouterr().out


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--iterations=0",
            "argument --iterations: 0 is not a whole number of 1 or more: nst run --help",
        ),
        ("--iterations -5", "argument --iterations: -5 is not a whole number of 1 or more: "),
        ("--size=15", "argument --size: 15 is not a whole number of 16 or more: "),
        ("--size=big", "argument --size: big is not a whole number of 16 or more: "),
        ("--size=1000000000", "reading an image at 1000000000×750000000 pixels takes 9,"),
        ("--resume=perhaps", "argument --resume: perhaps is neither 1 nor 0: "),
        (
            "--precision=float16",
            "argument --precision: float16 is not one of float32, bfloat16, auto",
        ),
        ("--contents=x.jpg", "nst run: unknown option --contents, did you mean --content: nst r"),
        ("--content -x.jpg", "argument --content: expected one argument: nst run --help"),
        ("--content=-x.jpg", "-x.jpg not found: "),
        ("--content=~/nowhere.jpg", "nowhere.jpg not found: check the name of the image"),
        ("--style=http://a.org/b.jpg", "http://a.org/b.jpg is a web address: download the image"),
        ("--style=images", "images is a folder, not an image: name an image in it, "),
        ("*.jpg", "*.jpg not found: name one image, "),
        ("pyramid.jpg", "pyramid.jpg not found: did you mean images/pyramid.jpg?"),
        ("--style=pyramids.jpg", "not found: did you mean images/pyramid.jpg?"),
        ("a.ipynb b.ipynb", "b.ipynb is one argument too many"),
        ("nowhere.ipynb", "nowhere.ipynb cannot be read (No such file or directory): check the no"),
        ("images", "images cannot be read (Is a directory): check the notebook's name"),
        (
            "README.md",
            "README.md is not a Jupyter notebook, or is damaged: download or save it ",
        ),
    ],
)
def test_what_cannot_be_run_gets_one_sentence_at_once(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(ROOT)
    said = refused(*arguments.split(), "--output", tmp_path)
    assert message in said
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_picture_s_name_for_the_folder_of_results_is_refused(tmp_path):
    said = refused("--output", tmp_path / "mine.jpg")
    assert "mine.jpg looks like a picture, but the output is a folder" in said
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_given_by_name_or_by_position():
    by_name = runner._parser().parse_args(["--content=a.jpg", "--style", "b.png", "some.ipynb"])
    assert runner._parser().parse_args(["some.ipynb", "a.jpg", "b.png"]) == by_name


@pytest.mark.parametrize("text", ["[]", "{}", '"cells"', '{"cells": 1}', '{"cells": [1]}', ""])
def test_what_is_no_notebook_gets_one_sentence(tmp_path, text):
    path = tmp_path / "some.ipynb"
    path.write_text(text)
    assert refused(path, "--output", tmp_path / "made").startswith(
        f"{path} is not a Jupyter notebook, or is damaged: download or save it again as .ipynb"
    )


def test_a_size_that_would_not_fit_into_memory_is_refused_at_once():
    size = round(2 * (free_memory() / BYTES_PER_PIXEL) ** 0.5)
    assert refused("--size", size).startswith(f"training at {size}×")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "p.jpg"
    os.mkfifo(path)
    command = [sys.executable, "-m", "nst", "run", "--content", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == f"\n{path} is a pipe or a device, not an image: name a file\n"


def test_in_a_folder_that_was_deleted_the_command_says_so(tmp_path):
    (tmp_path / "gone").mkdir()
    command = f'cd gone; rmdir ../gone; PYTHONPATH="{ROOT}" exec "{sys.executable}" -m nst run'
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == (
        "the folder you are in was deleted: change to another one and try again\n"
    )


def test_an_output_folder_that_is_deleted_meanwhile_is_made_again(tmp_path):
    path = write_notebook(tmp_path / "some.ipynb", "import os\nos.rmdir('made')\nprint(1)")
    runner.run(path, tmp_path / "made", {})
    assert printed(tmp_path / "made" / "some.ipynb") == ["1\n"]


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("0", False), ("no", False)]
)
def test_resume_can_be_said_not_to(text, value):
    assert runner._parser().parse_args([f"--resume={text}"]).resume is value
    assert runner._parser().parse_args(["--resume"]).resume is True


def test_a_name_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert runner.from_project("~/photo.jpg") == str(tmp_path / "photo.jpg")
    args = runner._parser().parse_args(["~/some.ipynb", "--output=~/made"])
    assert (args.notebook, args.output) == (tmp_path / "some.ipynb", tmp_path / "made")
