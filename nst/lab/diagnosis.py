"""Diagnosis of a failed cell: the sentence that names the cell to go back to."""

import difflib
import os
import re
import sys
import traceback
from pathlib import Path
from textwrap import shorten
from types import TracebackType

from IPython import get_ipython

from nst.assignment.blanks import has_blank, in_blank, still_empty
from nst.core.config import PACKAGE
from nst.lab import provenance
from nst.lab.provenance import complaint, function_of, made_by, needed_by, notebook_of


def explain_failures(notebook=""):
    """End each error of this notebook in a sentence that names the cell to go back to.

    Above it are the lines of the notebook that the error came through; `%tb` shows those of the
    libraries, too. The message of a public test is shown alone. If no cell caused the error, there
    is no such sentence.

    Arguments:
    notebook -- name of the .ipynb file in notebooks/, for front ends that do not name it
    """
    shell = get_ipython()
    if shell is None:
        return
    ran = provenance.record_cells(shell)

    def lines_of(error):
        if isinstance(error, KeyboardInterrupt):
            return ["Stopped before the end of this cell"]
        return _Failure(shell, notebook_of(shell, notebook), ran, error).lines()

    show_errors(shell, (Exception, KeyboardInterrupt), lines_of)


def show_errors(shell, kinds, lines_of):
    """Let an IPython shell show errors as the lines that `lines_of(error)` returns.

    `%tb` shows the whole traceback; so does the shell if `lines_of` fails, or returns None.
    """

    def show(shell, kind, error, traceback, tb_offset=None):
        try:
            lines = lines_of(error)
        except Exception:  # it must not hide the notebook's own error
            lines = None
        if lines is None:
            return shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        stand_in = type(kind.__name__, (Exception,), {"_render_traceback_": lambda self: lines})
        shell.showtraceback((stand_in, stand_in(_reason(error)), None))
        sys.last_type, sys.last_value, sys.last_traceback = kind, error, error.__traceback__
        sys.last_exc = error

    shell.set_custom_exc(kinds, show)


def _reason(error):
    """Return the line of a message that gives the reason.

    TensorFlow's messages go on with a graph that the student did not build; those that begin with
    "Graph execution error:" give the reason after the name of the node.
    """
    before = r"Graph execution error:\s+|Detected at node (?s:.*?)\nNode: .*\n|\d+ root error.*\n"
    return re.sub(rf"\A({before})+", "", str(error)).strip().partition("\n")[0].rstrip(".")


# TensorFlow's messages about a model, a cost or an optimizer of another graph than the session's
STALE_GRAPH_ERRORS = re.compile(
    "must be from the same graph|is not an element of this graph|is different from the session's"
    "|Session graph is empty|Graph is finalized|No variables to optimize|closed Session"
)
UNINITIALIZED = "Attempting to use uninitialized value"


