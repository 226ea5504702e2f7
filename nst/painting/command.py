"""Paint from the terminal: what it shows, the picture in the making, and Ctrl-C."""

import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from nst.core.cli import Parser, own_path, whole_number, yes_or_no
from nst.core.config import CONFIG, PROJECT
from nst.core.images import (
    SHORTEST_SIDE,
    check_picture_path,
    fit_size,
    load_image,
    save_image,
)
from nst.painting.checkpoint import hashes, load_state, save_state, state_path
from nst.painting.options import STRENGTHS, load_painter, unused_output_path

SECONDS_PER_PICTURE = 5  # at least, from one writing of the picture in the making to the next
SECONDS_PER_LINE = 10  # of a log, which cannot overwrite a line


class ProgressLine:
    """A line that a terminal rewrites; a log gets a new one every SECONDS_PER_LINE."""

    def __init__(self):
        self._shown = ""  # stands on the terminal now
        self._printed = -SECONDS_PER_LINE

    def show(self, progress):
        """Show how far a painting is."""
        line = describe(progress)
        if sys.stdout.isatty():
            print(f"\r{line:{len(self._shown)}}", end="", flush=True)
            self._shown = line
        elif time.monotonic() >= self._printed + SECONDS_PER_LINE:
            print(line, flush=True)
            self._printed = time.monotonic()

    def say(self, text):
        """Print a line for good."""
        self.end()
        print(text, flush=True)

    def end(self):
        """Leave the line as it is."""
        if self._shown:
            print(flush=True)
        self._shown = ""


def describe(progress):
    """Say in one line how far a painting is."""
    height, width = progress.image.shape[1:3]
    line = f"  level {progress.level} of {progress.levels}, {width}×{height} pixels"
    if progress.tiles > 1:
        line += f" in {progress.tiles} tiles"
    line += f"   {progress.done:4.0%} done"
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        line += f"   {minutes} min {seconds:2} s left"
    return line


class Brake:
    """Ctrl-C: the first asks the painter to stop, a second one ends the program at once.

    Before there is a picture, the first one ends it too: importing libraries knows no stop.
    """

    def __init__(self):
        self.pulled = False
        self.ready = False  # there is a picture to keep
        self.writing = False  # a file, which is to be whole or not at all

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # no other one hears of Ctrl-C
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, *_):
        if self.ready and not self.pulled:
            self.pulled = True
            os.write(1, b"\n  stopping; Ctrl-C again ends it at once\n")
            return
        if self.writing:
            raise KeyboardInterrupt  # so that the file's temporary folder goes
        os.write(1, b"\nStopped\n")
        os._exit(128 + signal.SIGINT)  # nor wait for the evaluation under way


# --- the picture in the making -------------------------------------------------------------------


class Keeper:
    """Writes the picture in the making, always at full size, to where the result will be.

    As a level in tiles begins, whose evaluations are long, the picture is written in any case, and
    what is needed to go on with that level.

    Arguments:
    identify -- function that returns the painting's `hashes`
    """

    def __init__(self, path, brake, line, identify):
        self._path, self._brake, self._line, self._identify = path, brake, line, identify
        self._due = 0.0
        self._level = 1  # the last one that was seen to begin
        self._failed = False

    def offer(self, progress):
        """Write a picture where the last one is some seconds old; a full disk stops no painting."""
        begins = progress.tiles > 1 and progress.level > self._level
        if time.monotonic() < self._due and not begins:
            return
        begun, self._level = time.monotonic(), progress.level
        try:
            self._write(self._path, progress, begins)
        except OSError as error:
            if not self._failed:
                self._line.say(f"  {error}; painting goes on")
            self._failed = True
        # a large picture takes a second: let it be a small share
        self._due = time.monotonic() + max(SECONDS_PER_PICTURE, 10 * (time.monotonic() - begun))

    def finish(self, progress):
        """Write the result, or, where that fails, into a temporary folder: then OSError says so."""
        try:
            self._write(self._path, progress)
        except OSError as error:
            try:
                other = Path(tempfile.mkdtemp(prefix="nst-"), self._path.name)
                self._write(other, progress)
            except OSError:
                raise error from None
            raise OSError(f"{error}; until then the picture is kept as {other}") from None

    def _write(self, path, progress, with_state=False):
        self._brake.writing = True
        try:
            save_image(path, progress.full_size())
            if with_state:
                save_state(path, self._identify(), progress)
        finally:
            self._brake.writing = False


# --- the command ---------------------------------------------------------------------------------


