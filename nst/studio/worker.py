"""A painting in a process of its own: a crash, and the memory that it takes, end with it."""

import asyncio
import multiprocessing
import signal
import time

from nst.painting.options import load_painter

EXPECTED = (FloatingPointError, ImportError, MemoryError, OSError, ValueError)


async def paint(content, style, **settings):
    """Yield (full-size image, done, seconds_left) now and then: see `painter.Progress`.

    Closing the generator ends the process. Raises RuntimeError with a sentence for the user.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of the server
    pipe, remote = context.Pipe(duplex=False)
    process = context.Process(target=_paint, args=(remote, content, style, settings), daemon=True)
    process.start()
    remote.close()  # so that receiving fails when the process ends
    try:
        while isinstance(answer := await asyncio.to_thread(pipe.recv), tuple):
            yield answer
    except EOFError:
        answer = "the painting broke off, perhaps for lack of memory: choose a smaller size"
    finally:
        process.kill()
    if answer:
        raise RuntimeError(answer)


def _paint(pipe, content, style, settings):
    """Send images of a painting, at the end the finished one, then None or an error message."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, which ends this process
    due = 0.0
    try:
        for progress in load_painter()(content, style, **settings):
            if time.monotonic() >= due:
                pipe.send((progress.full_size(), progress.done, progress.seconds_left))
                due = time.monotonic() + 0.7  # seconds
        pipe.send((progress.full_size(), 1.0, 0.0))
        pipe.send(None)
    except EXPECTED as error:
        pipe.send(str(error))
