"""Where a cell's names come from, and which blank behind them is empty or wrong."""

import dis
import inspect
import io
import re
import sys
from contextlib import redirect_stdout
from functools import cache
from types import CodeType, FunctionType
from typing import NamedTuple

from nst.assignment.blanks import has_blank, still_empty
from nst.lab.notebook import cells


class Cell(NamedTuple):
    """A code cell of a notebook, and the nearest heading above it."""

    heading: str
    source: str

    def __str__(self):
        """Name the cell to a reader: by its heading and its first line of code."""
        code = (line.split("  #")[0] for line in self.source.splitlines() if line[:1] != "#")
        return f"the cell of “{self.heading}” that begins with “{next(filter(None, code), '')}”"


def split(notebook, source, cell_id=""):
    """Find a cell in a notebook file.

    Arguments:
    notebook -- path of the file
    source -- text of the cell
    cell_id -- its id, where it is known; its text on disk may be an older one

    Returns:
    above -- list of Cells above it; all, where it is not in the file; none, where the file cannot
        be read, since it was renamed or is being saved
    cell -- the Cell; None where it is not in the file
    """
    heading, above = "", []
    try:
        for cell in cells(notebook):
            if cell["cell_type"] == "markdown":
                headings = [line for line in cell["source"].splitlines() if line.startswith("#")]
                heading = headings[-1].lstrip("# ") if headings else heading
            elif cell["source"] == source or (cell_id and cell.get("id") == cell_id):
                return above, Cell(heading, source)
            elif cell["cell_type"] == "code":
                above.append(Cell(heading, cell["source"]))
    except (OSError, ValueError):
        return [], None
    return above, None


def made_by(source):
    """Name the globals that a cell gives a value to, by assignments, imports and functions."""
    names = {name for verb, name in _steps(_compiled(source)) if verb == "STORE"}
    for module in re.findall(r"^from (\w+) import \*", source, re.MULTILINE):
        names |= vars(sys.modules.get(module, object)).keys()
    return names


def needed_by(source):
    """Name the globals that a cell uses before it gives them a value itself."""
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
    """List how code handles its globals, in order: ("LOAD", name) or ("STORE", name)."""
    steps = []
    for step in dis.get_instructions(code):
        verb, _, kind = step.opname.partition("_")
        if verb in ("LOAD", "STORE") and kind in ("NAME", "GLOBAL"):
            steps.append((verb, step.argval))
    return steps


def _loaded(code):
    """Name the globals that code loads, with those of the functions in it."""
    names = {name for verb, name in _steps(code) if verb == "LOAD"}
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return names.union(*map(_loaded, inner))


def _reach(names, before):
    """Add to names those before them, those before these, and so on."""
    found, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= before(name) - found
    return found


class Origins:
    """What a cell's names come from, step by step back to the notebook's beginning.

    Arguments:
    names -- those that the cell needs
    above -- list of the Cells above it
    namespace -- dict of the session's globals
    ran -- list of the sources that the session ran; on disk an answer may still be a blank
    """

    def __init__(self, names, above, namespace, ran=()):
        self._namespace = namespace
        makers = {name: cell for cell in above for name in made_by(cell.source)}  # the nearest
        last_run = {name: source for source in ran for name in made_by(source)}
        self._last_run, self._sources = last_run, {cell.source for cell in above}

        def before(name):
            if self._function(name) or name not in makers:
                return self._in_function(name)
            return needed_by(makers[name].source) | needed_by(last_run.get(name, ""))

        found = _reach(names, before)
        order = {id(cell): number for number, cell in enumerate(above)}
        # name -> Cell, in the notebook's order; a reader goes back to the first thing first
        known = sorted(found & makers.keys(), key=lambda name: order[id(makers[name])])
        self._cells = {name: makers[name] for name in known}
        self._at_hand = _reach(names, self._in_function)

    def stale(self, name):
        """Tell whether cells in between must be run again, too, once a name has a new value."""
        return name not in self._at_hand

    def _in_function(self, name):
        """Name the globals of the function with that name, if it is one."""
        function = self._function(name)
        return _loaded(inspect.unwrap(function).__code__) if function else set()

    def _function(self, name):
        """Return a function that was made in the notebook, or None."""
        value = self._namespace.get(name)
        if not isinstance(value, FunctionType):
            return None
        return value if inspect.unwrap(value).__globals__ is self._namespace else None

    def maker(self, name):
        """Return the nearest cell above that gives a name its value, or None."""
        return self._cells.get(name)

    def used_by(self, source):
        """Name the globals that a cell uses, itself or in the functions that it calls."""
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
        """Return the first (name, Cell) that is None though its cell does not say so, or None."""
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
            said = function and complaint(name, function)
            if said:
                return name, cell, said
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
    """Return the source of a function, or of a frame's, as it was run; "" where it is not known."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def complaint(name, function):
    """Say what the public test says of a function: nothing if it is right, None without a test."""
    tests = sys.modules.get("nst.assignment.public_tests")  # the exercise edition imports it
    if not hasattr(tests, f"{name}_test"):
        return None
    with redirect_stdout(io.StringIO()):
        return tests.examine(name, function)[1]
