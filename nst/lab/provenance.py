"""The cells that gave a cell's names their values, and the blanks among them."""

import dis
import inspect
import io
import os
import re
import sys
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

from nst.assignment.blanks import has_blank, still_empty
from nst.core.config import PROJECT
from nst.lab.notebook import cells


class Cell(NamedTuple):
    """A code cell of a notebook, and the nearest heading above it ("" if it is not known)."""

    heading: str
    source: str

    def __str__(self):
        """Name the cell to a reader: by its heading and its first line of code."""
        code = (line.split("  #")[0] for line in self.source.splitlines() if line[:1] != "#")
        of = f" of “{self.heading}”" if self.heading else ""
        return f"the cell{of} that begins with “{next(filter(None, code), '')}”"


def record_cells(shell):
    """Keep, from now on, (id or None, source) of each cell that an IPython shell runs.

    Returns:
    the list of them, the cell under way last
    """
    if not hasattr(shell, "cells_run"):
        shell.cells_run = ran = []
        shell.events.register(
            "pre_run_cell", lambda info: ran.append((getattr(info, "cell_id", None), info.raw_cell))
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

    What was run counts, also if the file has an older text of it, or another name by now.

    Arguments:
    notebook -- path of the file
    ran -- list of (id or None, source), as from `record_cells`

    Returns:
    above -- list of the Cells above it: all of the file if it is not in there, but those that were
        run if none of them is in the file
    cell -- the Cell; None if it is not in the file
    """
    *before, (cell_id, source) = ran
    latest = {cell: text for cell, text in ran if cell}
    heading, above, found = "", [], False
    in_file = _cells_of(notebook)
    has_id = cell_id in {cell.get("id") for cell in in_file}
    for cell in in_file:
        if cell["cell_type"] == "markdown":
            headings = [line for line in cell["source"].splitlines() if line.startswith("#")]
            heading = headings[-1].lstrip("# ") if headings else heading
            continue
        text = latest.get(cell.get("id"), cell["source"])
        if cell.get("id") == cell_id if has_id else text == source:
            return above, Cell(heading, source)
        found |= text in {text for _, text in before}
        above.append(Cell(heading, text))
    if not in_file or (before and not found):
        last_run = {cell or text: text for cell, text in before}
        above = [Cell("", text) for text in last_run.values()]
    return above, None


def _cells_of(notebook):
    """Return the code and markdown cells of a notebook, [] if its file cannot be read."""
    try:
        return [cell for cell in cells(notebook) if cell["cell_type"] != "raw"]
    except (OSError, ValueError):
        return []


def made_by(source):
    """Return the globals that a cell gives a value to, by assignments, imports and functions."""
    names = {name for verb, name in _steps(_compiled(source)) if verb == "STORE"}
    for module in re.findall(r"^from (\w+) import \*", source, re.MULTILINE):
        names |= vars(sys.modules.get(module, object)).keys()
    return names


def needed_by(source):
    """Return the globals that a cell uses before it gives them a value itself."""
    code = _compiled(source)
    first = {}
    for verb, name in _steps(code):
        first.setdefault(name, verb)
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
    steps = []
    for step in dis.get_instructions(code):
        verb, _, kind = step.opname.partition("_")
        if verb in ("LOAD", "STORE") and kind in ("NAME", "GLOBAL"):
            steps.append((verb, step.argval))
    return steps


def _loaded(code):
    """Return the globals that code loads, and those of the functions in it."""
    names = {name for verb, name in _steps(code) if verb == "LOAD"}
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return names.union(*map(_loaded, inner))


def _reach(names, before):
    """Return names, the names before them, the names before these, and so on."""
    found, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= before(name) - found
    return found


class Origins:
    """The cells that a cell's names come from, back to the beginning of the notebook.

    Arguments:
    names -- set of names to trace
    above -- list of the Cells above the cell
    namespace -- dict of the kernel's globals
    ran -- list of the sources that the kernel has run
    used -- set of the names that the cell uses itself; by default, `names`
    """

    def __init__(self, names, above, namespace, ran=(), used=None):
        self._namespace = namespace
        makers = {name: cell for cell in above for name in made_by(cell.source)}  # the nearest
        last_run = {name: source for source in ran for name in made_by(source)}
        self._last_run, self._sources = last_run, {cell.source for cell in above}

        def before(name):
            if self._function(name) or name not in makers:
                return self._in_function(name)
            return needed_by(makers[name].source)

        found = _reach(names, before)
        order = {id(cell): number for number, cell in enumerate(above)}
        # name -> Cell, in the notebook's order: the first cell is to be corrected first
        known = sorted(found & makers.keys(), key=lambda name: order[id(makers[name])])
        self._cells = {name: makers[name] for name in known}
        self._at_hand = _reach(names if used is None else used, self._in_function)

    def stale(self, name):
        """Return True if a new value of `name` needs cells in between to be run again, too."""
        return name not in self._at_hand

    def _in_function(self, name):
        """Return the globals of the function with that name, if it is one."""
        function = self._function(name)
        return _loaded(inspect.unwrap(function).__code__) if function else set()

    def _function(self, name):
        """Return the function of that name that the notebook defines, or None."""
        value = self._namespace.get(name)
        if not isinstance(value, FunctionType):
            return None
        inner = inspect.unwrap(value)
        own = inner.__globals__ is self._namespace and inner.__name__ == name
        return value if own else None

    def maker(self, name):
        """Return the nearest cell above that gives a name its value, or None."""
        return self._cells.get(name)

    def used_by(self, source):
        """Return the globals that a cell uses, itself or in the functions that it calls."""
        return _reach(needed_by(source), self._in_function)

    def missing(self):
        """Return the first (name, Cell) that has no value yet, or None."""
        lost = (item for item in self._cells.items() if item[0] not in self._namespace)
        return next(lost, None)

    def empty(self):
        """Return the first (name, Cell, function or None) whose blank was run empty, or None."""
        for name, cell in self._cells.items():
            function = self._function(name)
            if function:
                # an unroll that the answer does without may stay empty
                if still_empty(source_of(function)) and complaint(name, function) != "":
                    return name, cell, function
            elif self._is_none(name) and has_blank(cell.source):
                return name, cell, None
        return None

    def none(self):
        """Return the first (name, Cell) that is None though no blank made it so, or None."""
        for name, cell in self._cells.items():
            if self._is_none(name) and not re.search(rf"\b{name} = None\b", cell.source):
                return name, cell
        return None

    def overwritten(self):
        """Return the first (name, Cell) whose value another cell above gave it later, or None."""
        for name, cell in self._cells.items():
            last = self._last_run.get(name)
            if last != cell.source and last in self._sources:
                return name, cell
        return None

    def wrong(self):
        """Return the first (name, Cell, complaint) whose public test complains, or None."""
        for name, cell in self._cells.items():
            function = self._function(name)
            if message := function and complaint(name, function):
                return name, cell, message
        return None

    def answer(self):
        """Return the last (name, Cell) that is an answer, but no function, or None."""
        for name, cell in reversed(self._cells.items()):
            if name in self._namespace and not self._function(name) and has_blank(cell.source):
                return name, cell
        return None

    def _is_none(self, name):
        return self._namespace.get(name, 0) is None


def source_of(function):
    """Return the source, as it was run, of a function or of a frame's; "" if it is not known."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def complaint(name, function):
    """Return the public test's message about a function: "" if it is right, None without a test."""
    tests = sys.modules.get("nst.assignment.public_tests")  # the exercise edition imports it
    if not hasattr(tests, f"{name}_test"):
        return None
    with redirect_stdout(io.StringIO()):
        return tests.examine(name, function)[1]
