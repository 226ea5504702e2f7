"""VGG-16 and VGG-19: their layers as data, and their weight files, read and written.

A weight file is a MATLAB file in one of the three layouts that MatConvNet has published (before
beta11, beta16, current), which name and order their fields differently.
"""

import os
import re
import zlib

import numpy as np
import scipy.io

from nst.core.config import CONFIG, IN_CHECKOUT
from nst.core.files import whole_file

VGG_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions per block; then a pooling

# Origins of weights
EIGHT_BIT = "8-bit weights"
KERAS = "Keras weights"
ORIGINAL = "original weights"
UNKNOWN = "unknown weights"
ORIGINAL_BYTES = 534_904_783  # MatConvNet's VGG-19, current layout

# Header of the files that this project writes: 116 bytes of text, free to the writer (MAT-file
# format, version 5). The CRC-32 is that of all bytes after the text.
_HEADER_BYTES = 116
_HEADER = "MATLAB 5.0 MAT-file, {} VGG-{}: {}, CRC-32 {:08x}"
_OWN_HEADER = re.compile(
    rb"MATLAB 5.0 MAT-file, (8-bit|Keras) VGG-.*?(?:, CRC-32 (\w{8}))? *", re.S
)

# command that fetches the weights
GET, GET_KERAS = "make weights", "make weights SOURCE=keras"
if not IN_CHECKOUT:
    GET, GET_KERAS = "nst weights", "nst weights --source keras"


class DamagedWeights(ValueError):
    """A file that this project wrote, with a wrong checksum; `name` is EIGHT_BIT or KERAS."""

    def __init__(self, path, name):
        command = GET if name == EIGHT_BIT else GET_KERAS
        super().__init__(f"{path} is damaged, its checksum is wrong: run {command}")
        self.name = name


def layer_names(depth):
    """Return the names of VGG-`depth`'s layers in order: conv1_1, conv1_2, avgpool1, conv2_1, …"""
    names = []
    for block, convolutions in enumerate(VGG_BLOCKS[depth], 1):
        names += [f"conv{block}_{i}" for i in range(1, convolutions + 1)]
        names.append(f"avgpool{block}")
    return names


def convolution_names(depth=19):
    """Return the names of VGG-`depth`'s convolutions in order."""
    return [name for name in layer_names(depth) if name.startswith("conv")]


def read_vgg(path):
    """Read the convolutions of VGG-16 or VGG-19.

    Arguments:
    path -- MatConvNet's .mat, in any of its layouts

    Returns:
    depth -- 16 or 19
    weights -- dict from layer name to (W, b), float32: W of shape (3, 3, n_in, n_out), RGB input
        in conv1_1, and b of shape (n_out,)

    Raises FileNotFoundError; DamagedWeights for a file that this project wrote, if any byte of it
    has changed; ValueError for another file without a complete VGG of finite numbers.
    """
    return read_named_vgg(path)[:2]


