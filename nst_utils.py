"""The plumbing of the Art Generation lab: VGG-19 as a graph, pictures in and out, a run to watch.

The public names are those of the course's helper module. Images are RGB; "0-255" means as stored,
"normalised" means with `CONFIG.MEANS` subtracted. Everything here is TensorFlow 1 graph style,
through `tensorflow.compat.v1`; importing the module changes nothing in TensorFlow.
"""

import ast
import difflib
import dis
import hashlib
import json
import math
import os
import re
import signal
import tempfile
import threading
import time
import warnings
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import imageio.v3 as imageio
import numpy as np
import psutil
import scipy.io
from IPython import get_ipython
from IPython.display import display
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin


@contextmanager
def _quiet():
    """Send file descriptor 2 nowhere for a while."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# TensorFlow's C++ start-up lines heed no log level, the later ones (no GPU found) do.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _quiet():
    import tensorflow.compat.v1 as tf


class CONFIG:
    """The course's settings; sizes in pixels, `MEANS` in RGB order on the 0-255 scale."""

    IMAGE_WIDTH = 400
    IMAGE_HEIGHT = 300
    COLOR_CHANNELS = 3
    NOISE_RATIO = 0.6
    # mean colour of ImageNet's training pictures, subtracted when VGG was trained
    MEANS = np.array([123.68, 116.779, 103.939]).reshape((1, 1, 1, 3))
    VGG_MODEL = "pretrained-model/imagenet-vgg-verydeep-19.mat"
    STYLE_IMAGE = "images/impressionist.jpg"
    CONTENT_IMAGE = "images/pyramid.jpg"
    OUTPUT_DIR = "output/"


# VGG as data: convolutions per block, each block closed by a pooling layer.
VGG_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

# MD5 of the files that MatConvNet published, and CRC-32 of conv1_1's kernel (HWIO, float32) in the
# 8-bit edition that pretrained-model/fetch_weights.py writes.
ORIGINAL_MD5 = {
    "106118b7cf60435e6d8e04f6a6dc3657": "original weights (MatConvNet, current)",
    "8ee3263992981a1d26e73b3ca028a123": "original weights (MatConvNet, beta16)",
    "f72d927587ca4c97fbd165ec9cb9997f": "original weights (MatConvNet, VGG-16)",
}
EIGHT_BIT_CRC = 3202360944

# What the lab's training run takes at its peak, beside 0.8 GB; measured from 200×150 to 1600×1200
# pixels. Style activations that go into the costs as arrays, as in the course, take half as much
# again; at the course's 400×300 that is no matter.
BYTES_PER_PIXEL = 3000


def layer_names(depth):
    """Name the layers of VGG-`depth` in their order: conv1_1, conv1_2, avgpool1, conv2_1, …"""
    names = []
    for block, convolutions in enumerate(VGG_BLOCKS[depth], 1):
        names += [f"conv{block}_{i}" for i in range(1, convolutions + 1)]
        names.append(f"avgpool{block}")
    return names


# --- the weight file -----------------------------------------------------------------------------


