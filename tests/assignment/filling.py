"""The exercise edition with its blanks filled in: the lab's answers, or others."""

import ast
from functools import cache

import nbformat

from nst.assignment.blanks import has_blank
from nst.assignment.exercises import EXERCISES
from nst.core.config import LAB


@cache
def code_of(notebook):
    """Return a notebook's code cells, id to source."""
    return {c.id: c.source for c in nbformat.read(notebook, 4).cells if c.cell_type == "code"}


def start_of(source):
    """Return a cell's first line of code, without a comment behind it."""
    lines = [line.partition("  #")[0] for line in source.splitlines() if line[:1] != "#"]
    return next(filter(None, lines))


def answers_of(source):
    """List the statements between the marks of a cell, in their order."""
    marks = [n for n, line in enumerate(source.splitlines(), 1) if " CODE HERE ###" in line]
    regions = map(range, marks[::2], marks[1::2])
    inside = {line for region in regions for line in region}
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt))
    answers = (node for node in nodes if node.lineno in inside and not hasattr(node, "body"))
    return sorted(answers, key=lambda node: node.lineno)


def filled(cell, answers=None):
    """Fill a cell of the exercise edition with the lab's answers, but for `answers`.

    Arguments:
    cell -- its id
    answers -- dict, number of a blank to what stands there instead

    Returns:
    its source
    """
    source, solved = code_of(EXERCISES)[cell], code_of(LAB).get(cell, "")
    if not has_blank(source):
        return source
    lines = source.splitlines()
    both = zip(answers_of(source), answers_of(solved), strict=True)
    for number, (blank, answer) in reversed(list(enumerate(both))):
        text = (answers or {}).get(number, ast.get_source_segment(solved, answer))
        line = lines[blank.lineno - 1]
        lines[blank.lineno - 1] = line[: blank.col_offset] + text + line[blank.end_col_offset :]
    return "\n".join(lines)
