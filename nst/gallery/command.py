"""Paint many pairs of images, and make a contact sheet of them.

The list is a CSV file with the columns `content` and `style`, paths relative to the list, and
optionally `name`. Without a list, the four pairs of the project's own images are painted. The
output folder gets <name>.jpg for each pair, by default <content>_<style>.jpg, and gallery.jpg.
A result that exists already is not painted again, so after a failure or Ctrl-C the same command
paints the rest.

The pairs are painted from coarse to fine, as by `nst paint`, or with --method lab by the lab's
notebook; one after another here, or with --scheduler by the workers of a Dask cluster. Start each
worker in a copy of the project that has the weights (`make weights`):

    PYTHONPATH=. .venv/bin/dask worker tcp://host:8786

Workers need no files of this machine: the images travel with the jobs.
"""

import argparse
import sys
from functools import partial
from typing import NamedTuple

from nst.core.cli import Parser, one_of, user_path, whole_number
from nst.core.config import WORKPLACE
from nst.core.files import whole_file
from nst.core.images import SHORTEST_SIDE, check_picture_path
from nst.core.progress import format_duration
from nst.gallery import job
from nst.gallery.contact_sheet import contact_sheet
from nst.gallery.dask_cluster import connect, run_jobs
from nst.gallery.pairs import default_pairs, read_pairs


class Row(NamedTuple):
    """A line of the results table."""

    pair: str
    result: str  # made, skipped or failed
    seconds: int | str  # time to paint it, "" if it was not painted
    why: str


def make_gallery(pairs, output, method="paint", values=None, client=None):
    """Paint the pairs that have no result in the folder `output` yet; a failure stops no other.

    Arguments:
    pairs -- list of Pair
    method, values -- as for `job.paint_pair`
    client -- distributed.Client of a Dask cluster that does the painting; None: paint here

    Returns:
    list of Row, one for each pair

    Raises OSError if nothing can be written to `output`.
    """
    check_picture_path(output / "gallery.jpg")
    rows = {}
    jobs = _jobs(pairs, output, rows)
    if client:
        finished = _paint_on_cluster(jobs, method, values or {}, client)
    else:
        finished = (
            (pair, partial(job.paint_pair, *images, method, values or {}, output))
            for pair, *images in jobs
        )
    for pair, result in finished:
        rows[pair] = _save(pair, result, output)
        print(f"{len(rows)} of {len(pairs)}:", *filter(None, rows[pair]), _left(rows, pairs))
        sys.stdout.flush()
    lost = "it was not painted, the Dask scheduler was lost: run the same command again"
    return [rows.get(pair) or Row(pair.name, "failed", "", lost) for pair in pairs]


def _jobs(pairs, output, rows):
    """Yield (pair, content, style) for each pair to paint; add the others to `rows`."""
    for pair in pairs:
        try:
            if (output / f"{pair.name}.jpg").exists():
                rows[pair] = Row(pair.name, "skipped", "", "the result exists already")
                continue
            yield pair, *[(path.name, path.read_bytes()) for path in pair[1:]]
        except OSError as error:
            why = f"{error.filename} cannot be read ({error.strerror}): check its name in the list"
            rows[pair] = Row(pair.name, "failed", "", why)


def _save(pair, result, output):
    try:
        jpeg, seconds = result()
        with whole_file(output / f"{pair.name}.jpg") as file:
            file.write_bytes(jpeg)
        return Row(pair.name, "made", round(seconds), "")
    except Exception as error:  # whatever it is, the other pairs are still to be painted
        return Row(pair.name, "failed", "", str(error).partition("\n")[0])


def _left(rows, pairs):
    """Return how long the remaining pairs will take, by the mean of those that are done."""
    seconds = [row.seconds for row in rows.values() if row.result == "made"]
    left = len(pairs) - len(rows)
    if not seconds or not left:
        return ""
    return f"(about {format_duration(left * sum(seconds) / len(seconds))} left)"


def _paint_on_cluster(jobs, method, values, client):
    from distributed import get_worker

    def paint(*images):  # a nested function travels whole: the scheduler does not have the project
        from nst.gallery.job import paint_pair

        return paint_pair(*images, method, values, get_worker().local_directory)

    return run_jobs(client, paint, jobs)


def print_table(rows):
    """Print the results."""
    width = max(len(row.pair) for row in rows)
    print(f"\n{'pair':{width}}  result   seconds  why")
    for row in rows:
        print(f"{row.pair:{width}}  {row.result:7}  {row.seconds:>7}  {row.why}")


def main(arguments=None):
    """Run the command `nst gallery`."""
    args = _parser().parse_args(arguments)
    values = {"SIZE": args.size, "ITERATIONS": args.iterations, "PRECISION": args.precision}
    values = {name: value for name, value in values.items() if value is not None}
    output = args.output.absolute()
    if args.iterations and args.method != "lab":
        sys.exit("--iterations counts steps of the lab: add --method lab, or leave it out")
    try:
        pairs = read_pairs(args.pairs) if args.pairs else default_pairs()
        client = connect(args.scheduler) if args.scheduler else None
        rows = make_gallery(pairs, output, args.method, values, client)
        print_table(rows)
        contact_sheet(pairs, output)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nStopped: finished results are kept, and the same command paints the rest")
    sys.exit(any(row.result == "failed" for row in rows))


def _parser():
    parser = Parser(
        prog="nst gallery",
        description=__doc__,
        epilog="example: nst gallery --pairs class.csv --size 800",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--pairs", type=user_path, help="CSV file with the columns content and style"
    )
    parser.add_argument("--scheduler", help="address of a Dask scheduler: tcp://host:port")
    parser.add_argument(
        "--method",
        choices=job.METHODS,
        default="paint",
        help="paint, from coarse to fine (default), or lab, the assignment's way",
    )
    parser.add_argument(
        "--size", type=whole_number(SHORTEST_SIDE), help="longest side in pixels, default: 400"
    )
    parser.add_argument(
        "--iterations", type=whole_number(1), help="number of optimizer steps, with --method lab"
    )
    parser.add_argument(
        "--precision",
        type=one_of("float32", "bfloat16", "auto"),
        help="float32, bfloat16 or auto",
    )
    parser.add_argument(
        "--output",
        type=user_path,
        default=WORKPLACE / "output" / "gallery",
        help="folder for the results",
    )
    return parser