def read_vgg(path):
    """Read the convolutions of a MatConvNet VGG-16 or VGG-19, by field name.

    The file's three generations (before beta11, beta16, current) name and order their fields
    differently, so an index that fits one reads rubbish from the next.

    Arguments:
    path -- a .mat file of any generation

    Returns:
    depth -- 16 or 19
    weights -- dict from layer name to (W, b), float32: W of shape (3, 3, n_in, n_out), RGB input
        in conv1_1, and b of shape (n_out,)

    Raises FileNotFoundError or ValueError, in one sentence.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} is not there: run make weights")
    try:
        layers = scipy.io.loadmat(path, variable_names=["layers"], simplify_cells=True)["layers"]
        weights = {str(layer["name"]): _kernel_and_bias(layer) for layer in layers}
    except Exception:  # SciPy raises a dozen kinds for a damaged file
        with open(path, "rb") as file:
            start = file.read(20)
        raise ValueError(
            f"{path} is no whole MatConvNet weight file (it starts with {start!r} and has "
            f"{os.path.getsize(path):,} bytes): move it away and run make weights"
        ) from None
    depth = 19 if "conv3_4" in weights else 16
    convolutions = [name for name in layer_names(depth) if name.startswith("conv")]
    n_in = 3
    for name in convolutions:
        W, b = weights.get(name) or (np.empty(0), np.empty(0))
        if W.ndim != 4 or W.shape != (3, 3, n_in, b.size):
            raise ValueError(
                f"{path} holds another network: its {name} has a kernel of shape {W.shape}, "
                f"VGG-{depth} needs (3, 3, {n_in}, n_out): run make weights"
            )
        n_in = b.size
    return depth, {name: weights[name] for name in convolutions}


def _kernel_and_bias(layer):
    """Take (W, b) out of one layer of the file, or None where it is no convolution."""
    if "filters" in layer:  # before beta11
        W, b = layer["filters"], layer["biases"]
    elif "weights" in layer and len(layer["weights"]):
        W, b = layer["weights"]
    else:
        return None
    return np.asarray(W, np.float32), np.ravel(b).astype(np.float32)


def _name_weights(path, kernel):
    """Say which weights a file holds, from conv1_1's kernel or the whole file's MD5."""
    if zlib.crc32(np.ascontiguousarray(kernel)) == EIGHT_BIT_CRC:
        return "8-bit weights"
    return ORIGINAL_MD5.get(hashlib.md5(np.memmap(path, mode="r")).hexdigest(), "unknown weights")


# --- the network ---------------------------------------------------------------------------------


def load_vgg_model(
    path,
    height=CONFIG.IMAGE_HEIGHT,
    width=CONFIG.IMAGE_WIDTH,
    precision="float32",
    pooling="average",
):
    """Build VGG in the default graph for images of one size, and print which weights it has.

    The network is frozen: no gradient of a weight is ever computed, so an optimiser's
    `minimize` changes, and pays for, the input alone. Asked again for the same network, in the same
    graph and session, it returns the one that is there: costs already written stay those of it.

    Arguments:
    path -- weight file, see `read_vgg`
    height, width -- of the images, in pixels
    precision -- "float32"; "bfloat16", which computes all convolutions but conv1_1 in that type;
        or "auto", see `choose_precision`. Pixels and activations are float32 either way.
    pooling -- "average", better for pictures (Gatys et al., 2015), or "max", as VGG was trained

    Returns:
    dict of `input`, a tf.Variable of shape (1, height, width, 3) that takes a normalised image,
    and of a float32 tensor for every layer: the ReLU outputs `conv1_1` … `conv5_4` and the
    pooled `avgpool1` … `avgpool5`; each block halves height and width, rounding up

    Raises FileNotFoundError or ValueError, in one sentence.
    """
    if tf.executing_eagerly():
        raise RuntimeError(
            "TensorFlow runs eagerly here, VGG is built as a graph: call tf.disable_v2_behavior() "
            "right after the imports"
        )
    precision = choose_precision(precision)
    graph = tf.get_default_graph()
    owner = tf.get_default_session() or graph  # of the weights
    settings = (str(path), height, width, precision, pooling)
    owner.vgg_models = built = getattr(owner, "vgg_models", {})
    if settings not in built:
        _check_memory(height, width)
        built[settings] = _build_vgg(*settings)
        # for the Gram matrices that follow in this graph; it ends with the last reference to it
        graph.gram_gradient = graph.gradient_override_map(
            {"MatMul": "GramMatMul", "Transpose": "GramTranspose"}
        )
        graph.gram_gradient.__enter__()
    model, description = built[settings]
    print(description)
    return model


def _build_vgg(path, height, width, precision, pooling):
    """Build the layers of `load_vgg_model`; return them with the line that describes them."""
    dtype = tf.as_dtype(precision)
    pool = {"average": tf.nn.avg_pool2d, "max": tf.nn.max_pool2d}[pooling]
    depth, weights = read_vgg(path)
    name = _name_weights(path, weights["conv1_1"][0])
    description = f"VGG-{depth}, {name}, computed in {precision}: {path}"
    if precision == "bfloat16" and not computes_bfloat16():
        description += " (this processor only emulates bfloat16: float32 is faster)"
    model = {"input": _input_variable(height, width)}
    layer = model["input"]
    for name in layer_names(depth):
        if name == "conv1_1":  # bfloat16's 8 bits are too few for pixels; 3 channels cost little
            layer = tf.cast(_frozen_convolution(layer, *weights.pop(name)), dtype)
        elif name in weights:
            W, b = weights.pop(name)
            layer = _frozen_convolution(
                layer, _round_kernel(W, dtype), b.astype(dtype.as_numpy_dtype)
            )
        else:
            layer = pool(layer, ksize=2, strides=2, padding="SAME")
        model[name] = tf.cast(layer, tf.float32)
    return model, description


def _check_memory(height, width):
    """Refuse a size whose training run would not fit into the memory that is free now."""
    if tf.config.list_physical_devices("GPU"):
        return  # it has memory of its own
    free = psutil.virtual_memory().available
    need = BYTES_PER_PIXEL * height * width
    if need > free:
        shrink = math.sqrt(free / need)
        raise MemoryError(
            f"training on {width}×{height} pixels takes {need / 1e9:.0f} GB of memory, "
            f"{free / 1e9:.0f} GB are free: {math.floor(shrink * width)}×"
            f"{math.floor(shrink * height)} is the largest size of this shape that fits"
        )


def _input_variable(height, width):
    """Make the variable that takes an image, with an `assign` that does not grow the graph.

    TensorFlow's own adds an operation and a constant of the image's size with every call.
    """
    shape = (1, height, width, CONFIG.COLOR_CHANNELS)
    variable = tf.Variable(tf.zeros(shape), name="input")
    latest = {}
    value = tf.py_func(lambda: latest["image"], [], tf.float32)
    value.set_shape(shape)
    assignment = variable.assign(value)

    def assign(image):
        """Describe the assignment of an array to the input; `sess.run` does it."""
        if np.shape(image) != shape:
            raise ValueError(
                f"the image has shape {np.shape(image)}, the network's input {shape}: load the "
                "model for the height and width of the image"
            )
        sess = tf.get_default_session()
        if sess is not None and sess.graph is not variable.graph:
            raise RuntimeError(
                "this model belongs to an earlier graph: run the cell that loads VGG-19 again, and "
                "those below it"
            )
        latest["image"] = np.array(image, np.float32)
        return assignment

    variable.assign = assign
    return variable


def choose_precision(precision="auto"):
    """Choose the type to compute convolutions in.

    Arguments:
    precision -- "float32", "bfloat16", or "auto": bfloat16 where the hardware computes in it, else
        float32, since emulating it is slower than float32

    Returns:
    "float32" or "bfloat16"

    Raises ValueError for any other precision.
    """
    if precision in ("float32", "bfloat16"):
        return precision
    if precision != "auto":
        raise ValueError(f"the precision is {precision!r}: choose 'float32', 'bfloat16' or 'auto'")
    return "bfloat16" if computes_bfloat16() else "float32"


def computes_bfloat16():
    """Tell whether TensorFlow's convolutions run on hardware for bfloat16 here.

    That is an NVIDIA GPU of compute capability 8 or more, or a processor with AVX512-BF16 or AMX,
    unless TensorFlow is told to leave oneDNN, whose kernels use these instructions, or oneDNN to
    leave them: the environment variables TF_ENABLE_ONEDNN_OPTS and ONEDNN_MAX_CPU_ISA.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0" or not re.search(
        "ALL|DEFAULT|BF16|FP16|AMX|AVX10", allowed
    ):
        return False
    processor = Path("/proc/cpuinfo")  # Linux; elsewhere TensorFlow has no fast bfloat16
    flags = processor.read_text().split() if processor.exists() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _frozen_convolution(x, W, b):
    """Convolve, add the bias and rectify: (1, h, w, n_in) -> (1, h, w, n_out)."""
    frozen = {"Conv2D": "FrozenConv2D", "BiasAdd": "FrozenBiasAdd"}
    with tf.get_default_graph().gradient_override_map(frozen):
        y = tf.nn.conv2d(x, _frozen(W), strides=1, padding="SAME")
        return tf.nn.relu(tf.nn.bias_add(y, _frozen(b)))


