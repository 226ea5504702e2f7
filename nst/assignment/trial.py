"""Run a function on given inputs, and return what it did: numbers and facts, no verdict.

This runs where the function is: in the notebook, called by the public tests, or in the process of a
submission, called by the grader. It holds no right answer: what a function calls is replaced by a
stand-in with secret numbers in its value, so that each function is judged alone.
"""

import dis
import functools
import inspect
import itertools
import os
import traceback
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from numbers import Real
from tempfile import TemporaryDirectory
from textwrap import shorten
from types import CodeType, ModuleType, SimpleNamespace
from unittest.mock import patch

import numpy as np
from IPython.utils.capture import capture_output

from nst.assignment.hints import format_error
from nst.assignment.spec import HELPERS, PARAMETERS, STEPS, VGG_LAYERS
from nst.core.tensorflow import import_tensorflow

tf = import_tensorflow()


class Refused(Exception):
    """What a function returned cannot be judged: its kind, and its value if it has one."""


def attempt(name, target, samples, namespace=None):
    """Run a function of the assignment on samples.

    Arguments:
    name -- key of PARAMETERS
    target -- the function
    samples -- list of lists of arrays, from nst.assignment.verdict.draw
    namespace -- globals of the notebook, if they may differ from those of `target`

    Returns:
    fields -- dict of facts: no_function, signature, parameters, clues, binds, stops (an error), the
        line and code that it came from, returned (a kind that cannot be judged)
    arrays -- dict of arrays: value0, value1, …, and what else the trial gives
    """
    function = function_of(target)
    if function is None:
        return {"no_function": shorten(_repr(target), 60, placeholder="…")}, {}
    signature, arrays = inspect.signature(target), {}
    fields = {"signature": str(signature), "parameters": list(signature.parameters)}
    fields["clues"] = clues(function.__code__)
    every = PARAMETERS[name].split(", ")
    try:
        signature.bind(*every)
        signature.bind(*(parameter for parameter in every if "=" not in parameter))
    except TypeError:
        return fields | {"binds": False}, {}
    spaces = [function.__globals__, *([namespace] if namespace is not None else [])]
    try:
        with _trial(spaces) as session:
            TRIALS[name](target, session, samples, arrays, spaces)
    except Refused as refusal:
        fields["returned"], *value = refusal.args
        with suppress(TypeError, ValueError, IndexError):
            arrays["returned"] = np.asarray(value[0], float)
    except (Exception, SystemExit) as error:
        fields |= describe_error(error, function.__code__.co_filename)
    return fields, arrays


def _repr(value):
    try:
        return repr(value)
    except Exception:
        return f"a {type(value).__name__}"


def function_of(target):
    """Find the Python function of a callable: a partial, a decorated one, an object's __call__."""
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
    """List those of nst.assignment.hints.CLUES that a function's code shows."""
    steps = list(dis.get_instructions(code))
    found = {"Session" for name in code.co_names if name in ("Session", "InteractiveSession")}
    keywords = {name for part in code.co_consts if isinstance(part, tuple) for name in part}
    found |= {"minimize", "feed_dict"} & {*code.co_names, *keywords}
    if "get_shape" in code.co_names and "as_list" not in code.co_names:
        found.add("get_shape")
    for sign, old_name in (("^", "BINARY_XOR"), ("//", "BINARY_FLOOR_DIVIDE")):
        if any(step.opname == old_name or step.argrepr in (sign, f"{sign}=") for step in steps):
            found.add(sign)
    for before, step in itertools.pairwise(steps):
        if before.argval in ("np", "numpy") and step.argval in ("sum", "mean"):
            found.add(f"np.{step.argval}")
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return sorted(found.union(*map(clues, inner)))


