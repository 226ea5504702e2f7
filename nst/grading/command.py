"""Grade notebooks: any edition of the assignment, as a notebook or as a .py exported from one.

Each submission runs in a process of its own, which only computes; what comes out is judged here, on
inputs that nobody can know beforehand. Its training runs for one step, on a miniature VGG-19.
"""

import json
import os
import queue
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from nst.core.cli import Parser, own_path, whole_number
from nst.grading.reports import (
    COLUMNS,
    NAME_WIDTH,
    NO_BUBBLEWRAP,
    print_line,
    print_table,
    printable,
    report_files,
    short_name,
    write_report,
)
from nst.grading.sandbox import Rooms, bubblewrap
from nst.grading.submissions import find_notebooks


def grade_all(submissions, limit, jobs, show):
    """Grade submissions, several at once.

    Ctrl-C raises no KeyboardInterrupt here, which would strike anywhere, within a lock or a
    finally; it is an event like the end of a submission, and the one loop waits for both.

    Arguments:
    submissions -- list of (path, folder that its links must not leave)
    limit -- seconds of processor time for a function
    jobs -- how many at once, None for one on every two processors
    show -- is called with each result as soon as it and all before it are there

    Returns:
    list of dicts: notebook, rows; shorter than `submissions` where Ctrl-C ended it
    """
    jobs, results, events = jobs or _default_jobs(), [], queue.SimpleQueue()
    with _ctrl_c_to(events), ThreadPoolExecutor(jobs) as threads:
        try:
            rooms = Rooms(jobs, len(submissions))
        except OSError as error:
            said = error.strerror or error
            sys.exit(f"nothing can be graded here ({said}): make room on the disk, and try again")
        with rooms:
            from nst.grading.grader import Examiner  # TensorFlow, while the first rooms warm up

            examiner = Examiner(rooms, limit)
            futures = [threads.submit(examiner.grade, *submission) for submission in submissions]
            for future in futures:
                future.add_done_callback(events.put)
            for number in _graded(futures, events):
                path, _ = submissions[number]
                results.append({"notebook": str(path), "rows": futures[number].result()})
                show(results[-1])
            for future in futures:
                future.cancel()
    return results


@contextmanager
def _ctrl_c_to(events):
    """Make Ctrl-C an event, None, that interrupts nothing."""
    before = signal.signal(signal.SIGINT, lambda *_: events.put(None))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _graded(futures, events):
    """Yield the numbers of what is graded, in their order; at Ctrl-C the rest of what is."""
    count = 0
    while count < len(futures):
        if _next(events) is None:
            yield from (n for n in range(count, len(futures)) if futures[n].done())
            return
        while count < len(futures) and futures[count].done():
            yield count
            count += 1


def _next(events):
    while True:
        with suppress(queue.Empty):
            return events.get(timeout=1)  # on Windows, Ctrl-C would not end a longer wait


def _default_jobs():
    """One submission at a time for every two processors, as the next one warms up meanwhile."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (count or 1) // 2)


def main(arguments=None):
    """Run the command `nst grade`."""
    args = _parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a Windows console may know no ²
    submissions = _submissions(args)
    table = len(submissions) > 1 and not args.json
    width = min(NAME_WIDTH, max(len(printable(path, 4096)) for path, _ in submissions))
    if table:
        print_line("notebook", COLUMNS, width)

    def show(result):
        if table:
            verdicts = [row["verdict"] for row in result["rows"]]
            print_line(short_name(result["notebook"], width), verdicts, width)

    results = grade_all(submissions, args.limit, args.jobs, show)
    if args.json:
        print(json.dumps(results, indent=1))
    elif results and not table:
        print_table(results[0]["rows"])
    if args.report:
        _report(args.report, results)
    sys.exit(_status(results, len(submissions)))


def _submissions(args):
    """List (path, folder that its links must not leave), and say what can be said beforehand."""
    try:
        submissions = [
            (notebook, path if path.is_dir() else None)
            for path in args.paths
            for notebook in find_notebooks(path)
        ]
        if args.report:
            report_files(args.report)
    except (FileNotFoundError, FileExistsError) as error:
        sys.stderr.write(f"{printable(error)}\n")
        sys.exit(2)
    if not bubblewrap():
        sys.stderr.write(f"{NO_BUBBLEWRAP}\n")
    return submissions


def _report(report, results):
    try:
        page, table, folder = write_report(report, results)
    except OSError as error:
        sys.exit(printable(error))
    print(f"wrote {page}, {table} and {folder}/", file=sys.stderr)


def _status(results, count):
    if len(results) < count:
        sys.stderr.write(f"stopped after {len(results)} of {count} submissions\n")
        return 130  # what a shell calls Ctrl-C
    verdicts = {row["verdict"] for result in results for row in result["rows"]}
    return 0 if verdicts == {"pass"} else 1


def _parser():
    parser = Parser(
        prog="nst grade",
        description=__doc__.partition("\n")[0],
        epilog="example: nst grade class/ --report report.html. Grading runs the notebooks' code "
        "with your rights; where bubblewrap is installed (Linux), it reaches neither your files "
        "nor the network. Elsewhere grade what strangers wrote in a container, or in an account "
        "that has nothing to lose.",
    )
    parser.add_argument(
        "paths", nargs="+", type=own_path, metavar="path", help="a notebook, a .py, or a folder"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--report",
        type=own_path,
        metavar="report.html",
        help="write a page, a spreadsheet (.csv) and a folder of feedback to send",
    )
    parser.add_argument(
        "--jobs", type=whole_number(1), help="how many at once, default: one for two processors"
    )
    parser.add_argument(
        "--limit", type=whole_number(1), default=5, help="seconds for a function, default: 5"
    )
    return parser