def _round_kernel(W, dtype):
    """Round a kernel (3, 3, n_in, n_out) so that the errors of its nine taps cancel.

    An 8-bit kernel has few values, most of them near zero, whose errors in bfloat16 add up: rounded
    one by one, the weights lower the style cost by 0.8 %. Here each tap takes over the error of
    the one before (error diffusion); smooth activations then hardly notice the rounding.
    """
    if dtype == W.dtype:
        return W
    rounded = np.empty(W.shape, dtype.as_numpy_dtype)
    error = np.float32(0)
    for tap in np.ndindex(W.shape[:2]):
        rounded[tap] = W[tap] + error
        error += W[tap] - rounded[tap].astype(np.float32)
    return rounded


def _frozen(value):
    """Put one array of weights into the graph so that no optimiser or initialiser touches it.

    A constant is copied again for every set of fetches, so with a session open the array goes into
    a variable that belongs to no collection. The course also builds the model with no session,
    to print it: then only a constant keeps its value.
    """
    sess = tf.get_default_session()
    if sess is None:
        return tf.constant(value)
    start = tf.placeholder(value.dtype, value.shape)
    variable = tf.Variable(start, trainable=False, collections=[], use_resource=False)
    sess.run(variable.initializer, {start: value})
    return variable


def large_constant(array):
    """Make a constant of an array without writing the array into the graph's definition.

    TensorFlow copies the definition for the session, and again for every set of fetches: of the
    style activations, 59 MB at 400×300, `tf.constant` makes 0.26 GB more. Here the array stays one.
    What is computed from it alone, a Gram matrix for one, is computed once for a set of fetches
    (constant folding).

    Arguments:
    array -- of any shape and type

    Returns:
    tensor of that shape and type
    """
    tensor = tf.numpy_function(lambda: array, [], array.dtype, stateful=False)
    tensor.set_shape(array.shape)
    return tensor


def _frozen_convolution_gradient(op, gradient):
    x, W = op.inputs
    return tf.nn.conv2d_backprop_input(
        x.shape, W, gradient, strides=op.get_attr("strides"), padding=op.get_attr("padding")
    ), None