def describe_error(error, file):
    """Describe an error: its message, and the last line of `file` that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [(frame.lineno, frame.line) for frame in frames if frame.filename == file]
    number, line = lines[-1] if lines else (0, "")
    code = shorten(line or "", 80, placeholder=" ...")
    return {"stops": format_error(error), "line": number or 0, "code": code}


@contextmanager
def _trial(spaces):
    """Enter a graph and a session, which every session among the notebook's globals becomes."""
    with tf.Graph().as_default(), new_session() as session, ExitStack() as stack:
        for space in spaces:
            stand_ins = dict.fromkeys(_names(space, tf.Session, tf.InteractiveSession), session)
            stack.enter_context(patch.dict(space, stand_ins, sess=session))
        yield session


def _names(space, *kinds):
    return [name for name, value in space.items() if isinstance(value, kinds)]


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


def _add_gradient(session, output, arguments, arrays):
    gradients = tf.gradients(output, list(arguments))
    if None not in gradients:
        arrays["gradient"] = np.array(session.run(list(map(tf.convert_to_tensor, gradients))))


def _try_tensors(target, session, samples, arrays, spaces):
    for i, inputs in enumerate(samples):
        inputs = [tf.constant(array) for array in inputs]
        output = target(*inputs)
        arrays[f"value{i}"] = run(session, output)
    _add_gradient(session, output, inputs[-1:], arrays)


def _try_layer(target, session, samples, arrays, spaces):
    """Samples: the factor of the stand-in for gram_matrix, then two activations."""
    for i, (factor, a_S, a_G) in enumerate(samples):
        generated = tf.constant(a_G)
        with _helper("compute_layer_style_cost", spaces, _stand_in_gram, factor):
            # an array, as compute_style_cost passes it, or a tensor, as in the check cell
            output = target(tf.constant(a_S) if i % 2 == 0 else a_S, generated)
        arrays[f"value{i}"] = run(session, output)
    _add_gradient(session, output, [generated], arrays)


def _try_style(target, session, samples, arrays, spaces):
    """Samples: secret numbers, the layers' weights, their style and generated activations."""
    for i, (secret, weights, *activations) in enumerate(samples):
        names = [f"conv{block}_1" for block in range(1, 1 + len(weights))]
        images = [tf.Variable(style) for style in activations[::2]]
        session.run([image.initializer for image in images])
        model = dict(zip(names, map(tf.identity, images), strict=True))
        layers = list(zip(names, weights.tolist(), strict=True))
        with _helper("compute_style_cost", spaces, _stand_in_cost, secret):
            output = target(model, layers)
        for image, generated in zip(images, activations[1::2], strict=True):
            session.run(image.assign(generated))
        arrays[f"value{i}"] = run(session, output)
    _add_gradient(session, output, [model[names[-1]]], arrays)


def _helper(name, spaces, stand_in, secret):
    """Replace the function that `name` calls among the notebook's globals."""
    stack, helper = ExitStack(), HELPERS[name]
    for space in spaces:
        replaced = {helper: stand_in(secret, space.get(helper))}
        stack.enter_context(patch.dict(space, replaced))
    return stack


def _arguments(own, args, kwargs):
    """Return the arguments of a call in the order of the function that it is meant for."""
    try:
        signature = inspect.signature(own)
    except (TypeError, ValueError):  # the notebook has no such function
        return *args, *kwargs.values()
    try:
        return signature.bind(*args, **kwargs).args
    except TypeError as error:
        raise TypeError(f"{own.__name__}() {error}") from None


def _stand_in_gram(factor, own):
    def gram_matrix(*args, **kwargs):
        A = tf.convert_to_tensor(_arguments(own, args, kwargs)[0])
        if len(A.shape) == 2:
            return np.float32(factor) * tf.matmul(A, A, transpose_b=True)
        try:
            return np.float32(factor) * own(A)
        except Exception:
            raise TypeError(
                f"gram_matrix takes a matrix (n_C, n_H*n_W), not a tensor of shape {A.shape}"
            ) from None

    return gram_matrix


