"""Run a function on given inputs, and return the numbers that it gave; no verdict.

This runs where the function is: in the notebook, called by the public tests, or in the process of a
submission, called by the grader. It holds no right answer: what a function calls is replaced by a
stand-in with secret numbers in its value, so that each function is judged alone.
"""

import functools
import inspect
import re
import traceback
from contextlib import ExitStack, contextmanager, suppress
from numbers import Real
from textwrap import shorten
from types import ModuleType
from unittest.mock import patch

import numpy as np
from IPython.utils.capture import capture_output

from nst.assignment.hints import ACTIVATIONS, NOTHING, explain, format_error
from nst.assignment.spec import PARAMETERS, STEPS, VGG_LAYERS
from nst.core.tensorflow import import_tensorflow

tf = import_tensorflow()


class Refused(Exception):
    """A function, or its value, cannot be judged; the message is a sentence for the student."""


def attempt(name, target, samples, namespace=None):
    """Run a function of the assignment on samples.

    Arguments:
    name -- key of PARAMETERS
    target -- the function
    samples -- list of lists of arrays, from nst.assignment.samples.draw
    namespace -- globals of the notebook, if they may differ from those of `target`

    Returns:
    fields -- dict: code (of the function, without its comments and strings), and complaint (a
        sentence) if it cannot be judged
    arrays -- dict of arrays: value0, value1, …, and what else the trial gives
    """
    fields, arrays = {}, {}
    try:
        function = plain_function(target)
        fields = {"code": code_of(function)}
        _check_signature(name, target)
        spaces = [function.__globals__, *([namespace] if namespace is not None else [])]
        with _trial(spaces) as session:
            TRIALS[name](target, session, samples, arrays, spaces)
    except Refused as refusal:
        fields["complaint"] = str(refusal)
    except (Exception, SystemExit) as error:
        fields["complaint"] = _describe(error, function.__code__.co_filename, name, fields["code"])
    return fields, arrays


def plain_function(target):
    """Find the Python function of a callable: a partial, a decorated one, an object's __call__."""
    found = target
    for _ in range(5):  # such as a partial of an object's method
        if isinstance(found, functools.partial):
            found = found.func
        elif not inspect.isfunction(found) and not isinstance(found, type):
            found = getattr(found, "__func__", vars(type(found)).get("__call__"))
    if not inspect.isfunction(found):
        shown = f"a {type(target).__name__:.40}" if target is not None else "None"
        raise Refused(f"it is {shown}, not a function of yours. Run the cell that defines it.")
    return inspect.unwrap(found)


def code_of(function):
    """Return a function's code without comments and strings, empty if it is not known."""
    with suppress(OSError, TypeError):
        source = inspect.getsource(function)
        return re.sub(r"(?s)(\"\"\"|''').*?\1|#[^\n]*", "", source)[:10_000]
    return ""


def _check_signature(name, target):
    """Raise Refused if the course's calls do not fit; two activations may be in either order."""
    signature, wanted = inspect.signature(target), PARAMETERS[name].split(", ")
    found = list(signature.parameters)
    if {"content_output", "generated_output", "style_image_output"} & {*found}:
        raise Refused(
            f"its arguments {signature} are those of the TensorFlow 2 edition. This is the "
            f"TensorFlow 1 course, whose arguments are ({PARAMETERS[name]})."
        )
    names = [parameter.partition("=")[0] for parameter in wanted]
    found = found[: len(names)]
    try:
        signature.bind(*wanted)
        signature.bind(*(parameter for parameter in wanted if "=" not in parameter))
        fits = found == names or sorted(found) != sorted(names) or name in ACTIVATIONS
    except TypeError:
        fits = False
    if not fits:
        shown = f"{signature}"[:200]
        raise Refused(
            f"its arguments are {shown}. They must be ({PARAMETERS[name]}), in this order."
        )


