"""Ctrl-C: the first stops a loop, the second exits; a file is written whole or not at all."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from nst.core.interrupts import InterruptGuard, on_interrupt
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def test_the_handler_is_taken_back():
    before, seen = signal.getsignal(signal.SIGINT), []
    with on_interrupt(lambda *_: seen.append("Ctrl-C")):
        signal.raise_signal(signal.SIGINT)
    assert seen == ["Ctrl-C"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_changes_no_handler():
    found = []

    def work():
        with on_interrupt(print):
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_the_first_ctrl_c_asks_to_stop_once_there_is_something_to_keep(capfd):
    with InterruptGuard() as guard:
        guard.ready = True
        signal.raise_signal(signal.SIGINT)
        assert guard.stopping
    assert "stopping" in capfd.readouterr().out


def test_a_second_ctrl_c_while_writing_raises_so_that_the_file_is_cleaned_up():
    with InterruptGuard() as guard, pytest.raises(KeyboardInterrupt):
        guard.ready = guard.writing = True
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("ready", [False, True])
def test_it_exits_at_the_first_without_a_result_and_at_the_second_with_one(ready):
    code = f"""
import signal
from nst.core.interrupts import InterruptGuard
with InterruptGuard() as guard:
    guard.ready = {ready}
    for _ in range(1 + guard.ready):
        signal.raise_signal(signal.SIGINT)
    print("still running")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 128 + signal.SIGINT
    assert "still running" not in run.stdout
    assert run.stderr == "\nStopped\n"