def _matmul_gradient(op, gradient):
    """MatMul's gradient, with one product instead of two where a matrix meets its own transpose.

    Of G = A·Aᵀ it is (dG + dGᵀ)·A, which saves a tenth of a bfloat16 step however a student writes
    `gram_matrix`: with `tf.transpose`, `transpose_a` or `transpose_b`.
    """
    a, b = op.inputs
    a_flipped, b_flipped = op.get_attr("transpose_a"), op.get_attr("transpose_b")
    flipped = (a_flipped, b_flipped)
    if _is_transpose(b, a, flipped) or (a.name == b.name and flipped == (False, True)):
        both = gradient + tf.transpose(gradient)
        X = _transposed(a)
        # where A = Xᵀ, as in the lab, (X·both)ᵀ, so that A need not be kept; see below
        return (tf.matmul(both, a) if X is None else tf.transpose(tf.matmul(X, both))), None
    if _is_transpose(a, b, flipped) or (a.name == b.name and flipped == (True, False)):
        return None, tf.matmul(b, gradient + tf.transpose(gradient))
    if a_flipped:
        a_gradient = tf.matmul(b, gradient, transpose_a=b_flipped, transpose_b=True)
    else:
        a_gradient = tf.matmul(gradient, b, transpose_b=not b_flipped)
    if b_flipped:
        b_gradient = tf.matmul(gradient, a, transpose_a=True, transpose_b=a_flipped)
    else:
        b_gradient = tf.matmul(a, gradient, transpose_a=not a_flipped)
    return a_gradient, b_gradient


def _transpose_gradient(op, gradient):
    """Transpose's gradient, without two copies of 59 MB where it is given a transpose itself."""
    X = _transposed(gradient)
    if X is not None and _transposed(op.outputs[0]) is not None:
        return X, None
    return tf.transpose(gradient, tf.math.invert_permutation(op.inputs[1])), None


def _transposed(tensor):
    """Return the matrix that `tensor` is the `tf.transpose` of, or None."""
    if tensor.op.type == "Transpose":
        matrix, axes = tensor.op.inputs
        return matrix if np.array_equal(tf.get_static_value(axes), [1, 0]) else None


def _is_transpose(a, b, flipped):
    """Tell whether tensor `a` is `tf.transpose(b)` (names tell tensors apart), multiplied as is."""
    matrix = _transposed(a)
    return matrix is not None and matrix.name == b.name and not any(flipped)


# Optimizer.minimize makes a convolution compute its kernel's gradient although nothing asks for
# it, a third of a step. These gradients have none. A reloaded module finds them registered.
with suppress(KeyError):
    tf.RegisterGradient("FrozenConv2D")(_frozen_convolution_gradient)
    tf.RegisterGradient("FrozenBiasAdd")(lambda op, gradient: (gradient, None))
    tf.RegisterGradient("GramMatMul")(_matmul_gradient)
    tf.RegisterGradient("GramTranspose")(_transpose_gradient)


# --- pictures ------------------------------------------------------------------------------------

PICTURE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
SHORTEST_SIDE = 16  # pixels; VGG's four poolings before conv5 leave one


def load_image(path, height=CONFIG.IMAGE_HEIGHT, width=CONFIG.IMAGE_WIDTH):
    """Read a picture: upright, cropped about its centre and resampled, never stretched.

    Any kind that Pillow reads: an animation gives its first frame, transparency becomes white,
    16 bits a channel become 8. A 32-bit grey picture states no white, so its values are stretched
    from black to white.

    Arguments:
    path -- of the picture
    height, width -- wanted, in pixels

    Returns:
    array (height, width, 3), RGB, uint8

    Raises OSError or ValueError, in one sentence.
    """
    _check_pixels("height", height)
    _check_pixels("width", width)
    with _open_picture(path) as picture:
        # JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction of the memory; twice what is
        # wanted, either way up, leaves LANCZOS enough to work on
        picture.draft(None, (2 * max(height, width),) * 2)
        is_16_bit = picture.mode != "F" and picture.format in ("PNG", "PPM")
        upright = _turn_upright(picture)
        if upright.mode.startswith(("I", "F")):  # grey of 16 or 32 bits, which convert would clip
            grey = ImageOps.fit(upright.convert("F"), (width, height), Image.Resampling.LANCZOS)
            is_16_bit |= upright.mode.startswith("I;16")
            return np.repeat(_grey_levels(np.asarray(grey), is_16_bit)[:, :, None], 3, axis=2)
        mode = "RGBA" if upright.has_transparency_data else "RGB"
        fitted = ImageOps.fit(upright.convert(mode), (width, height), Image.Resampling.LANCZOS)
        if mode == "RGBA":
            fitted = Image.alpha_composite(Image.new("RGBA", fitted.size, "white"), fitted)
        return np.array(fitted.convert("RGB"))


def fit_size(path, longest=CONFIG.IMAGE_WIDTH):
    """Find the size at which a picture, upright, is `longest` pixels on its longer side.

    Returns:
    (height, width) in pixels, in the picture's own proportions, but neither below 16, so that
    VGG's last block has one pixel to look at; `load_image` crops a thinner strip to that

    Raises OSError or ValueError, in one sentence.
    """
    _check_pixels("longest", longest, least=SHORTEST_SIDE)
    with _open_picture(path) as picture:
        if picture.format in ("PNG", "TIFF"):  # the header alone does not tell which way is up
            picture.load()
        width, height = picture.size
        if picture.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):  # lies on its side
            width, height = height, width
    scale = longest / max(height, width)
    return tuple(max(SHORTEST_SIDE, round(side * scale)) for side in (height, width))


