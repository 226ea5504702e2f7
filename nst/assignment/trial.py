"""Run a function on given inputs, and return the numbers that it gave; no verdict.

This runs where the function is: in the notebook, called by the public tests, or in the process of a
submission, called by the grader. It holds no right answer: what a function calls is replaced by a
stand-in with secret numbers in its value, so that each function is judged alone.
"""

import functools
import inspect
import re
import traceback
from contextlib import contextmanager, suppress
from numbers import Real
from textwrap import shorten
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import numpy as np
from IPython.utils.capture import capture_output

from nst.assignment.hints import NOTHING, explain, format_error
from nst.assignment.spec import ACTIVATIONS, PARAMETERS, STEPS, VGG_LAYERS
from nst.core.tensorflow import import_tensorflow

tf = import_tensorflow()


class Refused(Exception):
    """A function, or its value, cannot be judged; the message is a sentence for the student."""


def attempt(name, target, samples):
    """Run a function of the assignment on samples.

    Arguments:
    name -- key of PARAMETERS
    target -- the function
    samples -- list of lists of arrays, from nst.assignment.samples.draw_all

    Returns:
    fields -- dict: code (of the function, without its comments and strings), and complaint (a
        sentence) if it cannot be judged
    arrays -- dict of arrays: value0, value1, …, and the gradient of the last one; of total_cost
        defaults, its value for 1 and 2
    """
    fields, arrays = {}, {}
    try:
        function = plain_function(target)
        fields = {"code": code_of(function)}
        _check_signature(name, target)
        space = function.__globals__
        with _trial(space) as session:
            if name == "model_nn":
                return fields, {"value0": _train(target, session, space, *samples[0])}
            call = CALLS.get(name, _call_with_tensors)
            for i, sample in enumerate(samples):
                output, arguments = call(target, session, space, *sample)
                arrays[f"value{i}"] = run(session, output)
            arrays["gradient"] = gradients_of(session, output, arguments)
            if name == "total_cost":
                arrays["defaults"] = run(session, target(*map(tf.constant, (1.0, 2.0))))
    except Refused as refusal:
        fields["complaint"] = str(refusal)
    except (Exception, SystemExit) as error:
        fields["complaint"] = _describe(error, function.__code__.co_filename, name, fields["code"])
    return fields, arrays


def plain_function(target):
    """Find the Python function of a callable: a partial, a decorated one, an object's __call__."""
    found = target.func if isinstance(target, functools.partial) else target
    if not inspect.isroutine(found):
        found = vars(type(found)).get("__call__")
    found = inspect.unwrap(getattr(found, "__func__", found))
    if not inspect.isfunction(found):
        raise Refused(f"it is {_kind(target)}, not a function. Run the cell that defines it.")
    return found


def code_of(function):
    """Return a function's code without comments and strings, empty if it is not known."""
    with suppress(OSError, TypeError):
        source = inspect.getsource(function)
        return re.sub(r"(?s)(\"\"\"|''').*?\1|#[^\n]*", "", source)[:10_000]
    return ""


def _kind(value):
    """Name the type of a value that is not the wanted one."""
    if isinstance(value, Real | np.ndarray):
        return f"a NumPy array of shape {value.shape}" if np.ndim(value) else "a number"
    return f"a {type(value).__name__:.40}" if value is not None else "None"


def _wrong_return(value, advice):
    """Make the error for a returned value that is not the wanted one."""
    return Refused(NOTHING if value is None else f"it returns {_kind(value)}, {advice}")


def _check_signature(name, target):
    """Raise Refused if the course's calls do not fit; two activations may be in either order."""
    signature, wanted = inspect.signature(target), PARAMETERS[name].split(", ")
    names = [parameter.partition("=")[0] for parameter in wanted]
    found = list(signature.parameters)[: len(names)]
    is_mixed_up = name not in ACTIVATIONS and found != names and sorted(found) == sorted(names)
    is_tensorflow_2 = {"content_output", "generated_output", "style_image_output"} & {*found}
    with suppress(TypeError):
        signature.bind(*wanted)
        signature.bind(*(parameter for parameter in wanted if "=" not in parameter))
        if not is_mixed_up and not is_tensorflow_2:
            return
    edition = ", as in the TensorFlow 2 edition of the course" if is_tensorflow_2 else ""
    raise Refused(
        f"its arguments are {str(signature)[:200]}{edition}. They must be ({PARAMETERS[name]}), "
        "in this order."
    )


