"""The command `nst paint`: its options, intermediate results, and Ctrl-C."""

import os
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

from nst.core.cli import Parser, number, one_of, user_path, whole_number
from nst.core.config import CONFIG, PROJECT, SHORTEST_SIDE
from nst.core.files import reserved_path
from nst.core.images import (
    PICTURE_EXTENSIONS,
    check_picture_path,
    fit_size,
    load_image,
    save_image,
)
from nst.core.interrupts import InterruptGuard, exit_now
from nst.core.progress import ProgressLine, format_duration
from nst.painting.options import STRENGTHS, describe, load_painter, output_paths

SECONDS_PER_SAVE = 5  # at least, between two intermediate results
EXPECTED_ERRORS = FloatingPointError, ImportError, MemoryError, OSError, ValueError


class IntermediateResults:
    """Saves intermediate results, at full size, to the output path, and each level's to a folder.

    Arguments:
    path -- of the result
    steps -- folder for the picture of each level, or None
    """

    def __init__(self, path, guard, line, steps=None):
        self._path, self._guard, self._line, self._steps = path, guard, line, steps
        self._due = 0.0
        self._last = None
        self._failed = False

    def offer(self, progress):
        """Save if the last save is some seconds old, or a level has ended."""
        last, self._last = self._last, progress
        if last and progress.level > last.level:
            self._try(self._save_step, last)
            self._due = 0.0
        if time.monotonic() >= self._due:
            begun = time.monotonic()
            self._try(self._save, self._path, progress)
            # a large picture takes a second to save: let that be a small share
            self._due = time.monotonic() + max(SECONDS_PER_SAVE, 10 * (time.monotonic() - begun))

    def _try(self, save, *arguments):
        """Save; a full disk does not stop the run."""
        try:
            save(*arguments)
        except OSError as error:
            if not self._failed:
                self._line.print(f"  {error}; painting continues")
            self._failed = True

    def finish(self, progress):
        """Save the result; if that fails, save it to a temporary folder and raise OSError."""
        try:
            self._save(self._path, progress)
            self._save_step(progress)
        except OSError as error:
            try:
                other = Path(tempfile.mkdtemp(prefix="nst-"), self._path.name)
                self._save(other, progress)
            except OSError:
                raise error from None
            raise OSError(f"{error}; until then the picture is in {other}") from None

    def _save_step(self, progress):
        if self._steps:
            path = self._steps / f"{self._path.stem}_level_{progress.level}{self._path.suffix}"
            self._save(path, progress, progress.image)

    def _save(self, path, progress, image=None):
        self._guard.writing = True
        try:
            save_image(path, progress.full_size() if image is None else image)
        finally:
            self._guard.writing = False


def paint_from_terminal(content, styles, output, settings, steps=None):
    """Paint a picture into the file `output` and show the progress in the terminal.

    Arguments:
    content, styles, settings -- as for `nst.painting.painter.paint`
    output -- Path that does not exist
    steps -- Path of a folder for the picture of each level, or None

    Returns:
    the last Progress, and whether Ctrl-C stopped it

    Raises OSError, ValueError, FloatingPointError or MemoryError.
    """
    line = ProgressLine()
    with InterruptGuard() as guard:
        paint = load_painter()
        results = IntermediateResults(output, guard, line, steps)
        with closing(paint(content, styles, **settings)) as painting:
            for progress in painting:
                guard.ready = True
                line.show(describe(progress))
                if guard.stopping:
                    break
                results.offer(progress)
            line.end()
            results.finish(progress)
            return progress, guard.stopping


# --- the command ---------------------------------------------------------------------------------


def weighted(text):
    """Parse a style image with its weight, by default 1: painting.jpg:2."""
    path, _, weight = text.rpartition(":")
    with suppress(ValueError):
        if path and not os.path.exists(text):
            return path, float(weight)
    return text, 1.0


