"""Run a submission in a process of its own: its notebook up to model_nn, then its functions.

The process computes and returns what came out. It holds no right answer and gives no verdict.
"""

import io
import os
import resource
import signal
import sys
from contextlib import contextmanager, suppress
from itertools import count, cycle, islice
from pathlib import Path, PureWindowsPath
from unittest.mock import MagicMock

import numpy as np

import nst_utils  # noqa: F401 (submissions import it, and here it costs them no time)
from nst.assignment import trial
from nst.assignment.hints import NEVER_RETURNS, explain, format_error
from nst.assignment.samples import draw_all, draw_images
from nst.assignment.spec import COSTS, TRAINING
from nst.core.config import CONFIG, PROJECT
from nst.grading import cells, protocol
from nst.lab.tf1 import install

MEMORY, FILE_SIZE = 4 * 2**30, 2**26  # bytes
IMAGES_LIMIT = 15  # of a notebook's images that are compared
SWALLOWED = 20  # interruptions, 0.2 s apart, that a submission may swallow
CELL_LIMIT = 3  # of a cell, as a multiple of the limit of a function
WALL_CLOCK_FACTOR = 6  # limit by the clock, as a multiple of the limit of CPU time


class Interrupt(BaseException):
    """Ends what runs for too long, and a notebook's call of model_nn."""


def main():
    """Read a request and a submission from stdin, write answers to stdout: see `examine`.

    The submission gets neither of the two.
    """
    _set_limits()
    outgoing = os.fdopen(os.dup(1), "wb")
    request, _ = protocol.read(sys.stdin.buffer)
    data = sys.stdin.buffer.read()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(1, "w"), "utf-8", "replace")
    for answer in examine(data, **request):
        protocol.write(outgoing, *answer)
    os._exit(0)  # whatever threads of the submission are left


def examine(data, name, limit, seed, questions):
    """Run a submission up to its training, and try its functions.

    Arguments:
    data -- bytes of the file
    name -- name of the file
    limit -- seconds of CPU time for a function
    seed -- seed of what the functions and the costs of the training are tried on
    questions -- what to answer: names of functions, and TRAINING

    Yields answers, (fields, arrays): first whether it can be read, then one for each question.
    """
    try:
        with _alarm(CELL_LIMIT * limit):
            found = cells.read_cells(name, data)
    except (ValueError, MemoryError, Interrupt) as error:
        yield {"unreadable": str(error)}, {}
        return
    yield {}, {}
    install()
    sys.modules["nst.assignment.public_tests"] = MagicMock()  # which hold right answers
    submission, samples = Submission(found, limit, seed), draw_all(seed)
    training = submission.run_notebook()
    for name in questions:
        yield training if name == TRAINING else submission.try_function(name, samples[name])


