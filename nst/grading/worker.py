"""Run a submission in a process of its own: its notebook up to model_nn, then its functions.

The process computes and returns what came out. It holds no right answer and gives no verdict. The
grader asks for one cell, one measurement or one function at a time, so that it knows which of them
ended the process.
"""

import io
import os
import signal
import sys
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

from nst.assignment.hints import NEVER_RETURNS, format_error
from nst.assignment.spec import COSTS
from nst.core.config import CONFIG, PROJECT
from nst.grading import cells, protocol

MEMORY, FILE_SIZE = 4 * 2**30, 2**26  # bytes
IMAGES_LIMIT = 8  # of a notebook's images that are compared, after its own names for them


class TimeUp(BaseException):
    """Interrupts what runs for too long."""


class Training(BaseException):
    """Ends a notebook's call of model_nn."""


def main():
    """Answer on stdout what is asked on stdin; the submission gets neither of the two."""
    _set_limits()
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    printed = CountedOutput()
    sys.stdout = sys.stderr = io.TextIOWrapper(printed, "utf-8", "replace", write_through=True)
    _warm_up()
    protocol.write(outgoing, {"warm": True})
    submission = Submission()
    while True:
        request, arrays = protocol.read(incoming)
        before, turn = printed.written, request.pop("turn")
        action, limit = getattr(submission, request.pop("do")), request.pop("limit")
        fields, arrays = _within(limit, lambda: action(arrays=arrays, **request))  # noqa: B023
        fields |= {"printed": printed.written - before, "turn": turn}
        protocol.write(outgoing, fields, arrays)


def _set_limits():
    """Limit what this process may use, and make it the first one that a full memory ends."""
    import resource

    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    limits = {"DATA": MEMORY, "FSIZE": FILE_SIZE, "CPU": 900, "CORE": 0}
    if os.environ.get("NST_OWN_USERS"):  # TensorFlow starts some threads for each processor
        limits["NPROC"] = 512 + 16 * (os.cpu_count() or 1)
    for limit, value in limits.items():
        with suppress(AttributeError, OSError, ValueError):  # macOS lacks some; a lower one stays
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))


class CountedOutput(io.RawIOBase):
    """The bytes below sys.stdout: counted, and forgotten."""

    written = 0

    def writable(self):
        return True

    def write(self, data):
        self.written += len(data)
        return len(data)


def _warm_up():
    """Import what most submissions import, which takes longer than all the rest."""
    from nst.lab.tf1 import install

    install()
    import imageio  # noqa: F401
    import IPython.core.inputtransformer2  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import scipy.misc  # noqa: F401

    import nst.assignment.trial  # noqa: F401
    import nst_utils  # noqa: F401

    sys.modules["nst.assignment.public_tests"] = MagicMock()  # which hold right answers
    sys.modules["nst.assignment"].public_tests = sys.modules["nst.assignment.public_tests"]


def _within(limit, action):
    """Run an action within `limit` seconds of CPU time, and a multiple of that by the clock."""
    try:
        with _alarm(limit):
            return action()
    except (TimeUp, KeyboardInterrupt):
        return {"complaint": NEVER_RETURNS}, {}
    except BaseException as error:  # a submission may raise anything
        return {"complaint": f"it stops with {format_error(error)}"[:300]}, {}


@contextmanager
def _alarm(limit):
    def ring(*_):
        raise TimeUp

    timers = {signal.ITIMER_PROF: limit, signal.ITIMER_REAL: protocol.WALL_CLOCK_FACTOR * limit}
    signal.signal(signal.SIGPROF, ring)
    signal.signal(signal.SIGALRM, ring)
    try:
        for timer, seconds in timers.items():
            signal.setitimer(timer, seconds)
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)


