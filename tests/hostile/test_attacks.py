"""A teacher can trust the grader with strangers: whatever one of them does is that one's row."""

import csv
import errno
import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import unicodedata

import nbformat
import numpy as np
import psutil
import pytest

from nst.assignment.spec import FUNCTIONS, TRAINING
from nst.grading import command, protocol, sandbox
from nst.grading.grader import Grader
from nst.grading.sandbox import bubblewrap
from tests.assignment.answers import CONTENT, GRAM, course_notebook, wrong_source
from tests.conftest import ROOT
from tests.hostile import attacks

pytestmark = pytest.mark.hostile

WALLS = bubblewrap()
CLASS = {  # the class around them: what is wrong with each
    "good_a": {},
    "good_b": {},
    "wrong_content": {CONTENT: "the 1/4 is forgotten"},
    "wrong_gram": {GRAM: "the wrong side", TRAINING: "First correct gram_matrix"},
    "wrong_training": {TRAINING: "J is not 10 * J_content + 40 * J_style"},
}


def write_class(folder):
    """Five students: two right, one with a wrong fraction, one with a wrong side, one swapped."""
    fraction = wrong_source(CONTENT, ["4 * n_H => n_H"])
    side = wrong_source(GRAM, ["A, tf.transpose(A) => tf.transpose(A), A"])
    notebooks = {
        "good_a": course_notebook(),
        "good_b": course_notebook(),
        "wrong_content": course_notebook(**{CONTENT: fraction}),
        "wrong_gram": course_notebook(**{GRAM: side}),
        "wrong_training": course_notebook(
            "J_style, alpha = 10, beta = 40)\nopt => J_style, 40, 10)\nopt"
        ),
    }
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")


def grade(folder, *options, walls=True, path=str(ROOT), **popen):
    """Run the command on a folder; return (exit status, stdout, stderr)."""
    environment = os.environ | {"PYTHONPATH": path, "TMPDIR": str(folder.parent / "tmp")}
    if not walls:
        environment["PATH"] = str(folder.parent)  # where no bwrap is
    (folder.parent / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "nst", "grade", str(folder), *options]
    run = subprocess.run(
        command, cwd=folder.parent, env=environment, capture_output=True, text=True, **popen
    )
    return run.returncode, run.stdout, run.stderr


def by_name(output):
    """Read the JSON of a grading: {name: {function: row}}."""
    return {
        os.path.basename(result["notebook"]): {row["function"]: row for row in result["rows"]}
        for result in json.loads(output)
    }


def check_class(rows):
    """Each of the class has its own grade, as if it were alone."""
    for name, faults in CLASS.items():
        found = rows[f"{name}.ipynb"]
        failed = {function for function, row in found.items() if row["verdict"] == "fail"}
        assert failed >= set(faults), name
        assert failed == {*faults, *([TRAINING] if name == "wrong_content" else [])}, name
        for function, said in faults.items():
            assert said in found[function]["diagnosis"], name


def check_hostile(rows, titles):
    for title in titles:
        found = rows[f"{title}.ipynb"]
        assert list(found) == [*FUNCTIONS, TRAINING], title
        passed = [function for function, row in found.items() if row["verdict"] == "pass"]
        assert passed == [], title


def check_nothing_is_left(folder):
    """No process and no folder of the grader's remains."""
    assert list((folder.parent / "tmp").iterdir()) == []
    for process in psutil.process_iter(["cmdline", "environ"]):
        told = " ".join(process.info["cmdline"] or [])
        place = (process.info["environ"] or {}).get("PYTHONPATH", "")
        assert f"# stays in {folder}" not in told, process
        assert str(folder.parent) not in place, process


