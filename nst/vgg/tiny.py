"""A miniature VGG with random weights, as a weight file in any of MatConvNet's layouts.

All convolutions of the real network, with a few channels each: 21 KB instead of 535 MB, so that the
tests, and the grading of a training loop, run the whole lab in seconds.

    python -m nst.vgg.tiny tiny.mat
"""

import sys

import numpy as np
import scipy.io

from nst.vgg.weights import VGG_BLOCKS, convolution_names


def fake_convolutions(depth=19, channels=4, seed=0):
    """Draw the weights of a miniature VGG.

    Arguments:
    depth -- 19 or 16
    channels -- number of channels of every convolution
    seed -- of the random numbers

    Returns:
    dict from layer name to (W, b), float32: W of shape (3, 3, n_in, channels), b of (channels,)
    """
    rng = np.random.default_rng(seed)
    layers, n_in = {}, 3
    for name in convolution_names(depth):
        scale = np.sqrt(2 / (9 * n_in))  # He et al. (2015): activations keep their size
        W = rng.normal(0, scale, (3, 3, n_in, channels)).astype(np.float32)
        b = rng.normal(0, 0.1, channels).astype(np.float32)
        layers[name], n_in = (W, b), channels
    return layers


def write_fake_vgg(path, layout="current", depth=19, channels=4, seed=0, weights=None):
    """Write a miniature VGG to `path` as MatConvNet would have done.

    Arguments:
    layout -- "filters" (before beta11), "beta16" or "current"
    depth -- 19 or 16
    channels, seed -- see `fake_convolutions`
    weights -- weights to write, as `fake_convolutions` returns them; by default, these
    """
    weights = weights or fake_convolutions(depth, channels, seed)
    layers = []
    for block, count in enumerate(VGG_BLOCKS[depth], 1):
        for i in range(1, count + 1):
            layers.append(_convolution(layout, f"conv{block}_{i}", *weights[f"conv{block}_{i}"]))
            layers.append({"type": "relu", "name": f"relu{block}_{i}"})
        pool = {"type": "pool", "name": f"pool{block}", "method": "max"}
        layers.append(pool | {"pool": [[2.0, 2.0]], "stride": [[2.0, 2.0]]})
    cells = np.empty((1, len(layers)), object)
    cells[0] = layers
    scipy.io.savemat(path, {"layers": cells, "meta": {"note": "miniature network for tests"}})


def _convolution(layout, name, W, b):
    one = [[1.0, 1.0]]
    pad = [[1.0, 1.0, 1.0, 1.0]]
    if layout == "filters":
        return {"filters": W, "biases": b[None], "pad": pad, "stride": one} | _named(name)
    pair = np.empty((1, 2), object)
    if layout == "beta16":
        pair[0] = [W, b[None]]
        return {"weights": pair, "pad": pad} | _named(name) | {"stride": one}
    pair[0] = [W, b[:, None]]
    size = [[float(n) for n in W.shape]]
    common = {"size": size, "pad": pad, "stride": one, "precious": 0.0, "dilate": 1.0, "opts": {}}
    return {"name": name, "type": "conv", "weights": pair} | common


def _named(name):
    return {"type": "conv", "name": name}


if __name__ == "__main__":
    write_fake_vgg(sys.argv[1])
