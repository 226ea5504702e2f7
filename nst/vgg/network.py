"""VGG as a graph: a dictionary of layers, frozen."""

import os
from contextlib import closing, contextmanager
from typing import NamedTuple

import numpy as np

from nst.core import memory
from nst.core.config import BYTES_PER_PIXEL, CONFIG, COURSE_WEIGHTS, OWN_WEIGHTS, image_size
from nst.core.hardware import choose_kernels, computes_bfloat16
from nst.core.tensorflow import compute_whole_float32, import_tensorflow
from nst.vgg.frozen import (
    ease_gram_matrices,
    frozen_convolution,
    frozen_together,
    keep_arrays_out_of_graphs,
    round_kernel,
    session_of_the_graph,
)
from nst.vgg.weights import layer_names, read_named_vgg, read_vgg

tf = import_tensorflow()


def load_vgg_model(
    path,
    height=None,
    width=None,
    precision="float32",
    pooling="average",
):
    """Build VGG in the default graph for images of one size, and print which weights it has.

    The network is frozen: no gradient of a weight is ever computed, so an optimizer's `minimize`
    changes only the input. A second call with the same arguments, graph and session returns the
    same tensors, so that costs built on them stay valid.

    Arguments:
    path -- weight file, see `read_vgg`
    height, width -- size of the images in pixels; by default, CONFIG's
    precision -- "float32"; "bfloat16", which computes all convolutions but conv1_1 in that type;
        or "auto", see `choose_precision`. Pixels and activations are float32 either way.
    pooling -- "average", which gives better images (Gatys et al., 2015), or "max", as in training

    Returns:
    dict of `input`, a tf.Variable of shape (1, height, width, 3) that takes a normalized image,
    and of a float32 tensor for every layer: the ReLU outputs `conv1_1` … `conv5_4` and the
    pooled `avgpool1` … `avgpool5`; each block halves height and width, rounding up

    Raises FileNotFoundError or ValueError, and MemoryError if training would not fit.
    """
    if tf.executing_eagerly():
        raise RuntimeError(
            "TensorFlow is in eager mode, but VGG is built as a graph: choose the kernel “Course "
            "(TensorFlow 1)”, or put %load_ext nst before the imports"
        )
    height, width = image_size(height, width)
    if str(path) == COURSE_WEIGHTS and not os.path.exists(path):
        path = OWN_WEIGHTS  # the notebook is not in the project's folder
    precision = choose_precision(precision)
    graph = tf.get_default_graph()
    owner = session_of_the_graph() or graph  # of the weights
    settings = (str(path), height, width, precision, pooling)
    owner.vgg_models = built = getattr(owner, "vgg_models", {})
    if settings not in built:
        check_memory(height, width)
        if not built and owner is not graph:
            keep_arrays_out_of_graphs(owner)
        built[settings] = _build_vgg(*settings)
        ease_gram_matrices(graph)
    model, description = built[settings]
    print(description)
    return dict(model)


def _build_vgg(path, height, width, precision, pooling):
    """Return the layers of `load_vgg_model`, and a line that describes them."""
    depth, weights, name = read_named_vgg(path)
    description = f"VGG-{depth}, {name}, computed in {precision}: {path}"
    if precision == "bfloat16" and not computes_bfloat16():
        description += " (on this processor float32 is faster)"
    return build_vgg(weights, height, width, precision, pooling), description


def build_vgg(weights, height, width, precision, pooling="average"):
    """Build the layers of `load_vgg_model` from weights in memory, and print nothing.

    Arguments:
    weights -- dict as `read_vgg` returns it; emptied layer by layer, to free memory
    height, width -- size of the images in pixels
    """
    model = {"input": _input_variable(height, width)}
    with frozen_together():
        for name, layer in _layers(model["input"], weights, precision, pooling):
            model[name] = tf.identity(tf.cast(layer, tf.float32), name)
    return model


def _layers(layer, weights, precision, pooling="average"):
    """Build VGG on an image; yield each layer's name and its tensor, in the precision's type."""
    compute_whole_float32(tf)
    dtype = tf.as_dtype(precision)
    pool = {"average": tf.nn.avg_pool2d, "max": tf.nn.max_pool2d}[pooling]
    strategy = choose_kernels(precision)
    for name in layer_names(19 if "conv3_4" in weights else 16):
        if name == "conv1_1":  # bfloat16's 8 bits are too few for pixels, and 3 channels are cheap
            layer = tf.cast(frozen_convolution(layer, *weights.pop(name), strategy), dtype)
        elif name in weights:
            W, b = weights.pop(name)
            layer = frozen_convolution(
                layer, round_kernel(W, dtype), b.astype(dtype.as_numpy_dtype), strategy
            )
        else:
            layer = pool(layer, ksize=2, strides=2, padding="SAME")
        yield name, layer


