"""Try a function on given inputs, and tell what it did: numbers and facts, no verdict.

This runs where the function is: in the notebook, called by the public tests, or in the process of a
submission, called by the grader. No right answer stands here.
"""

import dis
import functools
import inspect
import itertools
import os
import traceback
from contextlib import ExitStack, contextmanager, redirect_stdout
from numbers import Real
from tempfile import TemporaryDirectory
from textwrap import shorten
from types import CodeType, ModuleType, SimpleNamespace
from unittest.mock import patch

import numpy as np
from IPython.utils.capture import capture_output

from nst.assignment.hints import told
from nst.assignment.spec import PARAMETERS, RATE, STEPS
from nst.core.tensorflow import import_tensorflow

tf = import_tensorflow()


class Refused(Exception):
    """What a function returned cannot be judged: its kind, and its value where it has one."""


def attempt(name, target, samples, helpers=None, namespace=None):
    """Try a function of the assignment.

    Arguments:
    name -- key of PARAMETERS
    target -- what is to be tried
    samples -- list of lists of arrays, from nst.assignment.verdict.draw
    helpers -- functions that stand in for the notebook's own
    namespace -- of the notebook, where `target` may have another

    Returns:
    fields -- dict of facts: those of nst.assignment.verdict.FACTS
    arrays -- dict of arrays: value0, value1, …, and what else the trial gives
    """
    function = function_of(target)
    if function is None:
        return {"no_function": shorten(_repr(target), 60, placeholder="…")}, {}
    parameters = inspect.signature(target).parameters
    fields = {"signature": str(inspect.signature(target)), "parameters": list(parameters)}
    fields["clues"], arrays = clues(function.__code__), {}
    try:
        inspect.signature(target).bind(*PARAMETERS[name].split(", "))
    except TypeError:
        return fields | {"binds": False}, {}
    spaces = [function.__globals__, *([namespace] if namespace is not None else [])]
    try:
        with _trial(spaces, helpers or {}) as session:
            fields |= TRIALS[name](target, session, samples, arrays, spaces) or {}
    except Refused as refusal:
        fields["returned"], *value = refusal.args
        if value:
            arrays["returned"] = np.asarray(value[0])
    except (Exception, SystemExit) as error:
        fields |= stop(error, function.__code__.co_filename)
    return fields, arrays


def _repr(value):
    try:
        return repr(value)
    except Exception:
        return f"a {type(value).__name__}"


def function_of(target):
    """Find the Python function behind a callable: a partial, a decorated one, an object's call."""
    if not callable(target) or isinstance(target, type):
        return None
    for _ in range(10):
        target = inspect.unwrap(target)
        if isinstance(target, functools.partial):
            target = target.func
        elif inspect.ismethod(target):
            target = target.__func__
        elif not inspect.isfunction(target):
            target = vars(type(target)).get("__call__")
    return target if inspect.isfunction(target) else None


def clues(code):
    """List what of nst.assignment.hints.CLUES a function's code shows."""
    steps = list(dis.get_instructions(code))
    found = {"^" for step in steps if step.opname == "BINARY_XOR" or step.argrepr in ("^", "^=")}
    found |= {"Session" for name in code.co_names if name in ("Session", "InteractiveSession")}
    for before, step in itertools.pairwise(steps):
        if before.argval in ("np", "numpy") and step.argval in ("sum", "mean"):
            found.add(f"np.{step.argval}")
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return sorted(found.union(*map(clues, inner)))


def stop(error, file):
    """Describe an error: what it says, and the last line of `file` that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [(frame.lineno, frame.line) for frame in frames if frame.filename == file]
    number, line = lines[-1] if lines else (0, "")
    code = shorten(line or "", 80, placeholder=" ...")
    return {"stops": told(error), "line": number or 0, "code": code}


@contextmanager
def _trial(spaces, helpers):
    """A graph and a session, with `sess` and `helpers` as the notebook's globals."""
    for name, helper in helpers.items():
        helper.__qualname__ = name  # as errors call it
    with ExitStack() as stack:
        stack.enter_context(tf.Graph().as_default())
        session = stack.enter_context(new_session())
        for space in spaces:
            stack.enter_context(patch.dict(space, sess=session, **helpers))
        yield session


def new_session():
    return tf.Session(config=tf.ConfigProto(device_count={"GPU": 0}))  # same numbers everywhere


