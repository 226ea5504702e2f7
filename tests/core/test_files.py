"""Names of results that two processes at once do not share."""

import subprocess
import sys

import pytest

from nst.core.files import reserved_path
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from nst.core.files import reserved_path
with reserved_path(map(Path, sys.argv[1:])) as path:
    print(path.name, flush=True)
    sys.stdin.read()
"""


def test_two_processes_get_different_names(tmp_path):
    names = [tmp_path / "a.jpg", tmp_path / "a_2.jpg", tmp_path / "a_3.jpg"]
    names[1].write_bytes(b"a finished picture")
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLD, *names]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == "a.jpg\n"
        with reserved_path(names) as path:
            assert path == names[2]
        other.kill()
    with reserved_path(names) as path:  # the reservation died with its process
        assert path == names[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a_2.jpg"]


def test_if_all_names_are_taken_the_last_one_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a finished picture")
    with (
        pytest.raises(FileExistsError, match=r"a\.jpg exists already"),
        reserved_path([tmp_path / "a.jpg"]),
    ):
        pass
