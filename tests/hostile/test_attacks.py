"""A teacher can trust the grader with strangers: whatever one of them does is that one's row."""

import errno
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading

import nbformat
import numpy as np
import pytest

from nst.grading import command, protocol, sandbox
from nst.grading.grader import Grader
from nst.grading.sandbox import bubblewrap
from tests.assignment.answers import CONTENT, course_notebook
from tests.conftest import ROOT
from tests.hostile import attacks
from tests.hostile.hostile_class import (
    by_name,
    check_attacks,
    check_hostile,
    check_nothing_is_left,
    grade,
)

pytestmark = pytest.mark.hostile


def test_no_attack_on_the_verdict_passes_or_harms_the_class(tmp_path):
    check_attacks(tmp_path, attacks.ON_VERDICTS)


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


def test_masked_folder_is_not_bound_by_a_second_path(tmp_path):
    command = sandbox.bwrap_command(tmp_path)
    bound = [command[i + 1] for i, word in enumerate(command) if word == "--ro-bind"]
    assert str(tmp_path) in bound
    assert [path for path in bound if os.path.islink(path)] == []


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
        with pytest.raises(OSError, match=r"graded here \(No space left.*free some disk space"):
            Grader(5, threading.Event())
    said = "it could not be graded here (No space left on device): grade it again."
    assert [row["diagnosis"] for row in rows] == [said] * 7
