"""A notebook run in a terminal: what is printed of it, and how Ctrl-C stops it.

The terminal shows the headings as they come, the output of cells tagged `terminal`, and the
progress line of `nst.lab.training.Run`.
"""

import asyncio
import os
import signal
from contextlib import suppress

from nbclient import NotebookClient
from nbclient.util import ensure_async

from nst.core.progress import ProgressLine
from nst.lab.notebook import PROGRESS_ID

STOPPED = "Stopped after iteration"  # what a training run prints once its picture is saved
LOST_REPLY = 2  # seconds in which an interrupted kernel that is idle may still answer


class Stopped(Exception):
    """Ctrl-C was pressed, and no further cell is to be run."""


class TerminalClient(NotebookClient):
    """Execute a notebook and show its progress on the terminal.

    The first Ctrl-C is passed on to the running cell, whose training run keeps its picture, and no
    further cell is started. The second one ends the kernel.
    """

    echo = False  # print what cells print
    interrupted = False  # by Ctrl-C
    running = False  # the kernel is executing a cell
    loop = None  # the event loop, once the kernel is started

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.progress = ProgressLine()

    # --- Ctrl-C ---

    def on_signal(self, *_):
        """Handle Ctrl-C at any moment."""
        if self.loop and self.loop.is_running():
            self.loop.call_soon_threadsafe(self.interrupt)
        else:
            self.interrupted = True

    def interrupt(self):
        """End the running cell, or, the second time, the kernel."""
        if self.interrupted:
            self._end_kernel()
        elif self.running:
            self._interrupt_kernel()
        self.interrupted = True

    def _interrupt_kernel(self):
        self.progress.print(
            "  stopping; press Ctrl-C again to end the run immediately without saving more"
        )
        if os.name != "nt":  # on Windows, Ctrl-C reaches the kernel by itself
            self._soon(lambda: self.km.interrupt_kernel())

    def _end_kernel(self):
        self._soon(lambda: self.km.provisioner.kill())  # which nbclient sees within a second

    def _soon(self, action):
        async def act():
            with suppress(AttributeError, RuntimeError):  # no kernel yet, or no longer
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
                    self.progress.print(line.lstrip("# "))
        try:
            return await super().async_execute_cell(cell, cell_index, **kwargs)
        finally:
            self.running = False

    def process_message(self, msg, cell, cell_index):
        content = msg["content"]
        if content.get("transient", {}).get("display_id", "").startswith(PROGRESS_ID):
            self.progress.show("  " + content["data"]["text/plain"])
        if msg["msg_type"] == "stream":
            shown = "terminal" in cell.metadata.get("tags", [])
            for line in content["text"].splitlines():
                if self.echo:
                    self.progress.print(line)
                elif shown or line.startswith(STOPPED):
                    self.progress.print(f"  {line}")
        elif msg["msg_type"] == "execute_input":  # the kernel accepts interrupts from now on
            self.running = True
            if self.interrupted:
                self._interrupt_kernel()
        elif content.get("execution_state") == "idle" and self.interrupted:
            self.loop.call_later(LOST_REPLY, self._end_silent_kernel)
        return super().process_message(msg, cell, cell_index)