class Submission:
    """The one submission of this process. Its public methods are what the grader can ask for.

    Each returns (fields, arrays), and gets `arrays` by name.
    """

    def __init__(self):
        self._shell = MagicMock()
        self._shell.run_cell_magic.side_effect = self._cell_magic
        self._shell.run_line_magic.side_effect = self._line_magic
        self._space = {"__name__": "__main__", "get_ipython": lambda: self._shell}
        self._cells, self._problems = [], []
        self._failed = {}  # name: why the statement that binds it failed
        self._model_nn = self._interceptor = None
        self._measured = None  # what its training gave

    def read(self, name, arrays):
        """Read the submission, and create the files that it names: number of its code cells."""
        try:
            self._cells = cells.read_cells(name, arrays["data"].tobytes())
        except ValueError as error:
            return {"unreadable": str(error)[:500]}, {}
        if cells.is_tensorflow_2_edition(self._cells):
            return {"edition": 2}, {}
        source = "\n".join(cell.source for cell in self._cells)
        if "compat.v1" in source and "disable_v2_behavior" not in source:
            import tensorflow.compat.v1 as tf

            tf.enable_v2_tensorshape()  # that notebook has not turned it off
        try:
            create_files(cells.files_named(self._cells))
        except OSError as error:
            return {"unprepared": f"its folder cannot be filled ({error.strerror or error})"}, {}
        sys.path.insert(0, os.getcwd())  # for what %%writefile writes
        self._code = [cell for cell in self._cells if cell.is_code]
        return {"cells": len(self._code)}, {}

    def run_cell(self, number, definitions_only, seed, arrays):
        """Run a cell: its first error, or whether it calls model_nn, which is measured then.

        A statement that fails costs itself: what it would bind is missed when it is used.
        """
        statements, problem = cells.compile_cell(self._code[number])
        self._problems += [problem] if problem else []
        stops = ""
        for node, code in statements:
            if definitions_only and not cells.is_definition(node):
                continue
            try:
                exec(code, self._space)
            except Training:
                pass
            except (Exception, SystemExit) as error:
                reason = f"{code.co_filename} stops with {format_error(error)}"[:300]
                self._failed |= dict.fromkeys(cells.bound_names(node), reason)
                stops = stops or format_error(error)
            self._intercept_model_nn(seed)
            if self._measured:
                return {"trains": True}, {}
        has_session = "sess" in self._space or any(map(_is_session, self._space.values()))
        fields = {"stops": stops, "title": self._code[number].title} if stops else {}
        return fields | {"has_session": has_session}, {}

    def _intercept_model_nn(self, seed):
        """Replace model_nn, for calls from the notebook, by one that trains a step and ends it."""
        found = self._space.get("model_nn")
        if not callable(found) or found is self._interceptor:
            return

        def model_nn(*args, **kwargs):
            # here, as the session may be closed further up
            self._measured = self._train(*(*args, *kwargs.values())[:2], seed)
            raise Training

        self._model_nn, self._interceptor = found, model_nn
        self._space["model_nn"] = model_nn

    def _cell_magic(self, name, line, body):
        if name in ("writefile", "file"):
            Path(line.split()[-1].strip("'\"")).write_text(body)
        if name in ("time", "timeit", "capture", "prun"):  # in a script, as nbconvert exports them
            for _, code in cells.compile_cell(cells.Cell("a cell", body, 1))[0]:
                exec(code, self._space)

    def _line_magic(self, name, line="", *_):
        if name == "run" and line.strip():
            path = Path(line.split()[0])
            exec(compile(path.read_text("utf-8"), str(path), "exec"), self._space)

    def try_function(self, name, counts, arrays):
        """Try a graded function on samples: the facts and arrays of nst.assignment.trial."""
        from nst.assignment import trial

        target = self._model_nn if name == "model_nn" else self._space.get(name)
        if name not in self._space:
            if name in self._failed:
                return {"complaint": f"no cell defines it: {self._failed[name]}."}, {}
            return {"complaint": cells.why_missing(name, self._cells, self._problems)}, {}
        samples = [[arrays[f"{i}.{j}"] for j in range(n)] for i, n in enumerate(counts)]
        fields, values = trial.attempt(name, target, samples, self._space)
        for missing, reason in self._failed.items():
            if f"NameError: name '{missing}'" in fields.get("stops", ""):
                fields["stops"] = f"NameError: {missing} is not there, as {reason}"
        return fields, values

    def training(self, arrays):
        """Return what the training gave."""
        never = {"complaint": "it does not begin: model_nn is never called."}
        return self._measured or (never, {})

    def _train(self, sess, start, seed):
        """Run one step of the training, and evaluate its costs at images of the grader's choice."""
        if missing := [name for name in COSTS if name not in self._space]:
            return {"complaint": f"it cannot be compared: there is no variable {missing[0]}."}, {}
        try:
            returned = self._model_nn(sess, start, 1)
            return self._measure(sess, start, returned, seed)
        except (Exception, SystemExit) as error:
            return {"cannot": format_error(error)}, {}

    def _measure(self, sess, start, returned, seed):
        from nst.assignment.trial import is_model

        models = {n: m for n, m in self._space.items() if is_model(m)}
        models = [models[n] for n in sorted(models, key=lambda name: name != "model")]
        inputs = [model["input"] for model in models if model["input"].graph is sess.graph]
        if not inputs:
            return {"complaint": "its session's graph has no model of load_vgg_model."}, {}
        (variable, *_) = inputs
        costs = [self._space[cost] for cost in COSTS]
        state = sess.run(variable)
        images = self._images(state.shape)
        found = {"start": start, "state": state, "returned": returned, **images}
        found = {name: np.asarray(array, np.float32) for name, array in found.items()}
        rows = [sess.run(costs)]
        for image in protocol.probes(seed, state.shape):
            sess.run(variable.assign(image))
            rows.append(sess.run(costs))
        others = filter(_is_layers, self._space.values())
        layers = self._space.get("STYLE_LAYERS") or next(others, [])
        layers = layers.items() if isinstance(layers, dict) else layers
        layers = [[str(name), float(weight)] for name, weight in layers]
        return {"layers": layers}, found | {"costs": np.array(rows, float)}

    def _images(self, shape):
        """Collect the arrays that may be the content image and the style image."""
        named = {n: a for n, a in self._space.items() if getattr(a, "shape", None) == shape}
        named = {name: array for name, array in named.items() if isinstance(array, np.ndarray)}
        names = sorted(named, key=lambda name: name not in ("content_image", "style_image"))
        return {f"image {name}"[:80]: named[name] for name in names[:IMAGES_LIMIT]}