def paint_from_terminal(content, styles, output, settings, resume=False):
    """Paint a picture into the file `output`, and tell the terminal how far it is.

    Arguments:
    content, styles, settings -- as `nst.painting.painter.paint` takes them
    output -- Path that does not exist yet
    resume -- True goes on with the painting whose state is beside `output`

    Returns:
    the last Progress, and whether it was stopped

    Raises OSError, ValueError, FloatingPointError or MemoryError.
    """
    line = ProgressLine()
    with Brake() as brake:
        paint = load_painter()
        identify = partial(hashes, content, styles, settings)
        keeper = Keeper(output, brake, line, identify)
        if resume:
            settings = settings | {"resume": load_state(output, identify())}
        with closing(paint(content, styles, **settings)) as painting:
            for progress in painting:
                brake.ready = True
                line.show(progress)
                if brake.pulled:
                    break
                keeper.offer(progress)
            line.end()
            keeper.finish(progress)
            if not brake.pulled:
                state_path(output).unlink(missing_ok=True)
            return progress, brake.pulled


def check(args):
    """Find, before TensorFlow is imported, what can be wrong; return the size (height, width)."""
    size = fit_size(args.content, args.size)
    for path in (args.content, *args.styles):
        load_image(path, 16, 16)
    check_picture_path(args.output)
    if args.output.exists() and not args.resume:
        raise FileExistsError(
            f"{args.output} is already there: move it away, or choose another name for the result"
        )
    return size


def strength(text):
    """Read a strength: a number, or the name of one."""
    return STRENGTHS[text] if text in STRENGTHS else float(text)


def weighted(text):
    """Read a style picture with its weight, 1 where none is given: painting.jpg:2."""
    path, _, weight = text.rpartition(":")
    with suppress(ValueError):
        if path and not os.path.exists(text):
            return path, float(weight)
    return text, 1.0


def parse(arguments):
    """Read the command line of `nst paint`."""
    parser = Parser(
        prog="nst paint",
        description="Paint a photograph in the manner of a painting, from coarse to fine. Ctrl-C "
        "keeps the picture so far.",
        epilog="example: nst paint photo.jpg painting.jpg --size 1200 --strength light",
    )
    parser.add_argument("content", help="photograph to be painted")
    parser.add_argument(
        "styles",
        nargs="+",
        type=weighted,
        metavar="style",
        help="painting in whose manner; several, perhaps with weights: one.jpg:2 other.jpg:1",
    )
    parser.add_argument(
        "--size", type=whole_number(SHORTEST_SIDE), default=800, help="longest side in pixels: 800"
    )
    parser.add_argument(
        "--strength",
        type=strength,
        default=STRENGTHS["medium"],
        help="of the style: light, medium (default), strong, or a number from 0 to 1",
    )
    parser.add_argument(
        "--colours",
        choices=("style", "content"),
        default="style",
        help="whose colours: style (default) or content",
    )
    parser.add_argument(
        "--strokes", type=float, default=1.0, help="size of the strokes: 2 doubles, 0.5 halves it"
    )
    parser.add_argument("--precision", default="auto", help="float32, bfloat16 or auto (default)")
    parser.add_argument("--memory", type=float, help="GB to take, default: half of what is free")
    parser.add_argument(
        "--weights", default=PROJECT / CONFIG.VGG_MODEL, help="weight file of VGG-19"
    )
    parser.add_argument(
        "--output", type=own_path, help="picture to write, default: output/<content>_<style>.jpg"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        type=yes_or_no,
        const=True,
        help="go on with a large painting that was stopped",
    )
    args = parser.parse_args(arguments)
    args.styles = dict(args.styles)
    args.output = args.output or unused_output_path(args.content, args.styles, args.resume)
    return args


def main(arguments=None):
    """Run the command `nst paint`."""
    args = parse(arguments)
    begun = time.monotonic()
    settings = {name: getattr(args, name) for name in ("size", "strength", "colours", "strokes")}
    settings |= {"precision": args.precision, "model": args.weights, "memory": args.memory}
    try:
        height, width = check(args)
        names = " and ".join(os.path.basename(path) for path in args.styles)
        print(f"{os.path.basename(args.content)} in the manner of {names}, {width}×{height} pixels")
        progress, stopped = paint_from_terminal(
            args.content, args.styles, args.output, settings, args.resume
        )
    except (FloatingPointError, ImportError, MemoryError, OSError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        os._exit(128 + signal.SIGINT)
    path = os.path.relpath(args.output)
    if stopped:
        print(f"Stopped when {progress.done:.0%} was done: the picture so far is {path}")
        if state_path(args.output).exists():
            again = "RESUME=1" if "MAKELEVEL" in os.environ else "--resume"
            print(f"The same command with {again} goes on with level {progress.level}")
    else:
        minutes, seconds = divmod(round(time.monotonic() - begun), 60)
        print(f"Finished in {minutes} min {seconds} s: {path}")