def _describe(error, file, name, code):
    """Describe an error: its message, and the last line of `file` that it came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    line = shorten(frames[-1].line or "", 80, placeholder=" ...") if frames else ""
    where = f" in line {frames[-1].lineno}, `{line}`," if line else ""
    return f"it stops{where} with {explain(format_error(error), code, name)}"


@contextmanager
def _trial(spaces):
    """Enter a graph and a session, which every session among the notebook's globals becomes."""
    with tf.Graph().as_default(), new_session() as session, ExitStack() as stack:
        for space in spaces:
            kinds = tf.Session, tf.InteractiveSession
            found = [name for name, value in space.items() if isinstance(value, kinds)]
            stack.enter_context(patch.dict(space, dict.fromkeys(found, session), sess=session))
        yield session


def new_session():
    """Make a session that computes on the processor, so that numbers are the same everywhere."""
    return tf.Session(config=tf.ConfigProto(device_count={"GPU": 0}))


def run(session, output):
    """Run `output`, which must be a float32 tensor of the session's graph."""
    if output is None:
        raise Refused(NOTHING)
    if isinstance(output, int) and output == 0:
        raise Refused("it returns 0, its starting value. Add to it with +=.")
    if isinstance(output, int | float | np.ndarray | np.generic):
        kind = "a NumPy array" if np.ndim(output) else "a number"
        raise Refused(
            f"it returns {kind}, not a tensor. Compute it from the arguments with tf functions, "
            "without sess.run, .eval() or NumPy."
        )
    if not isinstance(output, tf.Tensor):
        raise Refused(f"it returns a {type(output).__name__:.40}. It must return one tensor.")
    if output.graph is not session.graph:
        raise Refused("it returns a tensor of another graph. Use the arguments only.")
    if output.dtype != tf.float32:
        raise Refused(f"it returns {output.dtype.name}. It must stay tf.float32.")
    return session.run(output)


def gradients_of(session, output, arguments):
    """Compute the gradients of a tensor by each of the arguments: an array, of zeros if none."""
    with session.graph.as_default():
        gradients = tf.gradients(output, list(arguments), unconnected_gradients="zero")
        return np.array(session.run(list(map(tf.convert_to_tensor, gradients))))


def _try_tensors(target, session, samples, arrays, spaces):
    for i, sample in enumerate(samples):
        inputs = [tf.constant(array) for array in sample]
        output = target(*inputs)
        arrays[f"value{i}"] = run(session, output)
    arrays["gradient"] = gradients_of(session, output, inputs[-1:])


def _try_layer(target, session, samples, arrays, spaces):
    """Samples: the factor of the stand-in for gram_matrix, then two activations."""
    for i, (factor, a_S, a_G) in enumerate(samples):
        generated = tf.constant(a_G)
        with _helper("gram_matrix", spaces, functools.partial(_stand_in_gram, factor)):
            # an array, as compute_style_cost passes it, or a tensor, as in the check cell
            output = target(a_S if i % 2 else tf.constant(a_S), generated)
        arrays[f"value{i}"] = run(session, output)
    arrays["gradient"] = gradients_of(session, output, [generated])


def _try_style(target, session, samples, arrays, spaces):
    """Samples: secret numbers, the layers' weights, their style and generated activations."""
    for i, (secret, weights, *activations) in enumerate(samples):
        names = [f"conv{block}_1" for block in range(1, 1 + len(weights))]
        images = [tf.Variable(style) for style in activations[::2]]
        session.run([image.initializer for image in images])
        model = dict(zip(names, map(tf.identity, images), strict=True))
        layers = list(zip(names, weights.tolist(), strict=True))
        cost = functools.partial(_stand_in_cost, secret)
        with _helper("compute_layer_style_cost", spaces, cost):
            output = target(model, layers)
        for image, generated in zip(images, activations[1::2], strict=True):
            session.run(image.assign(generated))
        arrays[f"value{i}"] = run(session, output)
    arrays["gradient"] = gradients_of(session, output, [model[names[-1]]])


def _stand_in_gram(factor, own, A, *_):
    A = tf.convert_to_tensor(A)
    try:
        return factor * (tf.matmul(A, A, transpose_b=True) if len(A.shape) == 2 else own(A))
    except Exception:
        raise TypeError(
            f"gram_matrix takes a matrix (n_C, n_H*n_W), not a tensor of shape {A.shape}"
        ) from None


def _stand_in_cost(secret, own, a_S, a_G, *_):
    return tf.reduce_mean((secret[0] * a_S - secret[1] * a_G) ** 2)