def _check_pixels(name, value, least=1):
    if not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"the {name} is {value!r}: give a whole number of pixels from {least} up")


@contextmanager
def _open_picture(path):
    """Open a picture with Pillow; whatever fails before the block ends becomes one sentence."""
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not a picture: name a picture in it")
    picture = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF and the like: no help to a reader
            with _open_any_size(path) as picture:
                yield picture
    except FileNotFoundError:
        raise FileNotFoundError(f"{os.path.abspath(path)} is not there: {_advice(path)}") from None
    except Image.DecompressionBombError:
        raise ValueError(
            f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels, too many for "
            f"any format but JPEG: save it smaller or as JPEG"
        ) from None
    except Exception as error:  # Pillow raises a dozen kinds for a damaged file
        if getattr(error, "strerror", None):
            raise OSError(
                f"{path} cannot be opened ({error.strerror}): check its name and your right to "
                f"read it"
            ) from None
        if picture:
            raise ValueError(
                f"{path} is a {picture.format} picture that is damaged or cut off "
                f"({error or type(error).__name__}): copy it again, or save it anew as JPEG or PNG"
            ) from None
        with open(path, "rb") as file:
            start = file.read(20)
        raise ValueError(
            f"{path} is no picture that can be read (it starts with {start!r} and has "
            f"{os.path.getsize(path):,} bytes): save it as JPEG or PNG and try again"
        ) from None


def _open_any_size(path):
    """Open a picture, a JPEG even beyond Pillow's limit: its draft mode needs little memory."""
    try:
        return Image.open(path)
    except Image.DecompressionBombError:
        with suppress(SyntaxError):  # no JPEG
            return JpegImagePlugin.JpegImageFile(path)
        raise


def _advice(path):
    """Say what to do about a picture that is not there: name the one that may be meant."""
    folder, name = os.path.split(path)
    try:
        names = {other.casefold(): other for other in os.listdir(folder or ".")}
    except OSError:
        return f"check the folder {folder}"
    near = difflib.get_close_matches(name.casefold(), names, n=1)
    if near:
        return f"did you mean {os.path.join(folder, names[near[0]])}?"
    return "check the name of the picture"


def _turn_upright(picture):
    """Turn and mirror a picture as its EXIF orientation asks."""
    picture.load()
    picture.getexif()  # which Pillow keeps,
    picture.info.pop("exif", None)  # so that it need not write it back: it fails for odd EXIF
    return ImageOps.exif_transpose(picture)


def _grey_levels(grey, is_16_bit):
    """Scale grey of 16 bits (0-65535), or of 32 (darkest to lightest), to 0-255, uint8."""
    if not np.isfinite(grey).all():
        raise ValueError("NaN or infinity among its values")
    low, high = (0.0, 65535.0) if is_16_bit else (float(grey.min()), float(grey.max()))
    levels = (grey - low) * (255 / (high - low or 1))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def reshape_and_normalize_image(image, height=CONFIG.IMAGE_HEIGHT, width=CONFIG.IMAGE_WIDTH):
    """Turn a picture into VGG's input: (height, width, 3), 0-255 -> (1, height, width, 3), float32.

    Raises ValueError, in one sentence, where the picture has another size than the graph, or values
    that are no numbers from 0 to 255.
    """
    image = np.asarray(image)
    if image.shape != (height, width, CONFIG.COLOR_CHANNELS):
        raise ValueError(
            f"the picture has shape {image.shape}, the graph takes ({height}, {width}, 3): "
            f"read it with load_image(path, {height}, {width})"
        )
    if image.dtype.kind not in "uif":
        raise ValueError(
            f"the picture holds {image.dtype}, not numbers from 0 to 255: read it with load_image"
        )
    low, high = image.min(), image.max()
    if not (low >= 0 and high <= 255):  # NaN is neither
        raise ValueError(
            f"the picture's values reach from {low:g} to {high:g}, not from 0 to 255: normalise a "
            f"picture once, as load_image reads it"
        )
    if image.dtype.kind == "f" and 0 < high <= 1:
        raise ValueError(
            f"the picture's values end at {high:g}, so white is 1, not 255: multiply them by 255"
        )
    return (image[None] - CONFIG.MEANS).astype(np.float32)


def generate_noise_image(content_image, noise_ratio=CONFIG.NOISE_RATIO):
    """Mix uniform noise (-20 to 20, from NumPy's global generator) into a normalised image.

    Arguments:
    content_image -- array (1, height, width, 3)
    noise_ratio -- share of the noise, 0-1
    """
    # one draw of float64, then cast: the order of the course's published run
    noise = np.random.uniform(-20, 20, np.shape(content_image)).astype(np.float32)
    return noise * noise_ratio + content_image * (1 - noise_ratio)