class _Failure:
    """A cell that failed, and the advice about it.

    The methods `of_...` look for one cause each, and return one or two lines, [] if it is not that.
    Most of them look through `cells`, a dict from name to the Cell that made it.
    """

    def __init__(self, shell, notebook, ran, error):
        self.shell, self.error, self.namespace = shell, error, shell.user_ns
        *self.ran, self.source = (cell.source for cell in ran)
        self.above, self.is_in_file = provenance.split(notebook, ran)
        self.frames = list(traceback.walk_tb(error.__traceback__))
        # the notebook's own: (frame, number of its line)
        self.ours = [(f, line) for f, line in self.frames if f.f_globals is self.namespace]
        self.last_file = Path(self.frames[-1][0].f_code.co_filename if self.frames else "")
        self.last_file = self.last_file.resolve()  # sys.path may hold a relative path to nst

    def lines(self):
        """Return the lines to show; the last one is the advice, if there is one."""
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
            kind, kind(_reason(self.error)), chain or self.error.__traceback__, tb_offset=0
        )
        if self.frames and self.frames[-1][0].f_globals is not self.namespace:
            lines.append("(the libraries' lines are left out: %tb shows them)")
        return [*lines, last]

    # --- what to do about it ---

    def advice(self):
        """Return one or two lines, of which the last one says what to do; [] if it is unknown."""
        if isinstance(self.error, SyntaxError):
            line = shorten(self.error.text or "", 60, placeholder=" …")
            return [
                f"Line {self.error.lineno} of this cell, `{line}`, is not Python yet: correct it "
                "and run this cell again"
            ]
        names = needed_by(self.source)
        if self.is_about_a_setting():  # or about a function that passed on a wrong value
            names = {frame.f_code.co_name for frame, _ in self.ours}
        cells = self.origins(names)
        return (
            self.of_own_blank()
            or self.of_name(cells)
            or self.of_stale_graph()
            or self.of_model()
            or self.of_lost_file()
            or self.of_values(cells)
        )

    def origins(self, names):
        return provenance.origins(names, self.above, self.namespace)

    def maker(self, name):
        """Return the nearest cell above this one that gives a name its value, or None."""
        return next((cell for cell in reversed(self.above) if name in made_by(cell.source)), None)

    def is_none(self, name):
        return self.namespace.get(name, 0) is None

    def then(self, name):
        """Return what to run once `name` is corrected: cells in between may have used it."""
        if name in needed_by(self.source):
            return "run it, then this one again"
        return "run it, and the cells below it down to this one"

    def is_about_a_setting(self):
        """Return True if the package refused a picture, a number or a folder, and said why.

        RuntimeErrors of the network and of the training run are about cells to run again.
        """
        if PACKAGE not in self.last_file.parents:
            return False
        folder = self.last_file.relative_to(PACKAGE).parts[0]
        return not (isinstance(self.error, RuntimeError) and folder in ("lab", "vgg"))

    def of_own_blank(self):
        if self.ours and self.ours[-1][0].f_code.co_name == "<module>" and still_empty(self.source):
            return ["This cell still has an empty blank: fill it in, and run the cell again"]
        return []

    def of_name(self, cells):
        """Name the cell that makes a name which has no value."""
        if type(self.error) is not NameError:
            return []
        name = self.error.name
        if maker := self.maker(name):
            return self.of_missing(name, maker, cells)
        what = "run the cells above this one first, in their order"
        if self.is_in_file:
            what = f"no cell above this one makes {name}, check its spelling"
        return [f"{self.error}: {what}"]

    def of_missing(self, name, maker, cells):
        """Name the cell to begin with, since one did not run, or ran and failed."""
        missing = ((n, cell) for n, cell in cells.items() if n not in self.namespace)
        name, first = next(missing, (name, maker))
        if any(name in made_by(source) for source in self.ran):
            before = self.origins(needed_by(first.source))
            if advice := self.of_any_answer() or self.of_type(before):
                return advice
        rest = "" if first is maker else ", and those below it"
        return [f"{_reason(self.error)}: run first {first}{rest}"]

    def of_stale_graph(self):
        if not STALE_GRAPH_ERRORS.search(str(self.error)):
            return []
        what = self.maker("sess")
        what = f"run first {what}" if what else "run the cells above this one first, in their order"
        return [f"This belongs to an earlier graph or session: {what}; then those below it"]

    def of_model(self):
        """Look for a misspelled layer, and for an input that was replaced."""
        model = self.namespace.get("model")
        if not isinstance(model, dict) or "input" not in model:
            return []
        if not hasattr(model["input"], "assign"):
            maker = self.maker("model")
            return [
                'model["input"] is no longer the network\'s variable: write '
                'sess.run(model["input"].assign(image)) where it was replaced, then run '
                f"{maker or 'the cell that loads VGG-19'} and the cells below it again"
            ]
        name = next(iter(self.error.args), None) if type(self.error) is KeyError else None
        if name is None or name in model:
            return []
        near = difflib.get_close_matches(str(name), model, 1)
        what = f"model has no entry {name!r}" + (f", did you mean {near[0]!r}?" if near else "")
        return [what, *self.of_line()]

    def of_lost_file(self):
        """Look for the cell that should have left a file in the output folder."""
        folder = os.path.join(self.namespace.get("OUTPUT_DIR", ""), "")
        is_lost = isinstance(self.error, FileNotFoundError) and folder and folder in str(self.error)
        if not is_lost or "state.npz" in str(self.error):  # no run to continue: its message says so
            return []
        for cell in reversed(self.above):
            names = needed_by(cell.source)
            if "OUTPUT_DIR" in names:
                return self.of_any_answer() or self.of_missing("", cell, self.origins(names))
        return []

    def of_values(self, cells):
        """Look for a value that is lost, and for an answer that is there, and wrong."""
        if advice := self.of_answers(cells) or self.of_overwritten(cells):
            return advice
        if f"{UNINITIALIZED} input" in str(self.error):
            return ['The input has no image yet: run sess.run(model["input"].assign(image)) first']
        if UNINITIALIZED in str(self.error):
            return ["Run the initializer after the optimizer is made; in the loop, run train_step"]
        if PACKAGE in self.last_file.parents:  # its message says what to do
            return []
        if advice := self.of_line():
            return advice
        if has_blank(self.source) or not self.is_in_file:
            return []
        return self.of_type(cells) or self.of_any_answer()

    def of_overwritten(self, cells):
        """Look for a value that another cell, or one that ran too early, has replaced."""
        others = {cell.source for cell in self.above}
        last_run = {name: source for source in self.ran for name in made_by(source)}
        for name, cell in cells.items():
            if self.is_none(name) and not re.search(rf"\b{name} = None\b", cell.source):
                return [f"{name} is None: run {cell} once more, then this one"]
            if last_run.get(name) in others - {cell.source}:
                what = "has had a value from another cell since"
                return [f"{name} {what}: run {cell} once more, then this one"]
        return []

    def of_answers(self, cells):
        """Look for an answer that is still None, or whose public test complains."""
        for name, cell in cells.items():
            function = function_of(name, self.namespace)
            if message := function and complaint(name, function):
                return [message, f"Go back to {cell}, correct {name}, {self.then(name)}"]
            if self.is_none(name) and has_blank(cell.source):
                return [f"{name} is still None: fill in {cell}, {self.then(name)}"]
        return []

    def of_type(self, cells):
        """Look for the last value that is an answer."""
        for name, cell in reversed(cells.items()):
            is_value = name in self.namespace and not function_of(name, self.namespace)
            if is_value and has_blank(cell.source):
                kind = type(self.namespace[name]).__name__
                return [f"{name} is of type {kind} here: correct {cell}, {self.then(name)}"]
        return []

    def of_any_answer(self):
        """Look at all answers above, also at those that this cell does not use."""
        return self.of_answers(
            self.origins(set().union(*(made_by(cell.source) for cell in self.above)))
        )

    def of_line(self):
        """Look for the blank that the error came through."""
        for frame, line in reversed(self.ours):
            name = frame.f_code.co_name
            if frame is self.ours[0][0]:
                if in_blank(self.source, line):
                    return [f"Line {line} is your answer: correct it, and run this cell again"]
                continue
            cell, tested = self.maker(name), complaint(name, self.namespace.get(name)) is not None
            if cell and has_blank(cell.source) and not tested:
                return [f"Correct line {line} of {cell}, run it, then this one again"]
        return []