@contextmanager
def _helper(name, spaces, stand_in):
    """Replace a function that the tried one calls, among the notebook's globals."""
    with ExitStack() as stack:
        for space in spaces:
            own = space.get(name)

            def helper(*args, own=own, **kwargs):
                # in the order of the notebook's own function, if it has one
                if callable(own):
                    try:
                        args = inspect.signature(own).bind(*args, **kwargs).args
                    except TypeError as error:
                        raise TypeError(f"{name}() {error}") from None
                return stand_in(own, *args)

            stack.enter_context(patch.dict(space, {name: helper}))
        yield


def _try_total(target, session, samples, arrays, spaces):
    for i, sample in enumerate(samples[:-1]):
        arrays[f"value{i}"] = _number_or_run(session, target(*map(float, sample)))
    costs, weights = [tf.constant(n, tf.float32) for n in samples[-1][:2]], samples[-1][2:]
    J = target(*costs, *map(float, weights))
    arrays[f"value{len(samples) - 1}"] = run(session, J)
    arrays["gradient"] = gradients_of(session, J, costs)
    arrays["defaults"] = _number_or_run(session, target(1.0, 2.0))


def _number_or_run(session, J):
    return np.asarray(J, float) if isinstance(J, Real) else run(session, J)


def _try_model_nn(target, session, samples, arrays, spaces):
    """Samples: rate of a descent, the image where it begins, the image that J_content compares."""
    rate, noise, goal = samples[0]
    image = tf.Variable(np.zeros_like(noise))
    costs = {"J_content": tf.reduce_sum((image - goal) ** 2), "J_style": tf.reduce_sum(image**2)}
    costs["J"] = costs["J_content"] + costs["J_style"]

    def optimizer(*_, **__):
        # Momentum 0 is plain descent, which NumPy repeats, with variables to initialize.
        return tf.train.MomentumOptimizer(float(rate), 0)

    stand_ins = costs | {
        "model": {"input": image} | dict.fromkeys(VGG_LAYERS, tf.reduce_mean(image, -1)),
        "train_step": optimizer().minimize(costs["J"]),
        "save_image": lambda path, image: None,
    }
    with ExitStack() as stack:
        stack.enter_context(capture_output(stderr=False))  # what it prints and displays
        stack.enter_context(patch.object(tf.train, "AdamOptimizer", optimizer))
        for space in spaces:
            for value in space.values():
                if isinstance(value, ModuleType) and hasattr(value, "save_image"):
                    stack.enter_context(patch.object(value, "save_image", stand_ins["save_image"]))
            replaced = _by_kind(space, stand_ins, optimizer())
            stack.enter_context(patch.dict(space, stand_ins | replaced))
        returned = target(session, noise, STEPS)
        if returned is None:
            raise Refused(NOTHING)
        left = session.run(image)
    if not isinstance(returned, np.ndarray) or returned.shape != noise.shape:
        shape = f" of shape {returned.shape}" if isinstance(returned, np.ndarray) else ""
        raise Refused(
            f"it returns a {type(returned).__name__}{shape}, not the image. Return what "
            "sess.run(model['input']) gives: an array (1, n_H, n_W, 3)."
        )
    arrays["value0"] = np.stack([left, returned.astype(np.float32)])


def _by_kind(space, stand_ins, optimizer):
    """Replace what a notebook calls otherwise: its model, training step, costs and optimizers."""
    found = {}
    for name, value in space.items():
        if is_model(value):
            found[name] = stand_ins["model"]
        elif isinstance(value, tf.Operation):
            found[name] = stand_ins["train_step"]
        elif isinstance(value, tf.train.Optimizer):
            found[name] = optimizer
        elif isinstance(value, tf.Tensor) and value.shape == () and name not in stand_ins:
            found[name] = stand_ins["J"]
    return found


def is_model(value):
    """Return whether a value is a dictionary of layers, as load_vgg_model returns it."""
    return isinstance(value, dict) and "input" in value and VGG_LAYERS[0] in value


TRIALS = {
    "compute_content_cost": _try_tensors,
    "gram_matrix": _try_tensors,
    "compute_layer_style_cost": _try_layer,
    "compute_style_cost": _try_style,
    "total_cost": _try_total,
    "model_nn": _try_model_nn,
}