def to_pixels(image):
    """Undo the normalisation: (1, height, width, 3) -> (height, width, 3), 0-255, uint8.

    Raises ValueError, in one sentence, for an array that is no normalised image.
    """
    image = np.asarray(image)
    has_shape = image.ndim == 4 and image.shape[0] == 1 and image.shape[3] == 3 and image.size
    if not has_shape or image.dtype.kind != "f":
        raise ValueError(
            f"the image is {image.dtype} of shape {image.shape}, a normalised one is float of "
            f"shape (1, height, width, 3): make it with reshape_and_normalize_image"
        )
    if not np.isfinite(image).all():
        raise ValueError(
            f"the image holds NaN or infinity in {np.sum(~np.isfinite(image)):,} of {image.size:,} "
            f"values, since the training diverged: lower the learning rate"
        )
    return np.clip(np.rint(image[0] + CONFIG.MEANS[0]), 0, 255).astype(np.uint8)


def save_image(path, image):
    """Write a normalised image (1, height, width, 3) in the format of the path's extension.

    The file is written whole or not at all. Raises OSError or ValueError, in one sentence.
    """
    pixels = to_pixels(image)
    check_picture_path(path)
    _write_picture(path, pixels)


def check_picture_path(path):
    """Make sure, before hours of work, that `save_image(path, ...)` will work; make the folder.

    Raises OSError or ValueError, in one sentence.
    """
    extension = Path(path).suffix
    if extension.lower() not in PICTURE_EXTENSIONS:
        raise ValueError(
            f"{path} has {f'the unknown extension {extension}' if extension else 'no extension'}: "
            f"let the picture's name end in one of {' '.join(PICTURE_EXTENSIONS)}"
        )
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not a picture: choose another name")
    with _temporary_beside(path):
        pass


def save_animation(path, pictures, seconds=0.4):
    """Write pictures (each (height, width, 3), uint8) as a GIF that repeats for ever."""
    _write_picture(path, list(pictures), duration=1000 * seconds, loop=0)


def _write_picture(path, pixels, **options):
    """Encode in memory, then write: on a full disk Pillow's own writing can lose bytes silently."""
    try:
        data = imageio.imwrite(
            "<bytes>", pixels, extension=Path(path).suffix.lower(), plugin="pillow", **options
        )
    except (OSError, OverflowError, ValueError) as error:  # beyond the format's longest side
        raise ValueError(
            f"{path} cannot hold pixels of shape {np.shape(pixels)} ({error}): save them as PNG"
        ) from None
    with _whole_file(path) as temporary:
        temporary.write_bytes(data)


