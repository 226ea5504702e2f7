"""The exercise edition of the lab: `make exercises`.

What is between START CODE HERE and END CODE HERE becomes a blank; its comments are kept. Each check
is followed by the public test of its function. The same lab gives the same file, byte for byte.
"""

from itertools import pairwise

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from nst.assignment.blanks import blank_out
from nst.assignment.spec import FUNCTIONS
from nst.core.cli import Parser
from nst.core.config import LAB, PROJECT
from nst.core.files import whole_file

# The file browser truncates long names, so the difference comes first.
EXERCISES = LAB.with_stem(f"Exercises_{LAB.stem}")
NOTE = """\
**This is the exercise edition.** Each `None` between `### START CODE HERE ###` and
`### END CODE HERE ###` is a blank: replace it with your own code, in as many lines as you like. The
call of `public_tests` after each check also tries your function on other inputs, and tells you
where to look if something is wrong."""
SET_UP = "from nst.assignment import public_tests"


def exercise_edition(lab):
    """Return the exercise edition of the solved lab; both are NotebookNodes."""
    cells, untested = [], []
    for cell, following in pairwise([*lab.cells, None]):
        cells.append(_stripped(cell))
        if cell.cell_type == "markdown":
            continue
        if "from nst_utils import *" in cell.source:
            cells.append(new_markdown_cell(NOTE, id="exercise-note"))
            cells.append(new_code_cell(SET_UP, id="public-tests"))
        untested += [f for f in FUNCTIONS if f"def {f}(" in cell.source]
        below = following.source if following and following.cell_type == "code" else ""
        if any(f"{f}(" in below for f in untested):
            continue  # the check comes first
        for f in untested:
            cells.append(new_code_cell(f"public_tests.{f}_test({f})", id=f"test-{f}"))
        untested = []
    return nbformat.from_dict({**lab, "cells": cells})


def _stripped(cell):
    kept = {key: cell.metadata[key] for key in ("tags",) if key in cell.metadata}
    if cell.cell_type == "markdown":
        return new_markdown_cell(cell.source, id=cell.id, metadata=kept)
    source = cell.source.replace(LAB.name, EXERCISES.name)  # it names its own file
    return new_code_cell(blank_out(source), id=cell.id, metadata=kept)


def main(arguments=None):
    """Run the command `nst exercises`."""
    parser = Parser(
        prog="nst exercises",
        description="Make the exercise edition from the solved lab.",
        epilog="example: nst exercises",
    )
    parser.parse_args(arguments)
    edition = exercise_edition(nbformat.read(LAB, as_version=4))
    with whole_file(EXERCISES) as file:
        nbformat.write(edition, file)
    print(f"Wrote {EXERCISES.relative_to(PROJECT)}")
