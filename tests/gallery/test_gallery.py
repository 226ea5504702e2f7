"""The gallery: lists of pairs, painting here and on a Dask cluster, the contact sheet."""

import io
import re
import shutil
import sys
import threading
from contextlib import redirect_stdout
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from distributed import LocalCluster
from PIL import Image

from nst.gallery import command as gallery
from nst.gallery import contact_sheet, dask_cluster
from nst.gallery.pairs import Pair, own_pairs, read_pairs
from nst.painting import painter

SIZE = (48, 36)


@pytest.fixture
def values(fake_weights):
    return {"VGG_MODEL": str(fake_weights), "ITERATIONS": 2, "SIZE": max(SIZE), "METHOD": "lab"}


@pytest.fixture
def pairs(tmp_path):
    """Three pairs of plain pictures."""
    for i, name in enumerate(("red", "green", "blue")):
        Image.new("RGB", SIZE, name).save(tmp_path / f"{name}.png")
        Image.linear_gradient("L").rotate(90 * i).save(tmp_path / f"style{i}.png")
    names = ("red", "green", "blue")
    return [
        Pair(f"{name}_style{i}", tmp_path / f"{name}.png", tmp_path / f"style{i}.png")
        for i, name in enumerate(names)
    ]


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `nst gallery` with arguments; return its exit status, and what it printed and said."""

    def run_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["gallery.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            gallery.main()
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
    """Have the first process that trains get a signal then; return the log of all trainings.

    A line of the log is the process id of the painter and how many kernels it has.
    """

    def prepare(signal):
        log = tmp_path / "log"
        startup = tmp_path / "ipython" / "profile_default" / "startup" / "signal.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP.format(log=str(log), signal=signal))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        return log

    return prepare


# --- lists of pairs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"content,style\na/one.jpg,b/two.png\n",
        b"\xef\xbb\xbfContent;Style;note\r\na/one.jpg;b/two.png;\r\n;;\r\n",
        b'style\t content \n\n"b/two.png"\ta/one.jpg',
        b"content,style,name\na/one.jpg, b/two.png ,\n",
    ],
    ids=["commas", "Excel", "tabs", "no name"],
)
def test_a_list_is_read_whatever_a_spreadsheet_makes_of_it(tmp_path, data):
    path = tmp_path / "pairs.csv"
    path.write_bytes(data)
    expected = Pair("one_two", tmp_path / "a" / "one.jpg", tmp_path / "b" / "two.png")
    assert read_pairs(path) == [expected]


def test_names_tell_pairs_of_equal_file_names_apart(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("name,content,style\nAnna,a/1.jpg,s.jpg\nBjörn,b/1.jpg,s.jpg\n", "utf-8")
    assert [pair.name for pair in read_pairs(path)] == ["Anna", "Björn"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1 of {} has no column content: begin the list with content,style"),
        (
            b"content\na.jpg\n",
            "line 1 of {} has no column style: begin the list with content,style",
        ),
        (
            b"a.jpg,b.jpg\n",
            "line 1 of {} has no column content: begin the list with content,style",
        ),
        (b"content,style\n\n", "{} lists no pairs: put a content and a style on each line"),
        (b"content,style\na.jpg,b.jpg\nc.jpg\n", "line 3 of {} has no style: name a picture"),
        (b"content,style\n,b.jpg\n", "line 2 of {} has no content: name a picture there"),
        (b"content,style\na.jpg,b.jpg\n\xe9.jpg,b.jpg\n", "line 3 of {} is not UTF-8: save it"),
        (b'content,style\na.jpg,"b.jpg\n', "line 2 of {} is not CSV (unexpected end of data)"),
        (
            b"content,style\na/1.jpg,s.jpg\n\nb/1.jpg,s.jpg\n",
            "line 4 of {} would make 1_s.jpg, as line 2 does: give one of them another name",
        ),
        (
            b"content,style,name\na.jpg,b.jpg,../x\n",
            "line 2 of {} has the name ../x: choose another, without folders",
        ),
        (
            b"content,style,name\na.jpg,b.jpg,gallery\n",
            "line 2 of {} has the name gallery: choose another, without folders",
        ),
    ],
)
def test_a_bad_list_is_refused_in_one_sentence(tmp_path, command, data, message):
    path = tmp_path / "pairs.csv"
    path.write_bytes(data)
    said, _ = command("--pairs", path, "--output", tmp_path / "made")
    assert said.startswith(message.format(path))
    assert "\n" not in said
    assert not (tmp_path / "made").exists()


def test_a_list_that_is_not_there_is_refused_in_one_sentence(tmp_path, command):
    said, _ = command("--pairs", tmp_path / "none.csv")
    assert said == (
        f"{tmp_path / 'none.csv'} cannot be read (No such file or directory): "
        "name a CSV file of pairs"
    )


def test_the_projects_own_pairs_are_there():
    for pair in own_pairs():
        assert pair.content.is_file()
        assert pair.style.is_file()


# --- painting ------------------------------------------------------------------------------------


def test_a_failed_pair_stops_no_other(pairs, values, tmp_path, capsys):
    output = tmp_path / "made"
    pairs[0].content.write_text("<!DOCTYPE html><title>404</title>")
    pairs[1].style.unlink()
    rows = gallery.make_gallery(pairs, output, values)

    assert [row.result for row in rows] == ["failed", "failed", "made"]
    assert rows[0].why.startswith("ValueError: content/red.png is not a picture that can be read")
    assert rows[1].why.startswith(f"{pairs[1].style} cannot be read (No such file or directory)")
    assert [path.name for path in output.iterdir()] == ["blue_style2.jpg"]
    with Image.open(output / "blue_style2.jpg") as picture:
        assert picture.size == SIZE


def test_pairs_are_painted_from_coarse_to_fine_by_default(
    pairs, values, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(painter, "EVALUATIONS", (4,))
    output = tmp_path / "made"
    pairs[0].content.write_text("<!DOCTYPE html><title>404</title>")
    del values["METHOD"]
    rows = gallery.make_gallery(pairs, output, values)

    assert re.match(r"2 of 3 to paint: about \d+ s\n\nred_", capsys.readouterr().out)
    assert [row.result for row in rows] == ["failed", "made", "made"]
    assert rows[0].why.startswith("content/red.png is not a picture that can be read")
    made = {"blue_style2.jpg", "green_style1.jpg"}
    assert {path.name for path in output.iterdir()} == made
    with Image.open(output / "blue_style2.jpg") as picture:
        assert picture.size == SIZE


def test_the_time_of_a_list_is_that_of_its_sizes(monkeypatch):
    def paint(*_, **settings):
        assert settings == {"size": 400}
        for left in (None, 50.0, 40.0, 30.0, 20.0, 10.0, "too late"):
            yield SimpleNamespace(seconds_left=left)

    monkeypatch.setattr(gallery, "load_painter", lambda: paint)
    pictures, sizes = [("a.png", b""), ("b.png", b"")], [(300, 400), (600, 800)]
    units = [painter.work(*size) for size in sizes]
    found = gallery.estimate(*pictures, {}, sizes)
    assert found == pytest.approx(10 * sum(units) / units[0], abs=1)
    values = {"METHOD": "lab", "ITERATIONS": 100}
    pixels = 300 * 400 + 600 * 800
    expected = 2 * gallery.KERNEL + 10 * 100 * pixels / units[0]
    assert gallery.estimate(*pictures, values, sizes) == pytest.approx(expected, abs=1)


def test_iterations_are_for_the_lab(command, tmp_path):
    said, _ = command("--iterations", 2, "--output", tmp_path / "made")
    assert said == (
        "--iterations is for the lab's steps: give --method lab as well, or leave it out"
    )
    assert not (tmp_path / "made").exists()


def test_an_interrupted_pair_is_not_made(pairs, values, tmp_path, signal_the_first_painter):
    signal_the_first_painter("SIGINT")
    with pytest.raises(KeyboardInterrupt):
        gallery.make_gallery(pairs, tmp_path / "made", values)
    assert list((tmp_path / "made").iterdir()) == []


def test_what_is_made_is_skipped_and_what_failed_is_in_the_table(pairs, tmp_path, command):
    path, output = tmp_path / "pairs.csv", tmp_path / "made"
    path.write_text("content,style\nred.png,style0.png\ngreen.png,style1.png\n")
    output.mkdir()
    for pair in pairs[:2]:
        shutil.copy(pair.content, output / f"{pair.name}.jpg")
    before = {file.name: file.read_bytes() for file in output.iterdir()}

    status, table = command("--pairs", path, "--output", output)
    assert status == 0
    assert table.count("skipped           it is already there") == 2
    assert {name: (output / name).read_bytes() for name in before} == before

    (output / "green_style1.jpg").unlink()
    pairs[1].content.unlink()
    status, table = command("--pairs", path, "--output", output)
    assert status == 1
    assert f"green_style1  failed            {tmp_path / 'green.png'} cannot be read" in table


def test_an_output_folder_that_cannot_be_is_refused_in_one_sentence(tmp_path, command):
    (tmp_path / "file").touch()
    said, _ = command("--output", tmp_path / "file")
    assert said == (
        f"the folder {tmp_path / 'file'} cannot be made (File exists): choose another output folder"
    )


def test_a_name_too_long_for_a_file_fails_alone(pairs, tmp_path, capsys):
    """The others are skipped here, since their results are there; the sheet is made of them."""
    output = tmp_path / "made"
    output.mkdir()
    for pair in pairs[1:]:
        shutil.copy(pair.content, output / f"{pair.name}.jpg")
    pairs[0] = pairs[0]._replace(name=300 * "x")
    rows = gallery.make_gallery(pairs, output, {})
    gallery.contact_sheet(pairs, output)
    assert [row.result for row in rows] == ["failed", "skipped", "skipped"]
    assert rows[0].why.endswith("(File name too long): check its name in the list")
    with Image.open(output / "gallery.jpg") as sheet:
        assert sheet.height == 2 * contact_sheet.TILE[1]


# --- the contact sheet ---------------------------------------------------------------------------


def test_the_contact_sheet_shows_content_style_and_result_in_a_row(tmp_path):
    for name in ("red", "lime"):
        Image.new("RGB", (60, 90), name).save(tmp_path / f"{name}.png")
    Image.new("RGB", (60, 90), "blue").save(tmp_path / "one.jpg")
    Image.new("RGB", (90, 45), "red").save(tmp_path / "two.jpg")
    red, green = tmp_path / "red.png", tmp_path / "lime.png"
    pairs = [Pair("one", red, green), Pair("failed", red, red), Pair("two", green, red)]
    gallery.contact_sheet(pairs, tmp_path)

    width, height = contact_sheet.TILE
    with Image.open(tmp_path / "gallery.jpg") as sheet:
        assert sheet.size == (3 * width, 2 * height)
        colours = [
            [round(v / 255) for v in sheet.getpixel(((k + 0.5) * width, (row + 0.6) * height))]
            for row in range(2)
            for k in range(3)
        ]
        pixels = np.asarray(sheet)
    assert np.sum(pixels[height // 2, :width, 1] < 128) == 120  # a portrait keeps its shape
    title = pixels[: height - contact_sheet.LARGEST[1]]
    assert (title.min(), title.max()) == (0, 255)
    red, green, blue = [1, 0, 0], [0, 1, 0], [0, 0, 1]
    assert colours == [red, green, blue, green, red, red]


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
        rows = gallery.make_gallery(pairs, output, values, client)

    assert [row.result for row in rows] == ["made"] * 3, rows
    assert {path.name for path in output.iterdir()} == {f"{pair.name}.jpg" for pair in pairs}
    trainings = [line.split() for line in log.read_text().splitlines()]
    assert len(trainings) == 4  # the killed one, and one for each pair
    assert {kernels for _, kernels in trainings} == {"1"}  # one at a time, of two threads
    killed = trainings[0][0]
    assert killed not in [worker for worker, _ in trainings[1:]]


def test_missing_workers_are_said_and_waited_for(pairs, tmp_path, monkeypatch):
    """None is there at first, and the one that came is gone after the first pair.

    What a worker does is another test's; this one's fails at once, in this very process.
    """

    def paint(*_):
        raise RuntimeError("painted by a worker that came")

    class Output(io.StringIO):
        def write(self, text):
            if text.startswith("no workers"):
                local.scale(len(local.worker_spec) + 1)
            if text == "1 of 3:":
                client.retire_workers(list(client.nthreads()))
            return super().write(text)

    monkeypatch.setattr(gallery, "paint", paint)
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.1)
    with (
        LocalCluster(
            n_workers=0, processes=False, dashboard_address=None, local_directory=tmp_path
        ) as local,
        local.get_client() as client,
        redirect_stdout(Output()) as said,
    ):
        give_up = threading.Timer(60, client.close)  # on a wait that says nothing
        give_up.start()
        rows = gallery.make_gallery(pairs, tmp_path / "made", {}, client)
        give_up.cancel()
    lines = [line.partition(": ")[0] for line in said.getvalue().splitlines()]
    assert lines == [
        "no workers yet, waiting",
        "1 of 3",
        "no workers left, waiting",
        "2 of 3",
        "3 of 3",
    ]
    assert [row.why for row in rows] == 3 * ["painted by a worker that came"]


def test_a_scheduler_that_does_not_answer_is_refused_in_one_sentence(tmp_path, command):
    with dask.config.set({"distributed.comm.timeouts.connect": "100ms"}):
        said, _ = command("--scheduler", "tcp://127.0.0.1:1", "--output", tmp_path)
    assert said.startswith("no Dask scheduler answers at tcp://127.0.0.1:1 (")
    assert said.endswith("): start one with dask scheduler")
    assert "\n" not in said


def test_without_dask_the_scheduler_option_says_what_to_install(monkeypatch, command):
    monkeypatch.setitem(sys.modules, "distributed", None)
    said, _ = command("--scheduler", "tcp://127.0.0.1:1")
    assert said == (
        "--scheduler needs dask.distributed, which is not installed: "
        f"run {sys.executable} -m pip install distributed"
    )
