"""Random inputs on which functions are tried: a seed gives the same ones in two processes."""

import numpy as np

from nst.assignment.spec import LAYER_COUNT

LARGE = (40, 48, 16)  # of an activation for which 4 * n_C² * (n_H*n_W)² is beyond int32


def draw_all(seed):
    """Draw random inputs to try the functions on.

    Returns:
    {name: samples}, each sample a list of arrays, float32; of four samples the first is as large as
    real layers, and the next two have the same shapes
    """
    rng = np.random.default_rng(seed)
    h, w, c = map(int, rng.permutation([3, 5, 7, 11])[:3])
    shapes = [LARGE, (h, w, c), (h, w, c), (c, h, w + 1)]
    layers = [shape for shape in (*shapes[1:], (w, c, h), (h, w, c)) for _ in "SG"]
    weights = rng.dirichlet(np.ones(LAYER_COUNT), 3).astype(np.float32)

    def normal(*shape):
        return rng.normal(1, 4, shape).astype(np.float32)

    def number(low, high, shape=()):
        return rng.uniform(low, high, shape).astype(np.float32)

    pairs = [[normal(1, *shape), normal(1, *shape)] for shape in shapes]
    return {
        "compute_content_cost": pairs,
        "gram_matrix": [[normal(n_C, n_H * n_W)] for n_H, n_W, n_C in shapes],
        "compute_layer_style_cost": [[number(2, 3), *pair] for pair in pairs],
        "compute_style_cost": [
            [number(1, 3, 2), each, *(normal(1, *shape) for shape in layers)] for each in weights
        ],
        "total_cost": [list(numbers) for numbers in number(1, 30, (4, 4))],
        "model_nn": [[number(0.03, 0.07), 9 * normal(1, h, w, 3), 9 * normal(1, h, w, 3)]],
    }


def draw_images(seed, shape):
    """Draw the images at which the costs of a training are compared; float32."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, spread, shape).astype(np.float32) for spread in (60, 35, 20)]
