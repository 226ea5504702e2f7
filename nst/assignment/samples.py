"""Random inputs on which functions are tried: a seed gives the same ones in two processes."""

import numpy as np

from nst.assignment.spec import FUNCTIONS, LAYER_COUNT

SIZES = (3, 5, 7)  # of the public tests' activations
LARGE = (40, 48, 16)  # of an activation for which 4 * n_C² * (n_H*n_W)² is beyond int32


def draw_all(seed):
    """Draw inputs for each function, of sizes drawn, too: {name: samples}."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.permutation([3, 5, 7, 11])[:3]]
    return {name: draw(name, rng, sizes) for name in FUNCTIONS}


def draw(name, rng, sizes=SIZES):
    """Draw random inputs to try a function on.

    Arguments:
    name -- key of PARAMETERS
    rng -- NumPy generator
    sizes -- three different numbers, for n_H, n_W and n_C

    Returns:
    list of samples, each a list of arrays, float32; of four the first is as large as real layers,
    and the next two have the same shapes
    """
    h, w, c = sizes
    shapes = [LARGE, (h, w, c), (h, w, c), (c, h, w + 1)]

    def normal(*shape):
        return rng.normal(1, 4, shape).astype(np.float32)

    def number(low, high, shape=()):
        return rng.uniform(low, high, shape).astype(np.float32)

    if name == "compute_content_cost":
        return [[normal(1, *shape), normal(1, *shape)] for shape in shapes]
    if name == "gram_matrix":
        return [[normal(n_C, n_H * n_W)] for n_H, n_W, n_C in shapes]
    if name == "compute_layer_style_cost":
        return [[number(2, 3), normal(1, *shape), normal(1, *shape)] for shape in shapes]
    if name == "compute_style_cost":
        layers = [shape for shape in (*shapes[1:], (w, c, h), (h, w, c)) for _ in "SG"]
        weights = rng.dirichlet(np.ones(LAYER_COUNT), 3).astype(np.float32)
        return [[number(1, 3, 2), each, *(normal(1, *s) for s in layers)] for each in weights]
    if name == "total_cost":
        return [list(numbers) for numbers in number(1, 30, (4, 4))]
    return [[number(0.03, 0.07), 9 * normal(1, h, w, 3), 9 * normal(1, h, w, 3)]]


def draw_images(seed, shape):
    """Draw the images at which the costs of a training are compared; float32."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, spread, shape).astype(np.float32) for spread in (60, 35, 20)]