def _stand_in_cost(secret, own):
    one, two = secret.astype(np.float32)

    def compute_layer_style_cost(*args, **kwargs):
        a_S, a_G = _arguments(own, args, kwargs)[:2]
        return tf.reduce_mean((one * a_S - two * a_G) ** 2)

    return compute_layer_style_cost


def _try_total(target, session, samples, arrays, spaces):
    for i, sample in enumerate(samples):
        J_content, J_style, alpha, beta = map(float, sample)
        if i < len(samples) - 1:
            arrays[f"value{i}"] = _number_or_run(session, target(J_content, J_style, alpha, beta))
    costs = tf.constant(J_content), tf.constant(J_style)
    J = target(*costs, alpha, beta)
    arrays[f"value{i}"] = run(session, J)
    _add_gradient(session, J, costs, arrays)
    arrays["defaults"] = _number_or_run(session, target(1.0, 2.0))


def _number_or_run(session, J):
    return np.asarray(J, float) if isinstance(J, Real) else run(session, J)


def _try_model_nn(target, session, samples, arrays, spaces):
    """Samples: rate of a descent, the image where it begins, the image that J_content compares."""
    rate, noise, goal = samples[0]
    image = tf.Variable(np.zeros_like(noise))
    costs = {"J_content": tf.reduce_sum((image - goal) ** 2), "J_style": tf.reduce_sum(image**2)}
    costs["J"] = costs["J_content"] + costs["J_style"]
    # Momentum 0 is plain descent, which NumPy repeats, with variables to initialize.
    optimizer = tf.train.MomentumOptimizer(float(rate), 0)
    train_step = optimizer.minimize(costs["J"])
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        stack.enter_context(capture_output(stdout=False, stderr=False))  # of displays
        for space in spaces:
            layers = dict.fromkeys(VGG_LAYERS, tf.identity(image))
            stand_ins = {"model": {"input": image, **layers}, "train_step": train_step, **costs}
            stand_ins |= _training_globals(space, stand_ins) | {"OUTPUT_DIR": folder}
            stand_ins |= dict.fromkeys(_names(space, tf.train.Optimizer), optimizer)
            stand_ins |= _without_files(space)
            stack.enter_context(patch.dict(space, stand_ins))
        returned = target(session, noise, STEPS)
        if returned is None:
            raise Refused("nothing")
        left = session.run(image)
    if not isinstance(returned, np.ndarray) or returned.shape != noise.shape:
        shape = f" of shape {returned.shape}" if isinstance(returned, np.ndarray) else ""
        raise Refused(f"image: a {type(returned).__name__}{shape}")
    arrays["value0"] = np.stack([left, returned.astype(np.float32)])


def _training_globals(space, stand_ins):
    """Replace what a notebook calls otherwise: its model, its training step, its costs."""
    found = {}
    for name, value in space.items():
        if is_model(value):
            found[name] = stand_ins["model"]
        elif isinstance(value, tf.Operation):
            found[name] = stand_ins["train_step"]
        elif isinstance(value, tf.Tensor) and value.shape == () and name not in stand_ins:
            found[name] = stand_ins["J"]
    return found


def is_model(value):
    """Return whether a value is a dictionary of layers, as load_vgg_model returns it."""
    return isinstance(value, dict) and "input" in value and VGG_LAYERS[0] in value


def _without_files(space):
    """Replace save_image, under its name and within modules, by one that writes no file."""
    found = {"save_image": lambda path, image: None}
    for name, module in space.items():
        if isinstance(module, ModuleType) and hasattr(module, "save_image"):
            found[name] = SimpleNamespace(**{**vars(module), **found})
    return found


TRIALS = {
    "compute_content_cost": _try_tensors,
    "gram_matrix": _try_tensors,
    "compute_layer_style_cost": _try_layer,
    "compute_style_cost": _try_style,
    "total_cost": _try_total,
    "model_nn": _try_model_nn,
}
