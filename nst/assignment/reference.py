"""Right values of the graded functions, in NumPy.

Some functions are tried with a stand-in for what they call. Its secret numbers are the first
argument here; 1 means that the function computes everything by itself.
"""

import numpy as np

from nst.assignment.spec import STEPS


def unroll(a):
    """Turn an activation (1, n_H, n_W, n_C) into a matrix (n_C, n_H*n_W)."""
    return np.reshape(a, (-1, a.shape[-1])).T


def gram(A):
    """Compute the Gram matrix of A (n_C, n_H*n_W)."""
    return A @ A.T


def content_cost(a_C, a_G):
    """Compute the content cost of two activations (1, n_H, n_W, n_C)."""
    return np.sum((a_C - a_G) ** 2) / (4 * a_G.size)


def layer_style_cost(factor, a_S, a_G):
    """Compute the style cost of a layer; the stand-in for gram_matrix multiplies by `factor`."""
    n_C = a_G.shape[-1]
    difference = gram(unroll(a_S)) - gram(unroll(a_G))
    return np.sum((factor * difference) ** 2) / (2 * n_C * (a_G.size // n_C)) ** 2


def stand_in_cost(secret, a_S, a_G):
    """Compute what takes the place of compute_layer_style_cost; a_S and a_G differ in it."""
    if np.all(secret == 1):
        return layer_style_cost(1, a_S, a_G)
    return np.mean((secret[0] * a_S - secret[1] * a_G) ** 2)


def style_cost(secret, weights, *activations):
    """Compute the style cost of activations a_S, a_G, a_S, a_G, … with these weights."""
    pairs = zip(activations[::2], activations[1::2], strict=True)
    return weights @ [stand_in_cost(secret, *pair) for pair in pairs]


def train(rate, noise, goal, steps=(STEPS, STEPS)):
    """Compute the image that model_nn leaves in the model, and the one that it returns.

    Each is that of so many steps of plain descent on the sum of image² and (image - goal)².
    """
    end = goal / 2
    return np.stack([end + (1 - 4 * rate) ** n * (noise - end) for n in steps])


RIGHT = {
    "compute_content_cost": content_cost,
    "gram_matrix": gram,
    "compute_layer_style_cost": layer_style_cost,
    "compute_style_cost": style_cost,
    "total_cost": lambda J_content, J_style, alpha, beta: alpha * J_content + beta * J_style,
    "model_nn": train,
}


def right_value(name, sample):
    """Compute what a function should give for a sample of nst.assignment.samples.draw_all."""
    return RIGHT[name](*(np.asarray(array, float) for array in sample))


def allclose32(a, b):
    """Compare two arrays up to float32 rounding."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max(initial=0))
