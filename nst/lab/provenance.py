"""The cells that gave a cell's names their values."""

import dis
import io
import os
import re
import sys
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

from nst.core.config import PROJECT
from nst.lab.notebook import cells


class Cell(NamedTuple):
    """A code cell of a notebook, with the nearest heading above it ("" if it is not known)."""

    id: str | None
    source: str
    heading: str = ""

    def __str__(self):
        """Name the cell to a reader: by its heading and its first line of code."""
        code = (line.split("  #")[0] for line in self.source.splitlines() if line[:1] != "#")
        of = f" of “{self.heading}”" if self.heading else ""
        return f"the cell{of} that begins with “{next(filter(None, code), '')}”"


def record_cells(shell):
    """Return the list of Cells that an IPython shell runs from now on, the one under way last."""
    if not hasattr(shell, "cells_run"):
        shell.cells_run = ran = []
        shell.events.register(
            "pre_run_cell", lambda info: ran.append(Cell(info.cell_id, info.raw_cell))
        )
    return shell.cells_run


def notebook_of(shell, name=""):
    """Return the path of the notebook that a kernel was started for.

    Arguments:
    name -- file in notebooks/, for front ends that do not name the notebook
    """
    visual_studio_code = shell.user_ns.get("__vsc_ipynb_file__")
    jupyter = os.environ.get("JPY_SESSION_NAME")
    return Path(visual_studio_code or jupyter or PROJECT / "notebooks" / name)


def split(notebook, ran):
    """Split a notebook at the cell that was run last.

    Arguments:
    notebook -- path of the file, which may have been renamed, or have an older text of a cell
    ran -- list of Cells, as from `record_cells`

    Returns:
    above -- list of the Cells above it, as they were run: all that are known if the file does not
        have this one
    known -- True if the file has it
    """
    latest = {cell.id or cell.source: cell for cell in ran}
    try:
        in_file = [
            cell._replace(source=latest.get(cell.id, cell).source) for cell in _read_cells(notebook)
        ]
    except (OSError, ValueError):
        in_file = []
    this = ran[-1]
    by_id = [place for place, cell in enumerate(in_file) if this.id and cell.id == this.id]
    by_text = [place for place, cell in enumerate(in_file) if cell.source == this.source]
    for place in by_id or by_text:
        return in_file[:place], True
    return in_file or list(latest.values())[:-1], False


def _read_cells(notebook):
    """Yield the code Cells of a notebook's file; raises OSError or ValueError."""
    heading = ""
    for cell in cells(notebook):
        if cell["cell_type"] == "code":
            yield Cell(cell.get("id"), cell["source"], heading)
        elif headings := re.findall(r"^#+ *(.+)", cell["source"], re.MULTILINE):
            heading = headings[-1]


def made_by(source):
    """Return the globals that a cell gives a value to, by assignments, imports and functions."""
    names = {name for verb, name in _steps(_compiled(source)) if verb == "STORE"}
    for module in re.findall(r"^from (\w+) import \*", source, re.MULTILINE):
        names |= vars(sys.modules.get(module, object)).keys()
    return names


def needed_by(source):
    """Return the globals that a cell uses before it gives them a value itself."""
    code = _compiled(source)
    first = {name: verb for verb, name in reversed(_steps(code))}
    loaded = {name for name, verb in first.items() if verb == "LOAD"}
    return loaded | (_loaded(code) - first.keys())


@cache
def _compiled(source):
    try:
        return compile(source, "cell", "exec")
    except SyntaxError:  # a magic
        return compile("", "cell", "exec")


@cache
def _steps(code):
    """Return what code does with globals, in order: ("LOAD", name) or ("STORE", name)."""
    steps = ((step.opname.partition("_"), step.argval) for step in dis.get_instructions(code))
    return [(verb, name) for (verb, _, kind), name in steps if kind in ("NAME", "GLOBAL")]


def _loaded(code):
    """Return the globals that code loads, and those of the functions in it."""
    names = {name for verb, name in _steps(code) if verb == "LOAD"}
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return names.union(*map(_loaded, inner))


def function_of(name, namespace):
    """Return the function of that name that the notebook defines, or None."""
    value = namespace.get(name)
    own = isinstance(value, FunctionType) and value.__globals__ is namespace
    return value if own and value.__name__ == name else None


def origins(names, above, namespace):
    """Return the cells that names come from, back to the beginning of the notebook.

    Arguments:
    names -- set of names to trace
    above -- list of the Cells above the cell that uses them
    namespace -- dict of the kernel's globals

    Returns:
    dict from name to Cell, in the notebook's order: the first one is to be corrected first
    """
    makers = {name: i for i, cell in enumerate(above) for name in made_by(cell.source)}  # nearest
    found, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        if function := function_of(name, namespace):
            waiting |= _loaded(function.__code__) - found
        elif name in makers:
            waiting |= needed_by(above[makers[name]].source) - found
    return {name: above[makers[name]] for name in sorted(found & makers.keys(), key=makers.get)}


def complaint(name, function):
    """Return the public test's message about a function: "" if it is right, None without a test."""
    tests = sys.modules.get("nst.assignment.public_tests")  # the exercise edition imports it
    if not hasattr(tests, f"{name}_test"):
        return None
    with redirect_stdout(io.StringIO()):
        return tests.examine(name, function)
