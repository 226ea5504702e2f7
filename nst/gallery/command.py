"""Many pairs painted, and a contact sheet of them.

The list is a CSV file with the columns `content` and `style`, pictures named relative to the list,
and perhaps `name`; without one the four pairs of the project's own pictures are painted. The output
folder gets <name>.jpg for each pair, by default <content>_<style>.jpg, and gallery.jpg. What is
already there is not painted again, so after a failure, or Ctrl-C, the same command goes on.

They are painted from coarse to fine (nst.painting.painter) or, with --method lab, by the lab's
notebook.

The pairs are painted one after the other here or, with --scheduler, by the workers of a Dask
cluster. Each worker is started in a copy of the project with its weights (`make weights`) by

    PYTHONPATH=. .venv/bin/dask worker tcp://host:8786

and needs no files of this machine: the pictures travel there and back with the tasks.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from nbclient.exceptions import CellExecutionError, DeadKernelError

from nst.core.cli import Parser, own_path, whole_number
from nst.core.config import CONFIG, LAB, WORKPLACE
from nst.core.files import whole_file
from nst.core.images import SHORTEST_SIDE, check_picture_path, fit_size, save_image
from nst.gallery.contact_sheet import contact_sheet
from nst.gallery.dask_cluster import LOST, as_finished, connect
from nst.gallery.pairs import own_pairs, read_pairs
from nst.lab.runner import run
from nst.painting.command import ProgressLine
from nst.painting.options import load_painter

ONE_AT_A_TIME = threading.Lock()  # however many threads a Dask worker has
EVALUATIONS = 6  # from which the time of the whole list is estimated
ITERATIONS = 200  # the lab's
KERNEL = 7  # seconds that the lab takes to start


class Row(NamedTuple):
    pair: str
    result: str  # made, skipped or failed
    seconds: int | str  # to paint it, or "" where that was not finished
    why: str


# --- painting ------------------------------------------------------------------------------------


def paint(content, style, values, folder=None):
    """Paint one pair in a scratch folder.

    Arguments:
    content, style -- (file name, bytes) of a picture
    values -- dict of the lab's parameters, by name, and perhaps of METHOD: "paint" or "lab"
    folder -- where the scratch folder is made; it is removed afterwards

    Returns:
    jpeg -- bytes of the generated image
    seconds -- what it took

    Raises RuntimeError.
    """
    start = time.monotonic()
    with _scratch(content, style, values, folder) as (scratch, values):
        METHODS[values.pop("METHOD", "paint")](scratch, values)
        return Path(scratch, "generated_image.jpg").read_bytes(), time.monotonic() - start


@contextmanager
def _scratch(content, style, values, folder):
    """Put a pair into a scratch folder; give the folder, and the lab's parameters for it."""
    with ONE_AT_A_TIME, tempfile.TemporaryDirectory(prefix=".gallery-", dir=folder) as scratch:
        values = values | {"OUTPUT_DIR": scratch}
        for role, (name, data) in {"CONTENT": content, "STYLE": style}.items():
            picture = Path(scratch, role.lower(), name)
            picture.parent.mkdir()
            picture.write_bytes(data)
            values[f"{role}_IMAGE"] = str(picture)
        try:
            yield Path(scratch), values
        except (MemoryError, OSError, RuntimeError, ValueError) as error:
            raise RuntimeError(str(error).replace(scratch + os.sep, "")) from None


