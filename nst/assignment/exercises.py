"""The exercise edition of the lab: `make exercises`.

What is between START CODE HERE and END CODE HERE becomes a blank; its comments are kept. Each check
is followed by the public test of its function. The same lab gives the same file, byte for byte.
"""

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
    cells = [_stripped(cell) for cell in lab.cells]
    after = {cell.id: place for place, cell in enumerate(cells, 1)}
    for f in reversed(FUNCTIONS):  # from the end on, as what is inserted moves what follows
        place = after[f] + cells[after[f]].id.startswith("check-")
        cells.insert(place, new_code_cell(f"public_tests.{f}_test({f})", id=f"test-{f}"))
    cells.insert(after["imports"], new_code_cell(SET_UP, id="public-tests"))
    cells.insert(after["imports"], new_markdown_cell(NOTE, id="exercise-note"))
    return nbformat.from_dict({**lab, "cells": cells})


def _stripped(cell):
    """Return a cell without answers, outputs and times."""
    if cell.cell_type == "markdown":
        return cell
    source = cell.source.replace(LAB.name, EXERCISES.name)  # it names its own file
    tags = {key: value for key, value in cell.metadata.items() if key == "tags"}
    return new_code_cell(blank_out(source), id=cell.id, metadata=tags)


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
