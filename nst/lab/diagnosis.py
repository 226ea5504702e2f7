"""Diagnosis of a failed cell: the sentence that names the cell to go back to."""

import os
import sys
import traceback
from pathlib import Path
from textwrap import shorten
from types import TracebackType

from IPython import get_ipython

from nst.assignment.blanks import has_blank, in_blank, still_empty
from nst.core.config import PACKAGE, PROJECT
from nst.lab.provenance import Origins, complaint, made_by, needed_by, source_of, split


def explain_failures(notebook):
    """Have a notebook end each error in a sentence that says which cell to go back to.

    Above it stand the lines of the notebook that the error came through; `%tb` shows those of the
    libraries, too. The complaint of a public test stands alone. Where no cell is to blame, there is
    no sentence.

    Arguments:
    notebook -- name of the .ipynb file that calls this, in notebooks/
    """
    path = PROJECT / "notebooks" / notebook

    def explain(shell, kind, error, traceback, tb_offset=None):
        try:
            lines = _Failure(shell, path, error).lines()
        except Exception:  # of the advice itself: the error must be shown all the same
            shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        else:
            _show(shell, kind, error, lines)

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((Exception,), explain)


def _show(shell, kind, error, lines):
    """Show lines as the traceback of an error, and keep the true one for `%tb`."""
    stand_in = type(kind.__name__, (Exception,), {"_render_traceback_": lambda self: lines})
    shell.showtraceback((stand_in, stand_in(_short(error)), None))
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, error.__traceback__
    sys.last_exc = error


def _short(error):
    """Return the first line of a message; TensorFlow's go on with graphs that no student built."""
    return str(error).strip().partition("\n")[0].rstrip(".")


# what TensorFlow says of a model, a cost or an optimiser that is not of the session's graph
_MIXED_UP = (
    "must be from the same graph",
    "is not an element of this graph",
    "is different from the session's graph",
    "Session graph is empty",
    "Graph is finalized",
    "No variables to optimize",
    "closed Session",
)