def _run_lab(scratch, values):
    """Run the lab headless: the assignment's way."""
    try:
        run(LAB, scratch, values)
    except CellExecutionError as error:
        raise RuntimeError(f"{error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise RuntimeError("the lab's kernel died: is there enough memory?") from None


def _paint_soon(scratch, values):
    """Paint from coarse to fine; of the lab's parameters SIZE, PRECISION and VGG_MODEL count."""
    line = ProgressLine()
    with closing(_begin_soon(values)) as painting:
        for progress in painting:
            line.show(progress)
    line.end()
    save_image(scratch / "generated_image.jpg", progress.full_size())


def _begin_soon(values):
    names = {"SIZE": "size", "PRECISION": "precision", "VGG_MODEL": "model"}
    settings = {"size": CONFIG.IMAGE_WIDTH}
    settings |= {names[name]: value for name, value in values.items() if name in names}
    return load_painter()(values["CONTENT_IMAGE"], values["STYLE_IMAGE"], **settings)


METHODS = {"paint": _paint_soon, "lab": _run_lab}


def estimate(content, style, values, sizes, folder=None):
    """Say what `paint` will take for pictures of the given sizes, from a few evaluations of one.

    Arguments:
    content, style, values, folder -- see `paint`; the pair of the first size
    sizes -- list of (height, width)

    Returns:
    seconds; raises RuntimeError
    """
    with _scratch(content, style, values, folder) as (_, values):
        with closing(_begin_soon(values)) as painting:
            begun = time.monotonic()
            *_, progress = islice(painting, EVALUATIONS)
        seconds = time.monotonic() - begun + progress.seconds_left  # for one
        from nst.painting.painter import work  # `_begin_soon` has imported it

        if values.get("METHOD") != "lab":
            return seconds * sum(work(*size) for size in sizes) / work(*sizes[0])
        steps = values.get("ITERATIONS", ITERATIONS) * sum(h * w for h, w in sizes)
        return KERNEL * len(sizes) + seconds * steps / work(*sizes[0])


def make_gallery(pairs, output, values, client=None):
    """Paint the pairs whose result is not in the folder `output` yet; a failed one stops no other.

    Arguments:
    values -- dict of the lab's parameters, by name
    client -- distributed.Client of a Dask cluster whose workers are to paint

    Returns:
    list of Row, one for each pair

    Raises OSError.
    """
    check_picture_path(output / "gallery.jpg")
    rows = {}
    todo = _todo(pairs, output, rows)
    if client:
        painted = _paint_on_cluster(todo, values, client)
    else:
        _announce(pairs, output, values)
        painted = _paint_here(todo, values, output)
    for pair, result in painted:
        try:
            jpeg, seconds = result()
            with whole_file(output / f"{pair.name}.jpg") as file:
                file.write_bytes(jpeg)
            row = Row(pair.name, "made", round(seconds), "")
        except Exception as error:  # whatever it is, the other pairs are still to be made
            row = Row(pair.name, "failed", "", str(error).partition("\n")[0])
        rows[pair] = row
        print(f"{len(rows)} of {len(pairs)}:", *filter(None, row), flush=True)
    return [rows.get(pair) or Row(pair.name, "failed", "", LOST) for pair in pairs]


def _announce(pairs, output, values):
    """Print how many pictures there are to paint here, and what they will take."""
    sizes = {}
    for pair in pairs:
        with suppress(MemoryError, OSError, ValueError):  # it is told in its turn
            if not (output / f"{pair.name}.jpg").exists() and fit_size(pair.style):
                sizes[pair] = fit_size(pair.content, values.get("SIZE", CONFIG.IMAGE_WIDTH))
    with suppress(OSError, RuntimeError, StopIteration):
        first = [(path.name, path.read_bytes()) for path in next(iter(sizes))[1:]]
        seconds = estimate(*first, values, list(sizes.values()), output)
        minutes = f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(1, round(seconds))} s"
        print(f"{len(sizes)} of {len(pairs)} to paint: about {minutes}", flush=True)


def _todo(pairs, output, rows):
    """Yield (pair, content, style) for what is to be painted; write down the others in `rows`."""
    for pair in pairs:
        try:
            if (output / f"{pair.name}.jpg").exists():
                rows[pair] = Row(pair.name, "skipped", "", "it is already there")
                continue
            content, style = [(path.name, path.read_bytes()) for path in pair[1:]]
        except OSError as error:
            why = f"{error.filename} cannot be read ({error.strerror}): check its name in the list"
            rows[pair] = Row(pair.name, "failed", "", why)
        else:
            yield pair, content, style


def _paint_here(todo, values, output):
    for pair, content, style in todo:
        print(f"\n{pair.name}", flush=True)
        yield pair, partial(paint, content, style, values, output)


def _paint_on_cluster(todo, values, client):
    """Yield (pair, function that returns what `paint` did) for each pair, as they are finished."""
    from distributed import get_worker

    def paint_there(*pictures):  # inside, so that it travels whole: the scheduler has no project
        from nst.gallery.command import paint

        return paint(*pictures, values, get_worker().local_directory)  # Dask cleans up there

    return as_finished(client, paint_there, todo)


# --- the command ---------------------------------------------------------------------------------


def main(arguments=None):
    """Run the command `nst gallery`."""
    parser = Parser(
        prog="nst gallery",
        description=__doc__,
        epilog="example: nst gallery --pairs class.csv --size 800",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--pairs", type=own_path, help="CSV file with the columns content and style"
    )
    parser.add_argument("--scheduler", help="address of a Dask scheduler: tcp://host:port")
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="paint, from coarse to fine (default), or lab, the assignment's way",
    )
    parser.add_argument(
        "--size", type=whole_number(SHORTEST_SIDE), help="longest side in pixels, default: 400"
    )
    parser.add_argument(
        "--iterations", type=whole_number(1), help="steps of the optimiser: with --method lab"
    )
    parser.add_argument("--precision", help="float32, bfloat16 or auto")
    parser.add_argument(
        "--output", type=own_path, default=WORKPLACE / "output" / "gallery", help="for the results"
    )
    args = parser.parse_args(arguments)
    values = {"METHOD": args.method, "SIZE": args.size}
    values |= {"ITERATIONS": args.iterations, "PRECISION": args.precision}
    values = {name: value for name, value in values.items() if value is not None}
    output = args.output.absolute()
    if args.iterations and args.method != "lab":
        sys.exit("--iterations is for the lab's steps: give --method lab as well, or leave it out")
    try:
        pairs = read_pairs(args.pairs) if args.pairs else own_pairs()
        client = connect(args.scheduler) if args.scheduler else None
        rows = make_gallery(pairs, output, values, client)
        print_table(rows)
        contact_sheet(pairs, output)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nStopped: what is made stays, and the same command makes the rest")
    sys.exit(any(row.result == "failed" for row in rows))


def print_table(rows):
    """Print what became of each pair."""
    width = max(len(row.pair) for row in rows)
    print(f"\n{'pair':{width}}  result   seconds  why")
    for row in rows:
        print(f"{row.pair:{width}}  {row.result:7}  {row.seconds:>7}  {row.why}")
