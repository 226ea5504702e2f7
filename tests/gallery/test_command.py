"""The gallery: painting many pairs, here and on a Dask cluster."""

import shutil
import sys

import dask
import pytest
from distributed import LocalCluster
from PIL import Image

from nst.gallery import command as gallery
from nst.gallery.pairs import Pair

SIZE = (48, 36)


@pytest.fixture
def values(fake_weights):
    return {"VGG_MODEL": str(fake_weights), "ITERATIONS": 2, "SIZE": max(SIZE)}


@pytest.fixture
def pairs(tmp_path):
    """Three pairs of plain images."""
    pairs = []
    for i, color in enumerate(("red", "green", "blue")):
        content, style = tmp_path / f"{color}.png", tmp_path / f"style{i}.png"
        Image.new("RGB", SIZE, color).save(content)
        Image.linear_gradient("L").rotate(90 * i).save(style)
        pairs.append(Pair(f"{color}_style{i}", content, style))
    return pairs


@pytest.fixture
def command(capsys):
    """Run `nst gallery` with arguments; return its exit status or message, and its output."""

    def run_command(*arguments):
        with pytest.raises(SystemExit) as ended:
            gallery.main([*map(str, arguments)])
        return ended.value.code, capsys.readouterr().out

    return run_command


# IPython runs this in every kernel, the child of a process that paints.
STARTUP = """
import os, pathlib, psutil, signal

def before_training(info):
    if "model_nn(sess, generated_image" in info.raw_cell:
        painter = psutil.Process(os.getppid())
        kernels = [child for child in painter.children() if "ipykernel" in str(child.cmdline())]
        log = pathlib.Path({log!r})
        first = not log.exists()
        with log.open("a") as file:
            print(painter.pid, len(kernels), file=file)
        if first:
            painter.send_signal(signal.{signal})

get_ipython().events.register("pre_run_cell", before_training)
"""


@pytest.fixture
def signal_the_first_painter(tmp_path, monkeypatch):
    """Send a signal to the first process that trains; return the log of all trainings.

    A line of the log is the process id of the painter and its number of kernels.
    """

    def prepare(signal):
        log = tmp_path / "log"
        startup = tmp_path / "ipython" / "profile_default" / "startup" / "signal.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP.format(log=str(log), signal=signal))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        return log

    return prepare


# --- painting here -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["paint", "lab"])
def test_a_failed_pair_stops_no_other(pairs, values, tmp_path, capsys, method):
    output = tmp_path / "made"
    pairs[0].content.write_text("<!DOCTYPE html><title>404</title>")
    pairs[1].style.unlink()
    rows = gallery.make_gallery(pairs, output, method, values)

    assert [row.result for row in rows] == ["failed", "failed", "made"]
    assert "content/red.png is not an image" in rows[0].why  # not the scratch folder's path
    assert rows[1].why.startswith(f"{pairs[1].style} cannot be read")
    assert [path.name for path in output.iterdir()] == ["blue_style2.jpg"]
    with Image.open(output / "blue_style2.jpg") as picture:
        assert picture.size == SIZE


def test_the_time_left_is_estimated_from_what_is_done():
    pairs = [Pair(str(i), None, None) for i in range(5)]
    rows = {pairs[0]: gallery.Row("0", "made", 20, ""), pairs[1]: gallery.Row("1", "made", 40, "")}
    rows[pairs[2]] = gallery.Row("2", "failed", "", "why")
    assert gallery._left(rows, pairs) == "(about 1 min 0 s left)"
    assert gallery._left({}, pairs) == ""


def test_iterations_are_for_the_lab(command, tmp_path):
    message, _ = command("--iterations", 2, "--output", tmp_path / "made")
    assert "--method lab" in message
    assert not (tmp_path / "made").exists()


def test_an_interrupted_pair_is_not_made(pairs, values, tmp_path, signal_the_first_painter):
    signal_the_first_painter("SIGINT")
    with pytest.raises(KeyboardInterrupt):
        gallery.make_gallery(pairs, tmp_path / "made", "lab", values)
    assert list((tmp_path / "made").iterdir()) == []


def test_existing_results_are_skipped_and_failures_are_in_the_table(pairs, tmp_path, command):
    path, output = tmp_path / "pairs.csv", tmp_path / "made"
    path.write_text("content,style\nred.png,style0.png\ngreen.png,style1.png\n")
    output.mkdir()
    for pair in pairs[:2]:
        shutil.copy(pair.content, output / f"{pair.name}.jpg")
    before = {file.name: file.read_bytes() for file in output.iterdir()}

    status, table = command("--pairs", path, "--output", output)
    assert status == 0
    assert table.count("skipped           the result exists already") == 2
    assert {name: (output / name).read_bytes() for name in before} == before

    (output / "green_style1.jpg").unlink()
    pairs[1].content.unlink()
    status, table = command("--pairs", path, "--output", output)
    assert status == 1
    assert f"green_style1  failed            {tmp_path / 'green.png'} cannot be read" in table


def test_an_impossible_output_folder_is_refused(tmp_path, command):
    (tmp_path / "file").touch()
    message, _ = command("--output", tmp_path / "file")
    assert "file" in message
    assert "choose a different output folder" in message


# --- on a cluster --------------------------------------------------------------------------------


def test_every_pair_is_made_once_though_a_worker_is_killed(
    pairs, values, tmp_path, signal_the_first_painter
):
    output, scratch = tmp_path / "made", tmp_path / "scratch"
    log = signal_the_first_painter("SIGKILL")
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None, local_directory=scratch
        ) as cluster,
        cluster.get_client() as client,
    ):
        rows = gallery.make_gallery(pairs, output, "lab", values, client)

    assert [row.result for row in rows] == ["made"] * 3, rows
    assert {path.name for path in output.iterdir()} == {f"{pair.name}.jpg" for pair in pairs}
    trainings = [line.split() for line in log.read_text().splitlines()]
    assert len(trainings) == 4  # the killed one, and one for each pair
    assert {kernels for _, kernels in trainings} == {"1"}  # one at a time, of two threads
    killed = trainings[0][0]
    assert killed not in [worker for worker, _ in trainings[1:]]


def test_missing_workers_are_reported_and_waited_for(pairs, tmp_path, monkeypatch, capsys):
    """The job of a worker has tests of its own; here it fails immediately, in this process."""

    def paint_pair(*_):
        raise RuntimeError("painted by a worker that came")

    monkeypatch.setattr("nst.gallery.job.paint_pair", paint_pair)
    with (
        LocalCluster(
            n_workers=0, processes=False, dashboard_address=None, local_directory=tmp_path
        ) as local,
        local.get_client() as client,
    ):
        monkeypatch.setattr(client, "wait_for_workers", lambda count: local.scale(count))
        rows = gallery.make_gallery(pairs, tmp_path / "made", client=client)
    assert capsys.readouterr().out.startswith("no workers yet, waiting")
    assert [row.why for row in rows] == 3 * ["painted by a worker that came"]


def test_a_scheduler_that_does_not_answer_is_refused(tmp_path, command):
    with dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        message, _ = command("--scheduler", "tcp://127.0.0.1:1", "--output", tmp_path)
    assert message.startswith("no Dask scheduler answers at tcp://127.0.0.1:1")
    assert "\n" not in message


def test_without_dask_the_scheduler_option_names_the_package(monkeypatch, command):
    monkeypatch.setitem(sys.modules, "distributed", None)
    message, _ = command("--scheduler", "tcp://127.0.0.1:1")
    assert "pip install distributed" in message