def _set_limits():
    """Limit what this process may use, and make it the first one that a full memory ends."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    limits = {"DATA": MEMORY, "FSIZE": FILE_SIZE, "CPU": 900, "CORE": 0}
    if os.environ.get("NST_OWN_USERS"):  # TensorFlow starts some threads for each processor
        limits["NPROC"] = 512 + 16 * (os.cpu_count() or 1)
    for limit, value in limits.items():
        with suppress(AttributeError, OSError, ValueError):  # macOS lacks some; a lower one stays
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))


@contextmanager
def _alarm(limit):
    """Raise Interrupt in the block after `limit` seconds of CPU time, or a multiple by the clock.

    It is raised again and again, as a bare `except` may swallow it; at last the process ends.
    """
    rings = count(1)

    def ring(*_):
        if next(rings) > SWALLOWED:
            os._exit(protocol.TIME_UP)
        raise Interrupt("it does not return in time")

    timers = {signal.ITIMER_PROF: limit, signal.ITIMER_REAL: WALL_CLOCK_FACTOR * limit}
    signal.signal(signal.SIGPROF, ring)
    signal.signal(signal.SIGALRM, ring)
    try:
        for timer, seconds in timers.items():
            signal.setitimer(timer, seconds, 0.2)
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)


class Submission:
    """The one submission of this process."""

    def __init__(self, found, limit, seed):
        """Take the cells, from `cells.read_cells`; the rest is as in `examine`."""
        self._shell = MagicMock()
        self._shell.run_cell_magic.side_effect = self._run_magic
        self._shell.run_line_magic.side_effect = self._run_magic
        self._space = {"__name__": "__main__", "get_ipython": lambda: self._shell}
        self._cells, self._problems = found, []
        self._limit, self._seed = limit, seed
        self._failed = {}  # name: why the statement that binds it failed
        self._first_error = ""  # of the training's cells
        self._model_nn = self._measured = None  # the function, and what its training gave

    def run_notebook(self):
        """Run the notebook up to model_nn, whose first call is measured: (fields, arrays).

        A statement that fails costs itself: what it would bind is missed when it is used.
        """
        create_files(cells.files_named(self._cells))
        sys.path.insert(0, os.getcwd())  # for what %%writefile writes
        for cell in self._cells:
            statements, problem = cells.compile_cell(cell)
            self._problems += [problem] if problem else []
            for code in statements:
                if not self._measured:
                    self._run_statement(code)
        complaint = "it does not begin: model_nn is never called."
        fields, arrays = self._measured or ({"complaint": complaint, "is_called": False}, {})
        return fields | {"first_error": self._first_error}, arrays

    def _run_statement(self, code):
        try:
            with _alarm(CELL_LIMIT * self._limit):
                exec(code, self._space)
        except BaseException as error:  # a submission may raise anything
            message = format_error(error).replace(f"{os.getcwd()}/", "")
            reason = f"{code.co_filename} stops with {message}"[:300]
            self._failed |= dict.fromkeys(cells.bound_names(code), reason)
            if "total_cost" in self._space and not self._measured:  # the training comes after it
                advice = f"{code.co_filename} stops with {explain(message)}"
                self._first_error = self._first_error or advice
        found = self._space.get("model_nn")
        if callable(found) and not isinstance(found, MagicMock):
            self._model_nn, self._space["model_nn"] = found, MagicMock(side_effect=self._end)

    def _end(self, *args, **kwargs):
        """Take the place of model_nn: train here, as the session may be closed further up."""
        self._measured = self._train(*[*args, *kwargs.values()][:2])
        raise Interrupt

    def _run_magic(self, name, line="", body=None):
        if name in ("writefile", "file"):
            Path(line.split()[-1].strip("'\"")).write_text(body)
        if name in cells.RUNNING_MAGICS:  # a line, or a cell of a script that nbconvert exported
            for code in cells.compile_cell(cells.Cell("a cell", body or line))[0]:
                exec(code, self._space)

    def try_function(self, name, samples):
        """Try a graded function: what nst.assignment.trial.attempt returns."""
        if name not in self._space:
            if name in self._failed:
                return {"complaint": f"no cell defines it: {self._failed[name]}."}, {}
            return {"complaint": cells.why_missing(name, self._cells, self._problems)}, {}
        target = self._model_nn if name == "model_nn" else self._space[name]
        try:
            with _alarm(self._limit):
                fields, arrays = trial.attempt(name, target, samples)
        except BaseException as error:
            is_slow = isinstance(error, Interrupt)
            return {"complaint": NEVER_RETURNS if is_slow else format_error(error)[:300]}, {}
        for missing, reason in self._failed.items():
            if f"name '{missing}' is not defined" in fields.get("complaint", ""):
                fields["complaint"] = f"it needs {missing}, which is missing, as {reason}"
        return fields, arrays

    def _train(self, sess, start):
        """Run one step of the training, and evaluate its costs at images of the grader's choice."""
        if missing := [name for name in COSTS if name not in self._space]:
            return {"complaint": f"there is no variable {missing[0]}."}, {}
        try:
            self._model_nn(sess, start, 1)
            return self._measure(sess, start)
        except (Exception, SystemExit) as error:
            reason = explain(format_error(error))
            return {"complaint": f"model_nn cannot run on its network: {reason}"}, {}

    def _measure(self, sess, start):
        models = [self._space.get("model"), *self._space.values()]
        inputs = [model["input"] for model in models if trial.is_model(model)]
        inputs = [tensor for tensor in inputs if tensor.graph is sess.graph]
        if not inputs:
            return {"complaint": "its session's graph has no model of load_vgg_model."}, {}
        costs, state, rows = [self._space[cost] for cost in COSTS], sess.run(inputs[0]), []
        for image in draw_images(self._seed, state.shape):
            sess.run(inputs[0].assign(image))
            rows.append(sess.run(costs))
        sess.run(inputs[0].assign(start))
        gradients = [trial.gradients_of(sess, cost, inputs[:1]) for cost in costs[1:]]
        found = {"start": start, "state": state, "costs": rows, "gradients": gradients}
        arrays = {n: a for n, a in self._space.items() if isinstance(a, np.ndarray)}
        images = {f"image {n}"[:80]: a for n, a in arrays.items() if a.shape == state.shape}
        found |= islice(images.items(), IMAGES_LIMIT)  # the content image and the style image
        layers = [self._space.get("STYLE_LAYERS"), *self._space.values()]
        layers = next(filter(_is_layers, layers), [])
        layers = layers.items() if isinstance(layers, dict) else layers
        layers = [[str(name), float(weight)] for name, weight in layers]
        return {"layers": layers}, {n: np.asarray(a, np.float32) for n, a in found.items()}


def _is_layers(value):
    """Return whether a value is a list of pairs (layer, weight), or a dictionary of them."""
    return isinstance(value, list | tuple | dict) and "conv" in str([*value][:1])


def create_files(names):
    """Fill the current folder with what notebooks read, and enter a folder three levels down.

    So a notebook may name images by ../; every image has its name in images/, too. Changing to
    another folder (`os.chdir`, %cd) has no effect, and neither has `os.kill`, with which notebooks
    restart Colab's runtime after an installation.
    """
    top = Path.cwd()
    here = top / "lab" / "lab" / "lab"
    images = cycle(sorted((PROJECT / "images").iterdir()))
    for name in dict.fromkeys([*names, CONFIG.STYLE_IMAGE, CONFIG.CONTENT_IMAGE, CONFIG.VGG_MODEL]):
        is_weights = name.lower().endswith(".mat")
        source = PROJECT / "weights.mat" if is_weights else next(images)
        folder = here / ("pretrained-model" if is_weights else "images")
        for path in (folder / PureWindowsPath(name).name, Path(os.path.normpath(here / name))):
            if path.is_relative_to(top):
                with suppress(OSError, ValueError):  # a name that no file can have
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(source.read_bytes())
    (here / "output").mkdir(exist_ok=True)
    os.chdir(here)
    os.chdir = lambda path: None
    os.kill = lambda pid, number: None


if __name__ == "__main__":
    main()
