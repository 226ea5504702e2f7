"""Grade notebooks: any edition of the assignment, as a notebook or as a .py exported from one.

The graded functions run in a process of their own, which an answer that never ends cannot hold up;
then the notebook's own training runs for one step, on a miniature VGG, and its costs are compared
with right ones.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from nst.examining import NEVER_RETURNS, TRAINING, work
from nst.submissions import FUNCTIONS, find_notebooks, read_cells

START_LIMIT, TRAINING_LIMIT = 60, 20  # seconds; the limit of a function is an option
DIES = "it ends Python itself. Look for exit(), os._exit(), or arrays that fill the memory."


class Worker:
    """A process that runs `work`, in an empty folder."""

    def __init__(self, cells, hanging):
        spawn = multiprocessing.get_context("spawn")
        self.folder = TemporaryDirectory()
        self.connection, theirs = spawn.Pipe()
        arguments = theirs, cells, self.folder.name, hanging
        self.process = spawn.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.gone = False

    def answer(self, limit):
        """Wait `limit` seconds for an answer; then interrupt, as Jupyter does; then kill."""
        complaint = DIES
        for wait in (limit, 2):
            if self.connection.poll(wait):
                with suppress(EOFError):
                    return json.loads(self.connection.recv_bytes())
                break
            complaint = NEVER_RETURNS
            os.kill(self.process.pid, signal.SIGINT)
        self.stop()
        return {"complaint": complaint}

    def ask(self, name, limit):
        self.connection.send_bytes(name.encode())
        return self.answer(limit)

    def stop(self):
        self.gone = True
        self.process.kill()
        self.process.join()
        self.folder.cleanup()


def grade(path, limit):
    """Grade one notebook, with `limit` seconds for each function.

    Returns:
    list of dicts: function, published (of the training: our costs), got, verdict ("pass" or
    "fail"), diagnosis; a value is None where there is none
    """
    answers = dict.fromkeys([*FUNCTIONS, TRAINING])
    hanging, worker = [], None
    try:
        cells = read_cells(path)
        for name in answers:
            if worker is None or worker.gone:
                worker = Worker(cells, hanging)
                start = worker.answer(START_LIMIT)
                if worker.gone:
                    raise ValueError(
                        f"its imports and definitions do not run: {start['complaint']}"
                    )
            if name != TRAINING:
                answers[name] = worker.ask(name, limit)
            elif not hanging:
                answers[name] = worker.ask(name, TRAINING_LIMIT)
            else:
                answers[name] = {"complaint": f"it did not run, as {hanging[0]} does not return."}
            if worker.gone or answers[name]["complaint"] == NEVER_RETURNS:
                hanging.append(name)
    except (OSError, ValueError) as error:
        answers = {name: answer or {"complaint": str(error)} for name, answer in answers.items()}
    finally:
        if worker and not worker.gone:
            worker.stop()
    return [_row(name, **answer) for name, answer in answers.items()]


def _row(name, complaint, got=None, published=None, note=""):
    return {
        "function": name,
        "published": published,
        "got": got,
        "verdict": "fail" if complaint else "pass",
        "diagnosis": complaint or note,
    }


def print_table(rows):
    """Print the rows of one notebook, the diagnoses wrapped to the terminal."""
    width = max(40, shutil.get_terminal_size((120, 24)).columns - 66)
    for row in [{key: key for key in rows[0]}, *rows]:
        published, got = _short(row["published"]), _short(row["got"])
        if row["function"] == TRAINING:
            published = f"ours {published}"
        lines = textwrap.wrap(row["diagnosis"], width) or [""]
        print(f"{row['function']:26}{published:17}{got:13}{row['verdict']:9}{lines[0]}".rstrip())
        for line in lines[1:]:
            print(" " * 65 + line)


def _short(value):
    """Show a value in a few characters: of a matrix or a list of costs the first number."""
    while isinstance(value, list):
        value = value[0] if value else None
    return f"{value:.6g}" if isinstance(value, int | float) else value or "-"


COLUMNS = [name.removeprefix("compute_").partition(",")[0] for name in (*FUNCTIONS, TRAINING)]


def print_line(first, texts, width):
    """Print a line of the table of several notebooks: its header, or the verdicts on one."""
    columns = zip(texts, COLUMNS, strict=True)
    cells = [f"{first:{width}}", *(f"{text:{len(column)}}" for text, column in columns)]
    print("  ".join(cells).rstrip(), flush=True)


def main(arguments=None):
    """Be the command `nst grade`."""
    parser = argparse.ArgumentParser(
        prog="nst grade",
        description=__doc__.partition("\n")[0],
        epilog="example: nst grade class/ --json > grades.json. Grading runs the notebooks' code "
        "with your rights: grade what strangers wrote in a container, or in an account that has "
        "nothing to lose.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="path", help="notebook, .py, folder")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    parser.add_argument("--limit", type=float, default=5, help="seconds for a function (5)")
    args = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a Windows console may know no ²
    try:
        notebooks = [notebook for path in args.paths for notebook in find_notebooks(path)]
    except FileNotFoundError as error:
        parser.exit(2, f"{error}\n")
    results, width = [], max(len(str(notebook)) for notebook in notebooks)
    for notebook in notebooks:
        rows = grade(notebook, args.limit)
        results.append({"notebook": str(notebook), "rows": rows})
        if len(notebooks) > 1 and not args.json:
            if len(results) == 1:
                print_line("notebook", COLUMNS, width)
            print_line(str(notebook), [row["verdict"] for row in rows], width)
    if args.json:
        print(json.dumps(results, indent=1))
    elif len(notebooks) == 1:
        print_table(results[0]["rows"])
    verdicts = {row["verdict"] for result in results for row in result["rows"]}
    sys.exit(0 if verdicts == {"pass"} else 1)