def _describe(error, file, name, code):
    """Describe an error: its message, and the last line of `file` that it came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    line = shorten(frames[-1].line or "", 80, placeholder=" ...") if frames else ""
    where = f" in line {frames[-1].lineno}, `{line}`," if line else ""
    return f"it stops{where} with {explain(format_error(error), code, name)}"


@contextmanager
def _trial(space):
    """Enter a graph and a session, which every session among the notebook's globals becomes.

    It computes on the processor, so that numbers are the same everywhere.
    """
    kinds = tf.Session, tf.InteractiveSession
    found = [name for name, value in space.items() if isinstance(value, kinds)]
    with (
        tf.Graph().as_default(),
        tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as session,
        patch.dict(space, dict.fromkeys([*found, "sess"], session)),
    ):
        yield session


def run(session, output):
    """Run `output`, which must be a float32 tensor of the session's graph."""
    if not isinstance(output, tf.Tensor):
        advice = "Return one tensor, computed by tf functions, without sess.run, .eval() or NumPy."
        raise _wrong_return(output, f"not a tensor. {advice}")
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


def _call_with_tensors(target, session, space, *arrays):
    inputs = [tf.constant(array) for array in arrays]
    return target(*inputs), inputs[-1:]


def _call_layer(target, session, space, factor, a_S, a_G):
    """Call it as compute_style_cost does; gram_matrix multiplies by a secret factor."""
    generated = tf.constant(a_G)
    with _replaced("gram_matrix", space, functools.partial(_stand_in_gram, factor)):
        return target(a_S, generated), [generated]


def _call_style(target, session, space, secret, weights, *activations):
    """Call it on a model of the style activations, which then become the generated ones."""
    layers = [(f"conv{block}_1", weight) for block, weight in enumerate(weights.tolist(), 1)]
    images = [tf.Variable(style) for style in activations[::2]]
    session.run([image.initializer for image in images])
    model = {name: tf.identity(image) for (name, _), image in zip(layers, images, strict=True)}
    with _replaced("compute_layer_style_cost", space, functools.partial(_stand_in_cost, secret)):
        output = target(model, layers)
    for image, generated in zip(images, activations[1::2], strict=True):
        session.run(image.assign(generated))
    return output, [model[layers[-1][0]]]


def _call_total(target, session, space, J_content, J_style, alpha, beta):
    costs = [tf.constant(J_content), tf.constant(J_style)]
    return target(*costs, float(alpha), float(beta)), costs


CALLS = {
    "compute_layer_style_cost": _call_layer,
    "compute_style_cost": _call_style,
    "total_cost": _call_total,
}


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


def _replaced(name, space, stand_in):
    """Replace a function that the tried one calls, among the notebook's globals."""
    own = space.get(name)

    def helper(*args, **kwargs):
        if callable(own):  # its arguments may have an order of their own
            args = inspect.signature(own).bind(*args, **kwargs).args
        return stand_in(own, *args)

    return patch.dict(space, {name: helper})


def _train(target, session, space, rate, noise, goal):
    """Run model_nn on a descent of this rate, from noise; J_content compares with goal.

    Returns the image that is left in the model, and the one that is returned.
    """
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
    stand_ins = _by_kind(space, stand_ins, optimizer()) | stand_ins
    with (
        capture_output(stderr=False),  # what it prints and displays
        patch.object(tf.train, "AdamOptimizer", optimizer),
        patch.dict(space, stand_ins),
    ):
        returned = target(session, noise, STEPS)
        left = session.run(image)
    if not isinstance(returned, np.ndarray) or returned.shape != noise.shape:
        advice = "Return what sess.run(model['input']) gives: an array (1, n_H, n_W, 3)."
        raise _wrong_return(returned, f"not the image. {advice}")
    return np.stack([left, returned.astype(np.float32)])


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
        elif isinstance(value, tf.Tensor) and value.shape == ():
            found[name] = stand_ins["J"]
        elif isinstance(value, ModuleType) and hasattr(value, "save_image"):
            found[name] = SimpleNamespace(**vars(value) | {"save_image": stand_ins["save_image"]})
    return found


def is_model(value):
    """Return whether a value is a dictionary of layers, as load_vgg_model returns it."""
    return isinstance(value, dict) and "input" in value and VGG_LAYERS[0] in value
