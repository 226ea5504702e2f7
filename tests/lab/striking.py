"""Ctrl-C at a chosen moment of a notebook's run from the terminal."""

import signal
from contextlib import contextmanager

import psutil
import pytest

from nst.lab.notebook_client import TerminalClient

STRIKE = "import os, signal; os.kill(os.getppid(), signal.SIGINT)"  # in a kernel


class StruckClient(TerminalClient):
    """Receives Ctrl-C at a moment (cell, event); cell -1 is the start of the kernel."""

    moment = None

    def strike(self, *moment):
        if moment == self.moment:
            self.moment = None  # once
            signal.raise_signal(signal.SIGINT)

    async def async_start_new_kernel(self, **kwargs):
        self.strike(-1, "before")
        await super().async_start_new_kernel(**kwargs)
        self.strike(-1, "started")

    async def async_start_new_kernel_client(self):
        client = await super().async_start_new_kernel_client()
        self.strike(-1, "ready")
        return client

    async def async_execute_cell(self, cell, cell_index, **kwargs):
        self.strike(cell_index, "before")
        done = await super().async_execute_cell(cell, cell_index, **kwargs)
        self.strike(cell_index, "after")
        return done

    def process_message(self, msg, cell, cell_index):
        self.strike(cell_index, msg["content"].get("execution_state", msg["msg_type"]))
        return super().process_message(msg, cell, cell_index)


def kernels():
    """List the kernels that this process has started and not ended."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "ipykernel" in str(child.cmdline())]


@contextmanager
def no_run_hangs():
    """End the kernels after five minutes, and fail: a run that does not stop would never end."""
    hung = []

    def end(*_):
        hung.append("the run went on")
        for kernel in kernels():
            kernel.kill()

    if not hasattr(signal, "alarm"):
        pytest.skip("needs POSIX signals")
    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert not hung