def show_pictures(pictures, columns=None, width=4.0):
    """Show pictures side by side, each under its title.

    Arguments:
    pictures -- dict from title to (height, width, 3), 0-255, or to a normalised image
    columns -- pictures a row, default all
    width -- of one picture, in inches
    """
    import matplotlib.pyplot as plt  # here: 0.5 s that a run without figures need not wait for

    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    height = 0.25 + width * max(np.shape(p)[-3] / np.shape(p)[-2] for p in pictures.values())
    _, axes = plt.subplots(rows, columns, figsize=(columns * width, rows * height), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
        ax.imshow(to_pixels(picture) if np.ndim(picture) == 4 else picture)
        ax.set_title(title)
    plt.tight_layout()
    plt.show()


@contextmanager
def _whole_file(path):
    """Give a temporary path beside `path`; it takes the name only once it is written whole."""
    with _temporary_beside(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def _temporary_beside(path):
    """Give a path in a temporary folder beside `path`; OSError becomes one sentence."""
    path = Path(path)
    make_folder(path.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            yield Path(folder, path.name)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written ({error.strerror or error}): make room on the disk, or "
            f"choose another output folder"
        ) from None


def make_folder(path):
    """Make the folder `path` where it is missing; OSError, in one sentence, where that fails."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the folder {path} cannot be made ({error.strerror}): choose another output folder"
        ) from None


# --- a run to watch ------------------------------------------------------------------------------


def close_session():
    """Close an interactive session that was left open, so that a new graph can be begun."""
    sess = tf.get_default_session()
    if isinstance(sess, tf.InteractiveSession):
        sess.close()


def estimate(sess, train_step, num_iterations):
    """Say what a run will take, from one measured step; the image and Adam's memory are reset."""
    if train_step is None or train_step.graph is not sess.graph:
        raise ValueError(
            "train_step is None or of an earlier graph: run the cells from the content cost to the "
            "optimiser first"
        )
    _check_one_network(sess)
    start = tf.global_variables_initializer()
    sess.run(start)
    sess.run(train_step)  # the first step is slower: TensorFlow allocates its memory
    begin = time.perf_counter()
    sess.run(train_step)
    seconds = time.perf_counter() - begin
    sess.run(start)
    memory = psutil.Process().memory_info().rss / 1e9
    print(
        f"{seconds:.2f} s a step and {memory:.1f} GB of memory: {num_iterations} iterations take "
        f"about {_minutes(seconds * num_iterations)} min"
    )


def _check_one_network(sess):
    """Refuse to train two networks at once: their costs would be those of two images."""
    networks = len(sess.graph.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES))
    if networks > 1:
        raise RuntimeError(
            f"the graph holds {networks} networks, a run takes 1: run the cell that opens the "
            "session again, and those below it"
        )


def _minutes(seconds):
    """Write a time as minutes:seconds."""
    return "{}:{:02}".format(*divmod(round(seconds), 60))


class Run:
    """A training run: iterations to loop over, watched, interruptible, and kept on disk.

        with Run(sess, num_iterations, output_dir) as run:
            for i in run:
                ...one step...
                if run.is_due(i, image):
                    run.report(image, total, content, style)

    The notebook shows a picture that evolves in place and a line that says how far it is;
    `notebooks/run.py` prints the line on the terminal. With every report the folder gets
    <iteration>.png, a row of costs.csv and state.npz, from which `resume` goes on. An interrupt
    (Ctrl-C, the notebook's stop button) ends the loop after the iteration under way; a second one
    ends it at once.
    """

    EVERY = 20  # iterations from one report to the next, as in the course
    LINE_ID = "nst-progress-"  # a display id that starts so tells notebooks/run.py: the line

    def __init__(self, sess, num_iterations, output_dir=CONFIG.OUTPUT_DIR, resume=False):
        self.num_iterations = num_iterations
        self.output_dir = Path(output_dir)
        self._sess = sess
        self._resume = resume
        self._first = 0
        self._iteration = 0
        self._costs = []
        self._seconds = 0.0  # per iteration, the first (slower: TensorFlow warms up) left out
        self._stopping = False
        self._picture = self._line = None

    def __enter__(self):
        check_picture_path(self.output_dir / "0.png")  # before hours of work, not after
        _check_one_network(self._sess)
        if self._resume:
            self._restore()
        self._lock()
        if threading.current_thread() is threading.main_thread():  # nobody else may catch signals
            self._old_handler = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, kind, error, traceback):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._old_handler)
        self._lock_file.unlink(missing_ok=True)
        if "is not an element of this graph" in str(error):
            raise RuntimeError(
                "the costs or the optimiser belong to an earlier graph: run the cells from the "
                "content cost to the optimiser again"
            ) from None

    def __iter__(self):
        for i in range(self._first, self.num_iterations):
            self._iteration = i
            yield i
            if i == self._first:
                start = time.perf_counter()
            else:
                self._seconds = (time.perf_counter() - start) / (i - self._first)
            if not self.is_due(i):  # where it is, `report` has shown the line
                self._show_line()
            if self._stopping and i < self.num_iterations - 1:
                self._save_state()
                print(
                    f"Stopped after iteration {i}, the picture is kept: "
                    "to go on from here set RESUME = True (make run RESUME=1)"
                )
                return

    def is_due(self, i, image=0.0):
        """Say whether to report: every 20th iteration, the last, and where the image breaks."""
        last = i == self.num_iterations - 1
        return i % self.EVERY == 0 or last or not np.all(np.isfinite(image))

    def report(self, image, total, content, style):
        """Save and show a normalised image (1, height, width, 3) with its three costs.

        Raises FloatingPointError where one of the costs is not finite.
        """
        for name, cost in (("style", style), ("content", content), ("total", total)):
            if not np.isfinite(cost):
                good = self.output_dir / f"{int(self._costs[-1][0])}.png" if self._costs else "none"
                raise FloatingPointError(
                    f"the {name} cost is {cost} after iteration {self._iteration}, the last good "
                    f"picture is {good}: start again with a smaller learning rate"
                )
        self._costs.append((self._iteration, total, content, style))
        save_image(self.output_dir / f"{self._iteration}.png", image)
        with _whole_file(self.output_dir / "costs.csv") as file:
            header = "iteration,total,content,style"
            np.savetxt(file, self._costs, "%.6g", ",", header=header, comments="")
        self._save_state()
        jpeg = imageio.imwrite("<bytes>", to_pixels(image), extension=".jpg", quality=85)
        self._picture = _display(self._picture, {"image/jpeg": jpeg, "text/plain": "the picture"})
        self._show_line()

    def _show_line(self):
        _, total, content, style = self._costs[-1] if self._costs else [np.nan] * 4
        line = (
            f"iteration {self._iteration + 1}/{self.num_iterations}   total {total:.4g}   "
            f"content {content:.4g}   style {style:.4g}"
        )
        if self._seconds:
            left = (self.num_iterations - self._iteration - 1) * self._seconds
            line += f"   {self._seconds:.2f} s/iteration   {_minutes(left)} left"
        self._line = _display(self._line, {"text/plain": line}, self.LINE_ID)

    def _stop(self, *_):
        self._stopping = True
        signal.signal(signal.SIGINT, self._old_handler)

    def _save_state(self):
        """Write what an interrupted run needs to go on: the picture, Adam's memory, the costs."""
        variables = {v.op.name: v for v in tf.global_variables()}
        state = self._sess.run(variables)
        with _whole_file(self.output_dir / "state.npz") as file:
            np.savez(file, iteration=self._iteration, costs=self._costs, **state)

    def _restore(self):
        path = self.output_dir / "state.npz"
        variables = tf.global_variables()
        try:
            with np.load(path) as file:
                state = dict(file)
            if len(state) != 2 + len(variables):  # two optimisers, and one of them unused
                raise KeyError
            for variable in variables:
                variable.load(state[variable.op.name], self._sess)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path} is not there, so no run can be continued: set RESUME = False"
            ) from None
        except (KeyError, OSError, ValueError):
            raise ValueError(
                f"{path} is from a run of another size or optimiser: set RESUME = False"
            ) from None
        self._first = int(state["iteration"]) + 1
        if self._first >= self.num_iterations:
            raise ValueError(
                f"{path} is from a run that did all its {self._first} iterations: set RESUME = "
                "False, or ITERATIONS higher"
            )
        self._costs = state["costs"].tolist()

    def _lock(self):
        """Refuse a folder in which another process is painting."""
        self._lock_file = self.output_dir / ".run.pid"
        try:
            pid = int(self._lock_file.read_text())
        except (OSError, ValueError):
            pid = os.getpid()
        if pid != os.getpid() and psutil.pid_exists(pid):
            raise RuntimeError(
                f"{self.output_dir} is in use by another run (process {pid}): "
                "wait for it, or choose another output folder"
            )
        self._lock_file.write_text(str(os.getpid()))