def test_no_attack_passes_or_harms_the_class(tmp_path):
    """All attacks, files of any kind, and a class of five in one run."""
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "secret.txt").write_text("the teacher's secret")
    titles = [t for t in attacks.ATTACKS if WALLS or t not in attacks.NEEDS_BUBBLEWRAP]
    project = tmp_path / "project"  # what an attack that gets out would damage
    shutil.copytree(ROOT / "nst", project / "nst")
    shutil.copytree(ROOT / "tests", project / "tests")
    packages = tmp_path / "site-packages"  # where a copy of the project is installed
    shutil.copytree(ROOT / "nst", packages / "nst")
    before = {file: file.read_bytes() for file in project.rglob("*.py")}
    write_class(folder)
    nbformat.write(course_notebook(), tmp_path / "solution.ipynb")
    attacks.write_unreadable(folder, tmp_path / "solution.ipynb")
    report = tmp_path / "report.html"
    options = ("--report", str(report), "--limit", "2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        paths = {"ROOT": str(project), "CLASS": str(folder), "PACKAGES": str(packages)}
        attacks.write_attacks(folder, titles, PORT=port, **paths)
        path = f"{ROOT}{os.pathsep}{packages}"
        status, output, errors = grade(
            folder, *options, "--json", "--strict", "--jobs", "3", path=path
        )
        with pytest.raises(BlockingIOError):  # nobody called
            server.accept()
    assert status == 1, errors
    assert "Traceback" not in errors
    rows = by_name(output)
    count = len(list(folder.iterdir())) - 1  # without the secret
    assert len(rows) == count
    check_hostile(rows, titles)
    check_class(rows)
    check_nothing_is_left(folder)
    assert {file: file.read_bytes() for file in project.rglob("*.py")} == before
    assert "the teacher's secret" not in output
    assert "FORGED" not in output + errors
    assert "Tables of the mistakes" not in output  # of an installed copy
    if WALLS:
        assert "filled nothing" in rows["fills_memory_files.ipynb"][GRAM]["diagnosis"]
    check_table(*grade(folder, *options), count)  # what is graded already is shown again
    check_report(report, count)
    if not WALLS:
        left_out = ", ".join(sorted(attacks.NEEDS_BUBBLEWRAP))
        pytest.skip(f"bubblewrap is not there, so these attacks were left out: {left_out}")


def check_table(status, output, errors, count):
    """The terminal's table has a line for each submission, and no control character."""
    assert status == 0, errors
    _, *lines = output.splitlines()
    assert len(lines) == count
    passed = {line.split()[0] for line in lines if line.split()[-7:] == ["pass"] * 7}
    assert passed == {"good_a", "good_b"}
    characters = {unicodedata.category(c) for c in output.replace("\n", "")}
    assert not [kind for kind in characters if kind in ("Cc", "Cf", "Cs", "Co")]
    assert max(map(len, lines)) < 140


def check_report(report, count):
    """Page, spreadsheet and feedback have all submissions, and nothing in them is active."""
    page = report.read_text("utf-8")
    assert page.count('class="row') == count + 1
    assert "<script" not in page.lower()
    assert not re.search(r"\b(src|href)=|url\(", page)  # it needs nothing else
    assert page.index(">good1<") < page.index(">good2<") < page.index(">good_a<")
    assert "&lt;script&gt;" in page
    assert page.count("<details>") == count - 2
    with open(report.with_suffix(".csv"), encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    assert len(table) == count + 1
    assert not [cell for row in table for cell in row if cell[:1] in ("=", "+", "@")]
    feedback = report.with_name("report-feedback")
    assert len(list(feedback.iterdir())) == count
    assert "gram_matrix: All tests passed." in (feedback / "good_a.txt").read_text()


def test_class_is_graded_without_bubblewrap_and_a_line_says_so(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    nbformat.write(course_notebook(), folder / "good.ipynb")
    linked = tmp_path / "nst" / "assignment" / "verdict.py"
    linked.parent.mkdir(parents=True, mode=0o750)
    linked.touch(mode=0o640)
    titles = ["locks_its_folder", "links_to_a_file_from_a_locked_folder", "nests_folders"]
    paths = {"ROOT": str(tmp_path), "CLASS": str(folder), "PACKAGES": str(tmp_path), "PORT": 9}
    attacks.write_attacks(folder, titles, **paths)
    status, output, errors = grade(folder, "--json", "--jobs", "2", walls=False)
    assert status == 0, errors
    assert errors == f"{command.NO_BUBBLEWRAP}\n"
    rows = by_name(output)
    check_hostile(rows, titles)
    modes = [stat.filemode(path.stat().st_mode) for path in (linked, linked.parent)]
    assert modes == ["-rw-r-----", "drwxr-x---"]
    assert {row["verdict"] for row in rows["good.ipynb"].values()} == {"pass"}
    check_nothing_is_left(folder)


def test_installed_copies_are_found(tmp_path):
    copies = [
        tmp_path / "nst",
        tmp_path / "lib" / "python3.12" / "site-packages" / "nst",
        tmp_path / "local" / "lib" / "python3.11" / "dist-packages" / "nst",
    ]
    for copy in copies:
        copy.mkdir(parents=True)
    assert sandbox.installed_copies([str(tmp_path)]) == sorted(map(str, copies))


def test_folder_of_any_depth_and_rights_is_removed(tmp_path):
    here, folder = os.getcwd(), tmp_path / "deep"
    folder.mkdir()
    os.chdir(folder)
    for _ in range(3_000):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    (folder / "locked").mkdir(mode=0)
    sandbox.remove(folder)
    assert not folder.exists()


def test_bubblewrap_that_may_not_work_counts_as_missing(tmp_path, monkeypatch):
    """So it is where AppArmor forbids user namespaces, as Ubuntu's does."""
    monkeypatch.setenv("PATH", str(tmp_path))
    command = tmp_path / "bwrap"
    command.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1")
    command.chmod(0o755)
    assert shutil.which("bwrap")
    assert not bubblewrap.__wrapped__()


def test_ctrl_c_shows_what_is_graded_so_far(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    (tmp_path / "tmp").mkdir()
    (folder / "a.ipynb").write_text("{}")
    endless = "def compute_content_cost(a_C, a_G):\n    while True:\n        pass"
    nbformat.write(course_notebook(**{CONTENT: endless}), folder / "b.ipynb")
    command = [sys.executable, "-m", "nst", "grade", str(folder), "--limit", "500"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as run:
        run.stdout.readline()
        assert run.stdout.readline().split()[-7:] == ["fail"] * 7
        os.killpg(run.pid, signal.SIGINT)
        try:
            rest, errors = run.communicate(timeout=120)
        finally:
            run.kill()
    assert run.returncode == 130
    assert rest == ""
    assert errors.splitlines()[-1] == "stopped after 1 of 2 submissions"
    assert "Traceback" not in errors
    check_nothing_is_left(folder)


def test_ctrl_c_ends_the_grading_at_any_moment(tmp_path):
    """Never is it lost, nothing is left, and what is graded is shown."""
    folder, temporary = tmp_path / "class", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    (folder / "a.ipynb").write_text("{}")
    for name in "bc":
        nbformat.write(course_notebook(), folder / f"{name}.ipynb")
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "grading" / "ctrl_c.py"), str(folder), "32"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    moments = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(moments) == 32
    assert [moment for moment in moments if moment["left"]] == []
    assert [moment for moment in moments if moment["graded"] not in ([], ["a"])] == []


def message(header, body=b""):
    return (header if isinstance(header, bytes) else json.dumps(header).encode()) + b"\n" + body


GARBLED = {
    "nothing": b"",
    "a line without end": b"[" + b" " * 2**20,
    "no JSON": message(b"{,}"),
    "nested JSON": message(b"[" * 60_000),
    "a number of 10,000 digits": message(b"[{}, {" + b'"a": ' + b"9" * 10_000 + b"}]"),
    "no pair": message({"a": 1}),
    "a list of facts": message([[], {}]),
    "an array of no shape": message([{}, {"a": None}], bytes(8)),
    "an array of a list": message([{}, {"a": [["<f4"], [1]]}], bytes(8)),
    "a negative size": message([{}, {"a": [-1, -1]}], bytes(8)),
    "a size of true": message([{}, {"a": [True]}], bytes(8)),
    "an array past its message": message([{}, {"a": [3]}], bytes(8)),
    "an array of 4 GB": message([{}, {"a": [2**30]}], bytes(8)),
    "a hundred dimensions": message([{}, {"a": [1] * 100}], bytes(8)),
}


@pytest.mark.parametrize("title", GARBLED)
def test_no_message_but_the_agreed_one_is_read(title):
    with pytest.raises(protocol.ProtocolError, match="not a message"):
        protocol.read(io.BytesIO(GARBLED[title]))


def test_message_keeps_facts_and_arrays():
    stream = io.BytesIO()
    arrays = {
        "one": np.float32(6.5),
        "none": np.zeros((0, 3)),
        "more": np.arange(6).reshape(2, 3).T,
    }
    protocol.write(stream, {"says": "ü"}, arrays)
    stream.seek(0)
    facts, found = protocol.read(stream)
    assert facts == {"says": "ü"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    with pytest.raises(protocol.ProtocolError):
        protocol.read(io.BytesIO(stream.getvalue()[:-1]))


def test_full_disk_is_not_the_students_fault(tmp_path, monkeypatch):
    nbformat.write(course_notebook(), tmp_path / "good.ipynb")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Grader(5, threading.Event()) as grader:
        monkeypatch.setattr(sandbox.tempfile, "mkdtemp", full)
        rows = grader.grade(tmp_path / "good.ipynb")
    said = "it could not be graded here (No space left on device): grade it again."
    assert [row["diagnosis"] for row in rows] == [said] * 7