def _is_session(value):
    return type(value).__name__ == "InteractiveSession"


def _is_layers(value):
    return isinstance(value, list | tuple) and bool(value) and "conv" in str(value[0])


def create_files(names, depth=3):
    """Fill the current folder with what notebooks read, and enter it.

    The notebook's folder is `depth` folders down, so that it may name images by ../; for it every
    image has a name in images/, too. Changing to another folder (`os.chdir`, %cd) has no effect.
    """
    top = Path.cwd()
    here = top.joinpath(*["lab"] * depth)
    (here / "output").mkdir(parents=True)
    images = cycle(sorted((PROJECT / "images").glob("fresh-*.jpg")))
    config = [CONFIG.STYLE_IMAGE, CONFIG.CONTENT_IMAGE, CONFIG.VGG_MODEL]
    for name in dict.fromkeys([*names, *config]):
        is_weights = name.lower().endswith(".mat")
        source = PROJECT / "weights.mat" if is_weights else next(images)
        folder = here / ("pretrained-model" if is_weights else "images")
        path = Path(os.path.normpath(here / name))
        places = {folder / name.replace("\\", "/").rpartition("/")[2]}
        if path.is_relative_to(top) and not path.is_relative_to(here / "output"):
            places.add(path)
        for place in places:
            with suppress(ValueError):  # a name with a null character
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(source.read_bytes())
    os.chdir(here)
    os.chdir = lambda path: None


if __name__ == "__main__":
    main()