def run(session, output):
    """Run `output`, which must be a float32 tensor of the session's graph."""
    if output is None:
        raise Refused("nothing")
    if isinstance(output, int | float | np.ndarray | np.generic):
        raise Refused("a NumPy array" if np.ndim(output) else "a number", output)
    if not isinstance(output, tf.Tensor):
        raise Refused(f"a {type(output).__name__}")
    if output.graph is not session.graph:
        raise Refused("another graph")
    if output.dtype != tf.float32:
        raise Refused(f"dtype {output.dtype.name}")
    return session.run(output)


def _try_tensors(target, session, samples, arrays, spaces):
    for i, sample in enumerate(samples):
        inputs = [tf.constant(array) for array in sample]
        output = target(*inputs)
        arrays[f"value{i}"] = run(session, output)
    gradient = tf.gradients(output, inputs[-1])[0]
    if gradient is not None:
        arrays["gradient"] = session.run(gradient)


def _try_style(target, session, samples, arrays, spaces):
    """Samples: the weights of the layers, then the style's and the generated activation of each."""
    names, handed_over = ("conv1_1", "conv2_1", "conv3_1"), []
    with ExitStack() as stack:
        for space in spaces:
            _watch_arguments(stack, space, "compute_layer_style_cost", handed_over)
        for i, (weights, *pairs) in enumerate(samples):
            pictures = [tf.Variable(style) for style in pairs[::2]]
            session.run([picture.initializer for picture in pictures])
            model = dict(zip(names, map(tf.identity, pictures), strict=True))
            try:
                output = target(model, list(zip(names, weights.tolist(), strict=True)))
            except Exception:
                if "swapped" in handed_over:
                    raise Refused("swapped") from None
                raise
            for picture, generated in zip(pictures, pairs[1::2], strict=True):
                session.run(picture.assign(generated))
            arrays[f"value{i}"] = run(session, output)


def _watch_arguments(stack, space, name, handed_over):
    """Note where the layer's cost is handed the tensor first and the array of the style second."""
    helper = space.get(name)
    if not inspect.isfunction(helper):
        return

    @functools.wraps(helper)
    def watched(*args, **kwargs):
        if len(args) == 2 and tf.is_tensor(args[0]) and isinstance(args[1], np.ndarray):
            handed_over.append("swapped")
        return helper(*args, **kwargs)

    stack.enter_context(patch.dict(space, {name: watched}))


def _try_total(target, session, samples, arrays, spaces):
    for i, sample in enumerate(samples):
        J = target(*sample.tolist())
        arrays[f"value{i}"] = np.asarray(J, float) if isinstance(J, Real) else run(session, J)
    run(session, target(tf.constant(1.0), tf.constant(2.0), 10, 40))
    try:
        J = target(1.0, 2.0)
    except TypeError:
        return
    arrays["defaults"] = np.asarray(J, float) if isinstance(J, Real) else run(session, J)


def _try_model_nn(target, session, samples, arrays, spaces):
    noise, goal = samples[0]
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        stack.enter_context(capture_output(stdout=False, stderr=False))  # what is displayed
        picture = tf.Variable(np.zeros_like(noise))
        J_content, J_style = tf.reduce_sum((picture - goal) ** 2), tf.reduce_sum(picture**2)
        J = J_content + J_style
        # Momentum 0 is plain descent, which NumPy repeats, with variables to initialise.
        train_step = tf.train.MomentumOptimizer(RATE, 0).minimize(J)
        for space in spaces:
            stand_ins = {"save_image": lambda path, image: None, "OUTPUT_DIR": folder}
            for name, module in space.items():
                if isinstance(module, ModuleType) and hasattr(module, "save_image"):
                    stand_ins[name] = SimpleNamespace(**vars(module) | stand_ins)
            stand_ins |= {"model": {"input": picture}, "train_step": train_step}
            stand_ins |= {"J": J, "J_content": J_content, "J_style": J_style}
            stack.enter_context(patch.dict(space, stand_ins))
        returned = target(session, noise, STEPS)
        if returned is None:
            raise Refused("nothing")
        stayed = session.run(picture)
    if not isinstance(returned, np.ndarray) or returned.shape != noise.shape:
        shape = f" of shape {returned.shape}" if isinstance(returned, np.ndarray) else ""
        raise Refused(f"picture: a {type(returned).__name__}{shape}")
    arrays["value0"] = np.stack([stayed, returned.astype(np.float32)])


TRIALS = {
    "compute_content_cost": _try_tensors,
    "gram_matrix": _try_tensors,
    "compute_layer_style_cost": _try_tensors,
    "compute_style_cost": _try_style,
    "total_cost": _try_total,
    "model_nn": _try_model_nn,
}
