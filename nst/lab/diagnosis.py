"""Diagnosis of a failed cell: the sentence that names the cell to go back to."""

import ast
import difflib
import os
import re
import sys
import traceback
from pathlib import Path
from textwrap import shorten
from types import TracebackType

from IPython import get_ipython
from IPython.core.error import InputRejected

from nst.assignment.blanks import has_blank, in_blank, still_empty
from nst.core.config import PACKAGE
from nst.lab.provenance import (
    Origins,
    complaint,
    made_by,
    needed_by,
    notebook_of,
    record_cells,
    source_of,
    split,
)


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
    ran = record_cells(shell)
    shell.ast_transformers[:] = [
        t for t in shell.ast_transformers if not isinstance(t, _SetUpFirst)
    ]

    def explain(shell, kind, error, traceback, tb_offset=None):
        try:
            lines = _lines(shell, notebook_of(shell, notebook), ran, error)
        except Exception:  # an error of the diagnosis must not hide the notebook's own
            shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        else:
            _show(shell, kind, error, lines)

    shell.set_custom_exc((Exception, KeyboardInterrupt), explain)


def load_ipython_extension(shell):
    """Watch a kernel of `nst lab` from its start, before any cell is run.

    A kernel that was restarted has lost what the set-up cell did, so it refuses the other cells.
    """
    try:
        ours = "set_up(" in notebook_of(shell).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    if ours:
        explain_failures()
        shell.ast_transformers.append(_SetUpFirst())


class _NotSetUp(InputRejected):
    def _render_traceback_(self):
        return [
            "This kernel has just started and has not run the cells above:",
            "run them first, in their order (in the menu: Run, Run All Above Selected Cell)",
        ]


class _SetUpFirst(ast.NodeTransformer):
    """Refuses cells until the set-up cell has run."""

    def visit(self, tree):
        """Return the syntax tree of a cell, or raise InputRejected."""
        names = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(tree)}
        if "set_up" not in names and tree.body:
            raise _NotSetUp
        return tree


def _lines(shell, notebook, ran, error):
    """Return the lines to show for an error."""
    if isinstance(error, KeyboardInterrupt):
        return ["Stopped before the end of this cell"]
    return _Failure(shell, notebook, ran, error).lines()


def _show(shell, kind, error, lines):
    """Show lines as the traceback of an error, and keep the true one for `%tb`."""
    stand_in = type(kind.__name__, (Exception,), {"_render_traceback_": lambda self: lines})
    shell.showtraceback((stand_in, stand_in(_reason(error)), None))
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, error.__traceback__
    sys.last_exc = error


def _reason(error):
    """Return the line of a message that gives the reason.

    TensorFlow's messages go on with a graph that the student did not build; those that begin with
    "Graph execution error:" give the reason after the name of the node.
    """
    text = re.sub(
        r"\AGraph execution error:\s+(Detected at node (?s:.*?)\nNode: .*\n)?", "", str(error)
    )
    text = re.sub(r"\A\d+ root error.*\n", "", text)
    return text.strip().partition("\n")[0].rstrip(".")


# what TensorFlow says if a model, a cost or an optimizer is not of the session's graph
STALE_GRAPH_ERRORS = (
    "must be from the same graph",
    "is not an element of this graph",
    "is different from the session's graph",
    "Session graph is empty",
    "Graph is finalized",
    "No variables to optimize",
    "closed Session",
)
UNINITIALIZED = "Attempting to use uninitialized value"


class _Failure:
    """A cell that failed, and the advice about it."""

    def __init__(self, shell, notebook, ran, error):
        self.shell, self.error, self.namespace = shell, error, shell.user_ns
        *self.ran, self.source = (source for _, source in ran)
        self.above, self.cell = split(notebook, ran)
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
        origins = self.origins(needed_by(self.source))
        named = type(self.error) is NameError
        unknown = named and self.maker(self.error.name) is None
        return (
            (not unknown and _of_empty(origins))
            or self.of_own_blank()
            or (named and self.of_name(origins))
            or self.of_stale_graph()
            or self.of_model()
            or self.of_lost_file(origins)
            or (self.of_called_function() if self.is_about_a_setting() else self.of_values(origins))
        )

    def origins(self, names):
        used = needed_by(self.source)
        return Origins(names, self.above, self.namespace, self.ran, used)

    def is_about_a_setting(self):
        """Return True if the package refused a picture, a number or a folder, and said why.

        RuntimeErrors of the network and of the training run are about cells to run again.
        """
        if PACKAGE not in self.last_file.parents:
            return False
        folder = self.last_file.relative_to(PACKAGE).parts[0]
        return not (isinstance(self.error, RuntimeError) and folder in ("lab", "vgg"))

    def of_values(self, origins):
        return _of_none(origins) or _of_overwritten(origins) or self.of_answers(origins)

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
        """Name the cell to begin with, since one did not run, or ran and failed."""
        name, first = origins.missing() or (what, maker)
        ran = any(name in made_by(source) for source in self.ran)
        if ran and (advice := self.of_failed(first)):
            return advice
        rest = "" if first is maker else ", and those below it"
        return [f"{_reason(self.error)}: run first {first}{rest}"]

    def place(self):
        """Name the line of the error, if it is not in the cell that was run."""
        frame, line = self.ours[-1] if self.ours else (None, 0)
        maker = frame and self.maker(frame.f_code.co_name)
        if not maker or frame.f_code.co_name == "<module>":
            return ""
        return f" in line {line} of {maker}"

    def of_stale_graph(self):
        if not any(message in str(self.error) for message in STALE_GRAPH_ERRORS):
            return []
        what = self.maker("sess")
        what = f"run first {what}" if what else "run the cells above this one first, in their order"
        return [f"This belongs to an earlier graph or session: {what}; then those below it"]

    def of_model(self):
        """Look for a misspelt layer, and for an input that was replaced."""
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
        if type(self.error) is KeyError and self.error.args:
            name = self.error.args[0]
            near = difflib.get_close_matches(str(name), model, 1)
            what = f"model has no entry {name!r}" + (f", did you mean {near[0]!r}?" if near else "")
            return [what, *self.of_line()] if name not in model else []
        return []

    def of_called_function(self):
        """Look for a wrong answer among the functions that the error came through."""
        return _of_wrong(self.origins({frame.f_code.co_name for frame, _ in self.ours}))

    def of_answers(self, origins):
        """Look for an answer that is there, and wrong."""
        if advice := _of_wrong(origins):
            return advice
        if f"{UNINITIALIZED} input" in str(self.error):
            return ['The input has no image yet: run sess.run(model["input"].assign(image)) first']
        if UNINITIALIZED in str(self.error):
            return ["Run the initializer after the optimizer is made; in the loop, run train_step"]
        if PACKAGE in self.last_file.parents:  # its message says what to do
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
        """Look at all answers above, also at those that this cell does not use."""
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
    name, cell, message = found
    return [message, f"Go back to {cell}, correct {name}, {_then(origins, name)}"]


def _then(origins, name):
    if origins.stale(name):
        return "run it, and the cells below it down to this one"
    return "run it, then this one again"