def parse(arguments):
    """Parse the command line of `nst paint`."""
    parser = Parser(
        prog="nst paint",
        description="Paint a photo in the style of a painting, coarse to fine. Ctrl-C keeps the "
        "picture so far.",
        epilog="example: nst paint photo.jpg painting.jpg --size 1200 --strength light",
    )
    parser.add_input("content", required=True, help="photo, or a folder of photos")
    parser.add_input(
        "style",
        dest="styles",
        action="append",
        type=weighted,
        required=True,
        help="painting whose style to use; several with weights: one.jpg:2 other.jpg:1",
    )
    parser.add_argument(
        "--size",
        type=whole_number(SHORTEST_SIDE),
        default=800,
        help="longest side in pixels (default: 800)",
    )
    parser.add_argument(
        "--strength",
        type=number(0, 1, STRENGTHS),
        default=STRENGTHS["medium"],
        help="light (texture and color), medium (strokes, default), strong (the style's shapes), "
        "or a number from 0 to 1",
    )
    parser.add_argument(
        "--colors",
        "--colours",
        type=one_of("style", "content"),
        default="style",
        help="whose colors: style (default) or content",
    )
    parser.add_argument(
        "--strokes",
        type=number(0.25, 4, example=2),
        default=1.0,
        help="size of the strokes: 2 doubles, 0.5 halves it",
    )
    parser.add_argument(
        "--precision",
        type=one_of("float32", "bfloat16", "auto"),
        default="auto",
        help="float32, bfloat16 or auto (default)",
    )
    parser.add_argument(
        "--memory",
        type=number(0, example=6),
        help="GB that may be used (default: half of the free memory)",
    )
    parser.add_argument(
        "--weights", default=PROJECT / CONFIG.VGG_MODEL, help="weight file of VGG-19"
    )
    parser.add_argument(
        "--output",
        type=user_path,
        help="result (default: output/<content>_<style>.jpg); for a folder of photos, a folder",
    )
    parser.add_argument(
        "--steps", type=user_path, help="folder in which to keep the picture of each level"
    )
    args = parser.parse_args(arguments)
    args.styles = dict(args.styles)
    return args


def main(arguments=None):
    """Run the command `nst paint`."""
    args = parse(arguments)
    settings = {name: getattr(args, name) for name in ("size", "strength", "colors", "strokes")}
    settings |= {"precision": args.precision, "model": args.weights, "memory": args.memory}
    try:
        if os.path.isdir(args.content):
            failed = paint_folder(args, settings)
        else:
            failed = []
            paint_photo(args.content, _names(args, args.content), args, settings)
    except EXPECTED_ERRORS as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        exit_now()
    if failed:
        sys.exit(f"{len(failed)} of the photos failed: {', '.join(failed)}")


def paint_folder(args, settings):
    """Paint all photos of the folder `args.content`; return the names of those that failed."""
    photos = sorted(
        path for path in Path(args.content).iterdir() if path.suffix.lower() in PICTURE_EXTENSIONS
    )
    if not photos:
        raise FileNotFoundError(f"{args.content} contains no photos: name another folder")
    if args.output and args.output.suffix:
        raise ValueError(f"{args.output} would hold several photos: name a folder for the results")
    failed = []
    for photo in photos:
        folder = [args.output] if args.output else []
        try:
            if paint_photo(photo, output_paths(photo, args.styles, *folder), args, settings):
                break
        except EXPECTED_ERRORS as error:
            print(error, flush=True)
            failed.append(photo.name)
    return failed


def _names(args, content):
    return [args.output] if args.output else output_paths(content, args.styles)


def paint_photo(content, names, args, settings):
    """Paint one photo into the first of `names` that is free; return whether Ctrl-C stopped it."""
    begun = time.monotonic()
    height, width = fit_size(content, args.size)  # finds errors before TensorFlow's slow import
    for path in (content, *args.styles):
        load_image(path, 16, 16)
    with reserved_path(names) as output:
        check_picture_path(output)
        styles = " and ".join(os.path.basename(path) for path in args.styles)
        print(f"{os.path.basename(content)} in the style of {styles}, {width}×{height} pixels")
        progress, stopped = paint_from_terminal(content, args.styles, output, settings, args.steps)
    path = os.path.relpath(output)
    if stopped:
        print(f"Stopped at {progress.done:.0%}: the picture so far is {path}")
    else:
        print(f"Finished in {format_duration(time.monotonic() - begun)}: {path}")
    return stopped
