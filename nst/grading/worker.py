"""Run a submission's code in a process of its own: its functions, then one step of its training.

The process computes and tells what came out. It holds no right answer and gives no verdict.
"""

import ctypes
import io
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

from nst.assignment.hints import NEVER_RETURNS, told
from nst.assignment.spec import COSTS, TRAINING
from nst.core.config import CONFIG, PROJECT
from nst.grading import protocol
from nst.grading.submissions import compile_cells, definitions, files_named, global_names, methods

MEMORY, FILE_SIZE = 4 * 2**30, 2**26  # bytes


class TimeUp(BaseException):
    """Interrupts what runs for too long."""


def main():
    """Answer, on stdout, the messages that come on stdin; the submission gets neither of the two.

    The first message is the submission: its cells, and the functions that are known never to
    return. Each later one asks for a trial of a function, or for TRAINING.
    """
    if "--kept" in sys.argv:
        _keep()
    _set_limits()
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    printed = Printed()
    sys.stdout = sys.stderr = io.TextIOWrapper(printed, "utf-8", "replace", write_through=True)
    _warm_up()
    protocol.write(outgoing, {"warm": True})
    request, _ = protocol.read(incoming)
    turn = request.pop("turn")
    begun = _within(request["limit"], lambda: _begin(**request))
    protocol.write(outgoing, begun | {"turn": turn})
    while True:
        request, arrays = protocol.read(incoming)
        fields, arrays = _answer(request, arrays, printed)
        protocol.write(outgoing, fields | {"turn": request["turn"]}, arrays)


def _keep():
    """Become the parent of all that a submission starts, and go on in a child.

    Linux hands orphans to this parent, so that the grader finds and ends them; and a submission
    that kills its parent kills this one, not the grader.
    """
    if not hasattr(os, "fork"):
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    if child := os.fork():
        for descriptor in (0, 1):
            os.close(descriptor)
        os.waitpid(child, 0)
        os._exit(0)


def _set_limits():
    """Limit what this process may take, where the system has such limits."""
    with suppress(ImportError):
        import resource

        limits = {"DATA": MEMORY, "FSIZE": FILE_SIZE, "CPU": 900, "CORE": 0}
        if os.environ.get("NST_OWN_USERS"):  # TensorFlow starts some threads for each processor
            limits["NPROC"] = 512 + 16 * (os.cpu_count() or 1)
        for limit, value in limits.items():
            with suppress(AttributeError, OSError, ValueError):  # a lower limit stands
                resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))


class Printed(io.RawIOBase):
    """The bytes below a sys.stdout: counted, and forgotten."""

    written = 0

    def writable(self):
        return True

    def write(self, data):
        self.written += len(data)
        return len(data)


def _warm_up():
    """Import what most submissions do, as that takes longer than all the rest."""
    from nst.lab.tf1 import install

    install()
    import imageio  # noqa: F401
    import IPython.core.inputtransformer2  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import scipy.misc  # noqa: F401

    import nst.assignment.trial  # noqa: F401
    import nst_utils  # noqa: F401


class Submission:
    """What is known of the one submission of this process."""

    statements = namespace = cells = failed = unreadable = None


def _begin(cells, hanging, limit):
    """Set the world up, and run the imports and definitions."""
    source = "\n".join(source for _, source in cells)
    if "compat.v1" in source and "disable_v2_behavior" not in source:
        import tensorflow.compat.v1 as tf

        tf.enable_v2_tensorshape()  # which that notebook has not given up
    try:
        build_world(cells)
    except OSError as error:
        return {"unprepared": f"its folder could not be filled ({error.strerror or error})"}
    Submission.cells = cells
    Submission.statements, Submission.unreadable = compile_cells(cells)
    Submission.namespace, Submission.failed = new_namespace(), {}
    for code in definitions(Submission.statements):
        try:
            exec(code, Submission.namespace)
        except (Exception, SystemExit) as error:  # what fails here is missed where it is used
            said = f"{code.co_filename} stops with {told(error)}"
            for verb in ("STORE", "IMPORT"):
                Submission.failed |= dict.fromkeys(global_names(code, verb), said[:300])
    for name in hanging:
        Submission.namespace[name] = never_returning(name)
    return {}


def _answer(request, arrays, printed):
    """Do what one message asks for: (fields, arrays)."""
    name, before = request["name"], printed.written
    result = _within(request["limit"], lambda: _do(name, request, arrays))
    if isinstance(result, dict):  # it was cut off
        if result["complaint"] == NEVER_RETURNS:
            Submission.namespace[name] = never_returning(name)
        result = result, {}
    fields, arrays = result
    return fields | {"printed": printed.written - before}, arrays


def _do(name, request, arrays):
    from nst.assignment import trial

    if name == TRAINING:
        return train(Submission.statements, request["seed"])
    target = Submission.namespace.get(name)
    if name not in Submission.namespace:
        return {"complaint": _why_missing(name)}, {}
    samples = [[arrays[f"{i}.{j}"] for j in range(n)] for i, n in enumerate(request["counts"])]
    if name == "total_cost":
        samples = [np.array(sample) for sample in samples]
    helpers = {helper: _run_def(text) for helper, text in request.get("helpers", {}).items()}
    fields, values = trial.attempt(name, target, samples, helpers, Submission.namespace)
    for missing, said in Submission.failed.items():
        if f"NameError: name '{missing}'" in fields.get("stops", ""):
            fields["stops"] = f"NameError: {missing} is not there, as {said}"
    return fields, values


