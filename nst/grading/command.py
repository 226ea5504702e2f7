"""Grade notebooks: every TensorFlow 1 version of the assignment, as notebooks or exported .py.

Each submission runs in a process of its own, which only computes; what comes out is judged here, on
inputs that nobody can know beforehand. Its training runs for one step, on a miniature VGG-19.
"""

import hashlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from nst.core.cli import Parser, user_path, whole_number
from nst.core.interrupts import on_interrupt
from nst.grading import students
from nst.grading.reports import COLUMNS, Report, print_line, print_rows, printable
from nst.grading.sandbox import bubblewrap
from nst.grading.submissions import find_notebooks, read_bytes

NO_BUBBLEWRAP = (
    "bubblewrap is missing, or is not allowed to work here, so submissions can read your files and "
    "use the network: install it (apt install bubblewrap), or grade in a container"
)


def grade_all(paths, limit, jobs):
    """Grade files (Path), several at a time, and yield the rows of each; none once Ctrl-C ends it.

    Ctrl-C sets an Event; a KeyboardInterrupt could fire inside a lock or a finally.

    Arguments:
    limit -- seconds of CPU time for a function
    jobs -- number of submissions graded at a time, None for one on every processor
    """
    stop = threading.Event()
    with (
        on_interrupt(lambda *_: stop.set()),
        ThreadPoolExecutor(jobs or os.cpu_count() or 1) as threads,
    ):
        from nst.grading.grader import Grader  # imports TensorFlow

        with Grader(limit, stop) as grader:
            yield from threads.map(grader.grade, paths)


def main(arguments=None):
    """Run the command `nst grade`."""
    args = _parser().parse_args(arguments)
    sys.stdout.reconfigure(errors="replace")  # a console may lack ²
    try:
        grading = Grading(args)
        if not bubblewrap():
            _warn(NO_BUBBLEWRAP)
        grading.run()
    except (OSError, ValueError) as error:
        _warn(error)
        sys.exit(2)
    grading.summarize()
    if len(grading.results) < len(grading.submissions):
        _warn(f"stopped after {len(grading.results)} of {len(grading.submissions)} submissions")
        sys.exit(130)
    verdicts = {row["verdict"] for result in grading.results for row in result["rows"]}
    sys.exit(1 if args.strict and "fail" in verdicts else 0)


def _warn(message):
    print(printable(message, 4000), file=sys.stderr)


class Grading:
    """The grading of a class: what is graded already, and where that is shown and written."""

    def __init__(self, args):
        """Read what the command names; raise OSError or ValueError if that fails."""
        self.submissions, self.results, self._args = [], [], args
        for path in args.paths:
            folder = path if path.is_dir() else None
            self.submissions += [_submission(file, folder) for file in find_notebooks(path)]
        self._report = Report(args.report) if args.report else None
        self._roster = students.read_roster(args.roster) if args.roster else []
        self._weights = args.points or dict.fromkeys(students.SHORT_NAMES, 1)
        self._is_table = len(self.submissions) > 1 and not args.json

    def run(self):
        """Grade what is new or has changed, until Ctrl-C; raise OSError if the disk is full."""
        if self._is_table:
            print_line("student", COLUMNS)
        earlier, new = self._report.earlier if self._report else {}, []
        for submission in self.submissions:
            if rows := earlier.get((submission["notebook"], submission["digest"])):
                self._add(submission, rows)
            else:
                new.append(submission)
        self._write()
        if not new:
            return
        paths = [Path(submission["notebook"]) for submission in new]
        with closing(grade_all(paths, self._args.limit, self._args.jobs)) as graded:
            for submission, rows in zip(new, graded, strict=True):
                if rows:
                    self._add(submission, rows)
                    self._write()

    def _add(self, submission, rows):
        result = submission | {"points": students.points(rows, self._weights), "rows": rows}
        self.results.append(result | {"maximum": sum(self._weights.values())})
        if self._is_table:
            print_line(submission["student"], [row["verdict"] for row in rows])

    def _write(self):
        if self._report:
            self._report.write(self.results, students.summary(self.results, self._roster))

    def summarize(self):
        """Print what is not in the table."""
        if self._args.json:
            print(json.dumps(self.results, indent=1))
        elif self._is_table:
            for line in students.summary(self.results, self._roster):
                _warn(line)
        elif self.results:
            print_rows(self.results[0]["rows"])
        if report := self._report:
            _warn(f"wrote {report.page}, {report.table}, {report.grades} and {report.folder}/")


def _submission(path, folder):
    student, number = students.identify(path, folder)
    try:
        digest = hashlib.sha256(read_bytes(path)).hexdigest()
    except ValueError:
        digest = ""  # it is graded again
    return {"notebook": str(path), "student": student, "id": number, "digest": digest}


def _parser():
    parser = Parser(
        prog="nst grade",
        description=__doc__.partition("\n")[0],
        epilog="example: nst grade class/ --report report.html. Grading runs the notebooks' code "
        "with your rights; with bubblewrap installed (Linux), it reaches neither your files nor "
        "the network. Otherwise grade untrusted notebooks in a container: nst/grading/README.md "
        "has the command.",
    )
    parser.add_argument(
        "paths", nargs="+", type=user_path, metavar="path", help="a notebook, a .py, or a folder"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--report",
        type=user_path,
        metavar="report.html",
        help="write a page, spreadsheets (.csv) and a folder of feedback; continue an earlier one",
    )
    parser.add_argument(
        "--points",
        type=students.weights,
        metavar="content_cost:3,...",
        help="points of each function, default: 1 each",
    )
    parser.add_argument("--roster", type=user_path, metavar="class.csv", help="list of the class")
    parser.add_argument("--strict", action="store_true", help="end with status 1 if anything fails")
    parser.add_argument(
        "--jobs", type=whole_number(1), help="number graded at a time, default: one per processor"
    )
    parser.add_argument(
        "--limit", type=whole_number(1), default=5, help="seconds for a function, default: 5"
    )
    return parser