def check_memory(height, width, bytes_per_pixel=BYTES_PER_PIXEL, work="training"):
    """Refuse a size whose training, or other work, would not fit into the memory that it uses."""
    memory.check_memory(height, width, bytes_per_pixel, work, *_free_on_gpu())


def _free_on_gpu():
    """Return the GPU's free bytes and the name of its memory, or nothing without a GPU."""
    if not tf.config.list_physical_devices("GPU"):
        return ()
    with tf.Session(graph=tf.Graph()) as sess:
        devices = sess.list_devices()
    limit = next(d.memory_limit_bytes for d in devices if d.device_type == "GPU")
    used = tf.config.experimental.get_memory_info("GPU:0")["current"]
    return limit - used, "the GPU's memory"


def _input_variable(height, width):
    """Make the variable that holds the image, with an `assign` that keeps the graph small.

    TensorFlow's own `assign` writes each array into the graph's definition, as a constant.
    """
    shape = (1, height, width, CONFIG.COLOR_CHANNELS)
    variable = tf.Variable(tf.zeros(shape), name="input")
    assign_tensor, assignments = variable.assign, {}  # bytes of an image -> its assignment

    def assign(image, **options):
        """Describe the assignment of an image to the input; `sess.run` runs it."""
        sess = tf.get_default_session()
        if sess is not None and sess.graph is not variable.graph:
            raise RuntimeError(
                "this model belongs to an earlier graph: run the cell that loads VGG-19 again, and "
                "the cells below it"
            )
        if isinstance(image, (tf.Tensor, tf.Variable)):
            return assign_tensor(image, **options)
        _check_image(np.asarray(image), shape)
        image = np.array(image, np.float32)
        key = image.tobytes(), *options.items()
        if key not in assignments:
            with variable.graph.as_default():
                # a copy, since the variable may take over its memory
                value = tf.numpy_function(image.copy, [], tf.float32)
                value.set_shape(shape)
                assignments[key] = assign_tensor(value, **options)
        return assignments[key]

    variable.assign = assign
    return variable


def _check_image(image, shape):
    """Raise ValueError for an array that is not a normalized image of this shape."""
    _, height, width, _ = shape
    if image.shape != shape:
        raise ValueError(
            f"the image has shape {image.shape}, the network's input {shape}: make it with "
            f"reshape_and_normalize_image from an image of {height} rows and {width} columns"
        )
    if image.dtype.kind not in "uif":
        raise ValueError(
            f"the image holds {image.dtype}, not numbers: make it with reshape_and_normalize_image"
        )
    if image.min() >= 0 and image.max() > 255 - CONFIG.MEANS.min():
        raise ValueError(
            f"the image's values range from {image.min():g} to {image.max():g}, so CONFIG.MEANS "
            "was not subtracted: make it with reshape_and_normalize_image"
        )


def choose_precision(precision="auto"):
    """Return the type in which convolutions are computed.

    Arguments:
    precision -- "float32", "bfloat16", or "auto": bfloat16 if it is faster than float32, see
        `computes_bfloat16`

    Returns:
    "float32" or "bfloat16"

    Raises ValueError for any other precision.
    """
    if precision in ("float32", "bfloat16"):
        return precision
    if precision != "auto":
        raise ValueError(f"the precision is {precision!r}: choose 'float32', 'bfloat16' or 'auto'")
    return "bfloat16" if computes_bfloat16() else "float32"


# --- a network for images of any size -------------------------------------------------------------


class Weights(NamedTuple):
    """VGG's weights in memory, from which networks are built."""

    convolutions: dict  # from layer name to (W, b), rounded to the precision
    precision: str


def read_weights(path, precision):
    """Read VGG's weights and round them to a precision, "float32" or "bfloat16"."""
    dtype = tf.as_dtype(precision)
    _, convolutions = read_vgg(path)
    for name in set(convolutions) - {"conv1_1"}:
        W, b = convolutions[name]
        convolutions[name] = (round_kernel(W, dtype), b)
    return Weights(convolutions, precision)


@contextmanager
def open_network(weights):
    """Context manager: VGG for images of any size, as (session, layers); freed on exit.

    Arguments:
    weights -- Weights

    Yields:
    a tf.Session, and a dict of tensors: the placeholder `input`, for a normalized image
    (1, h, w, 3), and every layer, in the precision's type
    """
    with closing(tf.Session(graph=tf.Graph())) as sess:
        with as_defaults(sess), frozen_together():
            image = tf.placeholder(tf.float32, (1, None, None, CONFIG.COLOR_CHANNELS))
            layers = _layers(image, dict(weights.convolutions), weights.precision)
            layers = {"input": image} | dict(layers)
        yield sess, layers


@contextmanager
def as_defaults(sess):
    """Make a session and its graph the defaults."""
    with sess.graph.as_default(), sess.as_default():
        yield