def _run_def(source):
    """Run the source of one function, and return that."""
    namespace = {}
    exec(source, namespace)
    return namespace.popitem()[1]


def _why_missing(name):
    if of_class := methods(Submission.cells).get(name):
        return (
            f"it is a method of the class {of_class}. The notebook calls a function: move its def "
            "to the left margin, and leave out self."
        )
    if name in Submission.failed:
        return f"no cell defines it: {Submission.failed[name]}."
    return ". ".join(["no cell defines it", *Submission.unreadable, ""]).strip()


def _within(limit, action):
    """Do something within `limit` seconds of processor time, a multiple of that by the clock."""
    try:
        with _alarm(limit):
            return action()
    except (TimeUp, KeyboardInterrupt):
        return {"complaint": NEVER_RETURNS}
    except BaseException as error:  # a submission may raise anything
        return {"complaint": f"it stops with {told(error)}"[:300]}


@contextmanager
def _alarm(limit):
    def ring(*_):
        raise TimeUp

    if not hasattr(signal, "setitimer"):  # Windows
        import _thread

        timer = threading.Timer(protocol.WALL_CLOCK_FACTOR * limit, _thread.interrupt_main)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        return
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


def never_returning(name):
    """Make what takes the place of a function on which others would wait for ever."""
    return _run_def(f"def {name}(*_): raise TimeoutError('{name} does not return')")


def new_namespace():
    return {"__name__": "__main__", "get_ipython": MagicMock()}


# --- the world of a notebook -------------------------------------------------------------------


def build_world(cells, depth=3):
    """Fill the current folder with what notebooks read, and go down into it.

    The notebook's folder lies `depth` folders down, so that it may name pictures by ../; for it
    every picture has a name in images/, too. Going elsewhere (`os.chdir`, %cd) has no effect.
    """
    top = Path.cwd()
    here = top.joinpath(*["lab"] * depth)
    (here / "output").mkdir(parents=True)
    pictures = cycle(sorted((PROJECT / "images").glob("fresh-*.jpg")))
    config = [CONFIG.STYLE_IMAGE, CONFIG.CONTENT_IMAGE, CONFIG.VGG_MODEL]
    for name in dict.fromkeys([*files_named(cells), *config]):
        is_weights = name.lower().endswith(".mat")
        source = PROJECT / "weights.mat" if is_weights else next(pictures)
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


# --- one step of its training ------------------------------------------------------------------


class Trained(BaseException):
    """Ends the run of a notebook where it has trained: (sess, first picture, returned picture)."""


def train(statements, seed):
    """Run the notebook from its top into its training, which gets one step.

    Arguments:
    seed -- of the picture on which the costs are probed

    Returns:
    fields, arrays -- for nst.grading.training_check.Rehearsals.judge
    """
    namespace, errors = new_namespace(), []
    for code in statements:
        if "public_tests" in global_names(code, "LOAD"):
            continue
        try:
            exec(code, namespace)
        except Trained as end:
            return _measure(namespace, seed, *end.args)
        except (Exception, SystemExit) as error:
            # from here on the training has begun
            if "sess" in namespace or "sess" in global_names(code, "STORE"):
                errors.append((code.co_filename, told(error)))
        if "model_nn" in global_names(code, "STORE") and "model_nn" in namespace:
            namespace["model_nn"] = one_step(namespace["model_nn"])
    if errors:
        return {"cell": errors[0][0], "stops": errors[0][1]}, {}
    return {"complaint": "it does not begin: model_nn is never called."}, {}


def one_step(model_nn):
    def train_once(sess, input_image, *_, **__):
        raise Trained(sess, input_image, model_nn(sess, input_image, 1))

    return train_once


def _measure(namespace, seed, sess, start, returned):
    """Collect what there is after the one step: pictures, costs, layers."""
    needed = ("content_image", "style_image", "STYLE_LAYERS", *COSTS, "model")
    if missing := [name for name in needed if name not in namespace]:
        return {"complaint": f"it cannot be compared, for want of the variable {missing[0]}."}, {}
    try:
        variable = namespace["model"]["input"]
        costs = [namespace[cost] for cost in COSTS]
        pictures = {"content": namespace["content_image"], "style": namespace["style_image"]}
        state = sess.run(variable)
        arrays = {"start": start, "state": state, "returned": returned, **pictures}
        arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        arrays["costs"] = np.array(sess.run(costs), float)
        # Where one of the two costs is 0, J shows the weight of the other; and at a picture that
        # nobody can know beforehand the costs must have been computed.
        places = {name: arrays[name] for name in pictures} | {"probe": protocol.probe(seed, start)}
        for name, picture in places.items():
            sess.run(variable.assign(picture))
            arrays[f"costs_{name}"] = np.array(sess.run(costs), float)
        layers = [[str(name), float(weight)] for name, weight in namespace["STYLE_LAYERS"]]
    except Exception as error:
        return {"cannot": told(error)}, {}
    return {"layers": layers}, arrays


if __name__ == "__main__":
    main()