def _display(handle, data, prefix=""):
    """Show data by MIME type, in place of what the handle showed before; return the handle."""
    if handle is None:
        return display(data, raw=True, display_id=prefix + uuid4().hex)
    handle.update(data, raw=True)
    return handle


# --- notebooks -----------------------------------------------------------------------------------


def explain_out_of_order(notebook):
    """Have a notebook say which cell to run first, where cells were run out of their order.

    That is where a name is used too early, the session is closed, or graphs are mixed up.

    Arguments:
    notebook -- name of the .ipynb file that calls this, in notebooks/
    """
    path = Path(__file__).parent / "notebooks" / notebook

    def explain(shell, kind, error, traceback, tb_offset=None):
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        if kind is NameError:
            print(f"{error}: {_what_to_run(path, error.name, shell)}")
        elif any(message in str(error) for message in _MIXED_UP):
            advice = _what_to_run(path, "sess", shell)
            print(f"This belongs to an earlier graph or session: {advice}; then those below it")

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((NameError, RuntimeError, ValueError), explain)


# what TensorFlow says of a model, a cost or an optimiser that is not of the session's graph
_MIXED_UP = (
    "must be from the same graph",
    "is not an element of this graph",
    "is different from the session's graph",
    "Graph is finalized",
    "No variables to optimize",
    "closed Session",
)


def _what_to_run(notebook, name, shell):
    """Name the last cell above the one that the shell runs that gives `name` a value."""
    source = shell.history_manager.input_hist_raw[-1]
    request = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell_id = request.get("metadata", {}).get("cellId")  # JupyterLab's: the cell, though edited
    heading, found, unknown = "", "", "run the cells above this one first, in their order"
    try:
        for cell in _cells(notebook):
            if cell["cell_type"] == "markdown":
                headings = [line for line in cell["source"].splitlines() if line.startswith("#")]
                heading = headings[-1].lstrip("# ") if headings else heading
            elif cell["source"] == source or cell.get("id", "") == cell_id:
                unknown = f"no cell above this one makes {name}, check how it is spelt"
                break
            elif _makes(cell["source"], name):
                found = f"run first the cell of “{heading}” that begins with “{_start(cell)}”"
    except (OSError, ValueError):  # renamed, moved, or just being saved
        pass
    return found or unknown


def _start(cell):
    """Return a cell's first line that is no comment."""
    code = (line.split("  #")[0] for line in cell["source"].splitlines() if line[:1] != "#")
    return next(filter(None, code))


def _makes(source, name):
    """Tell whether a cell gives a value to the global `name`."""
    try:
        code = compile(source, "cell", "exec")
    except SyntaxError:  # a magic
        return False
    stores = ("STORE_NAME", "STORE_GLOBAL")  # of an assignment, an import, a function
    return any(i.opname in stores and i.argval == name for i in dis.get_instructions(code))


def _cells(notebook):
    """Yield the cells of a notebook file, `source` as one text."""
    for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
        yield cell | {"source": "".join(cell["source"])}


def functions_of(notebook):
    """Take a notebook's functions without running the rest of it.

    The lessons and the tests use the lab's cost functions where the lab defines them, so each is
    written once. A function that reads a notebook's global (`sess`, `model`) finds what the caller
    sets: `lab = functions_of("notebooks/….ipynb"); lab.sess = sess`.

    Returns:
    module with the notebook's imports, functions and constants (NAME = literal)
    """
    module = ModuleType(Path(notebook).stem)
    for cell in _cells(notebook):
        if cell["cell_type"] == "code":
            tree = ast.parse(cell["source"])
            tree.body = [node for node in tree.body if _defines(node)]
            exec(compile(tree, notebook, "exec"), vars(module))
    return module


def _defines(node):
    """Tell whether a statement is an import, a function or a constant."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        try:
            ast.literal_eval(node.value)
        except ValueError:
            return False
        return node.targets[0].id.isupper()
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef))