def read_named_vgg(path):
    """Read as `read_vgg` does, and identify the weights.

    Returns:
    depth, weights -- see `read_vgg`
    name -- EIGHT_BIT or KERAS, verified; ORIGINAL, by the file's size alone; or UNKNOWN
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} not found: run {GET}")
    name = _verified_origin(path)
    try:
        return *_read_convolutions(path), name
    except ValueError as error:
        raise ValueError(f"{path} {error}: move it away and run {GET}") from None


def _verified_origin(path):
    """Return the name of the weights, before SciPy reads the file: one changed bit can crash it."""
    with open(path, "rb") as file:
        own = _OWN_HEADER.fullmatch(file.read(_HEADER_BYTES))
        if not own:
            return ORIGINAL if os.path.getsize(path) == ORIGINAL_BYTES else UNKNOWN
        name = {b"8-bit": EIGHT_BIT, b"Keras": KERAS}[own[1]]
        if own[2] and int(own[2], 16) != _crc_of_rest(file):
            raise DamagedWeights(path, name)
    return name


def _crc_of_rest(file):
    crc = 0
    while chunk := file.read(1 << 20):
        crc = zlib.crc32(chunk, crc)
    return crc


def _read_convolutions(path):
    """Read depth and weights. The messages of ValueErrors are written to follow "this file …"."""
    try:
        layers = scipy.io.loadmat(path, variable_names=["layers"], simplify_cells=True)["layers"]
        # by name: an index that fits one layout reads something else from the next
        weights = {str(layer["name"]): _kernel_and_bias(layer) for layer in layers}
    except Exception:  # SciPy raises a dozen kinds for a damaged file
        with open(path, "rb") as file:
            start = file.read(20)
        raise ValueError(
            f"is not a complete MatConvNet weight file (it starts with {start!r} and has "
            f"{os.path.getsize(path):,} bytes)"
        ) from None
    depth = 19 if "conv3_4" in weights else 16
    convolutions, n_in = {}, 3
    for name in convolution_names(depth):
        W, b = weights.get(name) or (np.empty(0), np.empty(0))
        if not W.size or W.shape != (3, 3, n_in, b.size):
            raise ValueError(
                f"holds another network: its {name} has a kernel of shape {W.shape}, "
                f"VGG-{depth} needs (3, 3, {n_in}, n_out)"
            )
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise ValueError(f"holds NaN or infinity in its {name}")
        # MATLAB's first axis is the fastest; every later use is faster in NumPy's order
        convolutions[name] = np.ascontiguousarray(W), b
        n_in = b.size
    return depth, convolutions


def _kernel_and_bias(layer):
    """Return one layer's (W, b), or None if it is not a convolution."""
    if "filters" in layer:  # before beta11
        W, b = layer["filters"], layer["biases"]
    elif "weights" in layer and len(layer["weights"]):
        W, b = layer["weights"]
    else:
        return None
    return np.asarray(W, np.float32), np.ravel(b).astype(np.float32)


def write_vgg(path, weights, name, source):
    """Write weights as a .mat in MatConvNet's current layout, whole or not at all.

    The same arguments give the same bytes.

    Arguments:
    weights -- dict from layer name to (W, b), as `read_vgg` returns them
    name -- EIGHT_BIT or KERAS
    source -- where they come from, in 50 characters
    """
    depth = 19 if "conv3_4" in weights else 16
    layers = _matconvnet_layers(weights, depth)
    cells = np.empty((1, len(layers)), object)
    cells[0, :] = layers
    mean = CONFIG.MEANS.astype("<f4").reshape(1, 1, 3)
    meta = {
        "description": f"VGG-{depth}, {name}: {source}",
        "license": "CC BY 4.0, Karen Simonyan and Andrew Zisserman",
        "normalization": {"imageSize": np.array([224.0, 224.0, 3.0]), "averageImage": mean},
    }
    with whole_file(path) as temporary, open(temporary, "w+b") as file:
        scipy.io.savemat(file, {"layers": cells, "meta": meta})
        file.seek(_HEADER_BYTES)
        header = _HEADER.format(name.split()[0], depth, source, _crc_of_rest(file))
        file.seek(0)
        file.write(header.encode().ljust(_HEADER_BYTES))  # in place of SciPy's, which has the date


def _matconvnet_layers(weights, depth):
    """Return the network's layers as scipy.io.savemat takes them.

    The order of the fields matters: the course's loader reads them by position.
    """
    nothing = np.empty((0, 0), object)
    layers = []
    for name in layer_names(depth):
        if name in weights:
            W, b = weights[name]
            pair = np.empty((1, 2), object)
            pair[0, :] = W, b[:, np.newaxis]
            conv = dict(name=name, type="conv", weights=pair, size=np.array(W.shape, float))
            conv |= dict(pad=np.ones(4), stride=np.ones(2), precious=0.0, dilate=1.0, opts=nothing)
            relu = dict(name=name.replace("conv", "relu"), type="relu", leak=0.0)
            layers += [conv, relu | dict(weights=nothing, precious=0.0)]
        else:
            pool = dict(name=name.replace("avg", ""), type="pool", method="max")
            pool |= dict(pool=np.full(2, 2.0), stride=np.full(2, 2.0), pad=np.zeros(4))
            layers.append(pool | dict(precious=0.0, opts=nothing))
    return layers
