"""Ctrl-C: one way to handle it, for the terminal, the notebook and the grader."""

import os
import signal
import threading
from contextlib import contextmanager


@contextmanager
def on_interrupt(handler):
    """Let `handler` take Ctrl-C while the block runs; the previous handler returns afterwards.

    Python delivers signals to its main thread alone: in any other thread nothing changes.

    Arguments:
    handler -- function of a signal number and a stack frame, as for `signal.signal`
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def exit_now(*_):
    """End the process immediately, also from inside an import, without a traceback."""
    os.write(2, b"\nStopped\n")
    os._exit(128 + signal.SIGINT)


class InterruptGuard:
    """Ctrl-C around a loop that can keep what it has: the first stops it, the second exits.

        with InterruptGuard() as guard:
            for result in work():
                guard.ready = True  # there is something to keep
                if guard.stopping:
                    break

    Until `ready` is set, the first Ctrl-C exits, too: imports cannot be interrupted cleanly. While
    `writing` is set, the second one raises KeyboardInterrupt, so that a half-written temporary file
    is removed.
    """

    def __init__(self):
        self.stopping = self.ready = self.writing = False

    def __enter__(self):
        self._context = on_interrupt(self._handle)
        self._context.__enter__()
        return self

    def __exit__(self, *error):
        return self._context.__exit__(*error)

    def _handle(self, *_):
        if self.ready and not self.stopping:
            self.stopping = True
            os.write(1, b"\n  stopping; press Ctrl-C again to exit immediately\n")
        elif self.writing:
            raise KeyboardInterrupt
        else:
            exit_now()