class _Failure:
    """A cell that failed, and what can be said about it."""

    def __init__(self, shell, notebook, error):
        self.shell, self.error, self.namespace = shell, error, shell.user_ns
        # ipykernel's; JupyterLab tells which cell it is, though it was edited and not yet saved
        request = shell.get_parent() if hasattr(shell, "get_parent") else {}
        cell_id = request.get("metadata", {}).get("cellId", "")
        *self.ran, self.source = shell.history_manager.input_hist_raw
        self.above, self.cell = split(notebook, self.source, cell_id)
        self.frames = list(traceback.walk_tb(error.__traceback__))
        # of the notebook, not of a library: (frame, number of its line)
        self.ours = [(f, line) for f, line in self.frames if f.f_globals is self.namespace]
        self.last_file = Path(self.frames[-1][0].f_code.co_filename) if self.frames else Path()

    def lines(self):
        """List the lines to show; the last is the advice, where there is one."""
        if isinstance(self.error, AssertionError) and self.last_file.stem == "public_tests":
            return [str(self.error)]
        advice = self.advice()
        return [*self.traceback(), *(["", *advice] if advice else [])]

    def traceback(self):
        """Format the error, with the notebook's own lines and a short message."""
        if isinstance(self.error, SyntaxError):
            stb = self.shell.SyntaxTB.structured_traceback(type(self.error), self.error, [])
            return "".join(stb).rstrip().splitlines()
        chain = None
        for frame, line in reversed(self.ours):
            chain = TracebackType(chain, frame, frame.f_lasti, line)
        kind = type(type(self.error).__name__, (Exception,), {})
        *lines, last = self.shell.InteractiveTB.structured_traceback(
            kind, kind(_short(self.error)), chain or self.error.__traceback__, tb_offset=0
        )
        if self.frames and self.frames[-1][0].f_globals is not self.namespace:
            lines.append("(the libraries' lines are left out: %tb shows them)")
        return [*lines, last]

    # --- what to do about it ---

    def advice(self):
        """Say what to do, in one line or two of which the last names a cell; [] if unknown."""
        if isinstance(self.error, SyntaxError):
            line = shorten(self.error.text or "", 60, placeholder=" …")
            return [
                f"Line {self.error.lineno} of this cell, `{line}`, is not Python yet: correct it "
                "and run this cell again"
            ]
        origins = self.origins(needed_by(self.source))
        named = type(self.error) is NameError
        unknown = named and self.maker(self.error.name) is None
        return (
            (not unknown and _of_empty(origins))
            or self.of_own_blank()
            or (named and self.of_name(origins))
            or self.of_mixed_graphs()
            or _of_none(origins)
            or _of_overwritten(origins)
            or self.of_lost_file(origins)
            or self.of_answers(origins)
        )

    def origins(self, names):
        return Origins(names, self.above, self.namespace, self.ran)

    def of_own_blank(self):
        if self.ours and self.ours[-1][0].f_code.co_name == "<module>" and still_empty(self.source):
            return ["This cell still has an empty blank: fill it in, and run the cell again"]
        return []

    def maker(self, name):
        """Return the nearest cell above this one that gives a name its value, or None."""
        return next((cell for cell in reversed(self.above) if name in made_by(cell.source)), None)

    def of_name(self, origins):
        name = self.error.name
        if maker := self.maker(name):
            return self.of_missing(name, maker, origins)
        what = "run the cells above this one first, in their order"
        if self.cell:
            what = f"no cell above this one makes {name}, check how it is spelt{self.place()}"
        return [f"{self.error}: {what}"]

    def of_missing(self, what, maker, origins):
        """Say where to begin, since a cell did not run, or ran and failed."""
        name, first = origins.missing() or (what, maker)
        ran = any(name in made_by(source) for source in self.ran)
        if ran and (advice := self.of_failed(first)):
            return advice
        rest = "" if first is maker else ", and those below it"
        return [f"{_short(self.error)}: run first {first}{rest}"]

    def place(self):
        """Say where the error is, if not in the cell that was run."""
        frame, line = self.ours[-1] if self.ours else (None, 0)
        maker = frame and self.maker(frame.f_code.co_name)
        if not maker or frame.f_code.co_name == "<module>":
            return ""
        return f" in line {line} of {maker}"

    def of_mixed_graphs(self):
        if not any(message in str(self.error) for message in _MIXED_UP):
            return []
        what = self.maker("sess")
        what = f"run first {what}" if what else "run the cells above this one first, in their order"
        return [f"This belongs to an earlier graph or session: {what}; then those below it"]

    def of_answers(self, origins):
        """Look for an answer that is there, and wrong."""
        if advice := _of_wrong(origins):
            return advice
        if PACKAGE in self.last_file.parents:  # its message says already what to do
            return []
        if advice := self.of_line():
            return advice
        if has_blank(self.source) or not self.cell:
            return []
        return self.of_type(origins) or self.of_any_blank()

    def of_type(self, origins):
        if not (found := origins.answer()):
            return []
        name, cell = found
        kind = type(self.namespace[name]).__name__
        return [f"{name} is of type {kind} here: correct {cell}, {_then(origins, name)}"]

    def of_any_blank(self):
        """Look at all answers above, whether or not this cell uses them."""
        everything = self.origins(set().union(*(made_by(cell.source) for cell in self.above)))
        return _of_empty(everything) or _of_wrong(everything)

    def of_failed(self, cell):
        """Look for why a cell above, which ran, left no value."""
        if has_blank(cell.source):
            return self.of_any_blank()
        return self.of_any_blank() or self.of_type(self.origins(needed_by(cell.source)))

    def of_lost_file(self, origins):
        """Look for the cell that should have left a file in the output folder."""
        folder = os.path.join(self.namespace.get("OUTPUT_DIR", ""), "")
        if not (isinstance(self.error, FileNotFoundError) and folder and folder in str(self.error)):
            return []
        for cell in reversed(self.above):
            if "OUTPUT_DIR" in origins.used_by(cell.source):
                before = self.origins(needed_by(cell.source))
                return self.of_any_blank() or self.of_missing("", cell, before)
        return []

    def of_line(self):
        """Look for the blank that the error came through."""
        for frame, line in reversed(self.ours):
            name = frame.f_code.co_name
            if frame is self.ours[0][0]:
                if in_blank(self.source, line):
                    return [f"Line {line} is your answer: correct it, and run this cell again"]
            elif complaint(name, self.namespace.get(name)) is None and has_blank(source_of(frame)):
                cell = self.maker(name) or name
                return [f"Correct line {line} of {cell}, run it, then this one again"]
        return []


def _of_empty(origins):
    if not (found := origins.empty()):
        return []
    name, cell, function = found
    what = "still has an empty blank" if function else "is still None"
    return [f"{name} {what}: fill in {cell}, {_then(origins, name)}"]


def _of_none(origins):
    if not (found := origins.none()):
        return []
    name, cell = found
    return [f"{name} is None: run {cell} once more, then this one"]


def _of_overwritten(origins):
    if not (found := origins.overwritten()):
        return []
    name, cell = found
    return [f"{name} has had a value from another cell since: run {cell} once more, then this one"]


def _of_wrong(origins):
    if not (found := origins.wrong()):
        return []
    name, cell, said = found
    return [said, f"Go back to {cell}, correct {name}, {_then(origins, name)}"]


def _then(origins, name):
    if origins.stale(name):
        return "run it and the cells below it, down to this one"
    return "run it, then this one again"
