"""A notebook as it runs in a terminal: what is shown of it, and how Ctrl-C stops it.

The terminal shows the sections as they come, what the cells tagged `terminal` print, and the line
that `nst.lab.training.Run` keeps up to date.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress

from nbclient import NotebookClient
from nbclient.util import ensure_async

from nst.lab.notebook import PROGRESS_ID

STOPPED = "Stopped after iteration"  # what a training run prints once its picture is saved
LOST_REPLY = 2  # seconds in which an interrupted kernel that is idle may still answer


class Stopped(Exception):
    """Ctrl-C was pressed, and no further cell is to be run."""


class TerminalClient(NotebookClient):
    """Execute a notebook and show on the terminal how far it has got.

    The first Ctrl-C is passed on to the cell under way, whose training run keeps its picture, and
    no further cell is begun. The second one ends the kernel.
    """

    echo = False  # print what cells print
    line = ""  # the progress line that stands on the terminal
    printed = 0.0  # when a log, which cannot overwrite a line, got its last line
    interrupted = False  # by Ctrl-C
    running = False  # the kernel is executing a cell
    loop = None  # the event loop, from the kernel's start on

    def say(self, text):
        """Print a line for good."""
        print(f"\n{text}" if self.line else text, flush=True)
        self.line = ""

    def show_progress(self, line):
        """Print a line over the one before; a log gets one every 10 seconds."""
        if sys.stdout.isatty():
            print(f"\r{line:{len(self.line)}}", end="", flush=True)
            self.line = line
        elif time.monotonic() > self.printed + 10:
            print(line, flush=True)
            self.printed = time.monotonic()

    # --- Ctrl-C ---

    def on_signal(self, *_):
        """Handle Ctrl-C, wherever the program happens to be."""
        if self.loop and self.loop.is_running():
            self.loop.call_soon_threadsafe(self.interrupt)
        else:
            self.interrupted = True

    def interrupt(self):
        """End the cell under way, or, the second time, the kernel."""
        if self.interrupted:
            self._end_kernel()
        elif self.running:
            self._interrupt_kernel()
        self.interrupted = True

    def _interrupt_kernel(self):
        self.say("  stopping; Ctrl-C again ends the run at once, and saves nothing more")
        if os.name != "nt":  # on Windows, Ctrl-C reaches the kernel by itself
            self._soon(lambda: self.km.interrupt_kernel())

    def _end_kernel(self):
        self._soon(lambda: self.km.provisioner.kill())  # which nbclient sees within a second

    def _soon(self, action):
        async def act():
            with suppress(AttributeError, RuntimeError):  # there is no kernel, or none any more
                await ensure_async(action())

        self._acting = asyncio.ensure_future(act())

    async def async_start_new_kernel(self, **kwargs):
        self.loop = asyncio.get_running_loop()
        # in place of nbclient's own handler, which would end the kernel; Windows raises
        # NotImplementedError, a RuntimeError: there the handler of ctrl_c_to is enough
        with suppress(RuntimeError):
            self.loop.add_signal_handler(signal.SIGINT, self.interrupt)
        await super().async_start_new_kernel(**kwargs)

    def _end_silent_kernel(self):
        if self.running:  # an interrupt in its own code made it forget to answer
            self._end_kernel()

    # --- cells ---

    async def async_execute_cell(self, cell, cell_index, **kwargs):
        if self.interrupted:
            raise Stopped
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith(("# ", "## ")):
                    self.say(line.lstrip("# "))
        try:
            return await super().async_execute_cell(cell, cell_index, **kwargs)
        finally:
            self.running = False

    def process_message(self, msg, cell, cell_index):
        content = msg["content"]
        if content.get("transient", {}).get("display_id", "").startswith(PROGRESS_ID):
            self.show_progress("  " + content["data"]["text/plain"])
        if msg["msg_type"] == "stream":
            shown = "terminal" in cell.metadata.get("tags", [])
            for line in content["text"].splitlines():
                if self.echo:
                    self.say(line)
                elif shown or line.startswith(STOPPED):
                    self.say(f"  {line}")
        elif msg["msg_type"] == "execute_input":  # only now does the kernel heed an interrupt
            self.running = True
            if self.interrupted:
                self._interrupt_kernel()
        elif content.get("execution_state") == "idle" and self.interrupted:
            self.loop.call_later(LOST_REPLY, self._end_silent_kernel)
        return super().process_message(msg, cell, cell_index)


@contextmanager
def ctrl_c_to(client):
    """Let `client` handle Ctrl-C, which reaches no other thread than the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, client.on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
