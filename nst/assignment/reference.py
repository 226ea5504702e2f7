"""What each function should give, in NumPy, and which mistakes give what it gave instead."""

import itertools

import numpy as np

from nst.assignment.mistakes import (
    CONTENT_STEPS,
    DIVISORS,
    LAYER_STEPS,
    LAYER_SUMS,
    PRODUCTS,
    TOTALS,
    TRAININGS,
)
from nst.assignment.spec import RATE


def cost(pictures, order, matrices, distance, mean, fraction):
    """Compute a cost of two activations (1, n_H, n_W, n_C) by one way of each of its steps."""
    a, b = order(*pictures)
    X, Y = matrices(a, b)
    return fraction(*a.shape[1:]) * mean(X.size) * distance(X, Y)


def right_cost(steps, a, b):
    """Compute a cost in NumPy by the right way of each of its steps."""
    return cost((a, b), *(table[0].value for table in steps))


def _product(matrices, multiply, divisor):
    (A,) = matrices
    return multiply(A) / divisor(*A.shape)


def _style(sample, total):
    weights, *pairs = sample
    costs = [right_cost(LAYER_STEPS, *pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)]
    return total(np.array(costs), weights)


def _pictures(sample, ways):
    """Descend as the trial of model_nn does: the picture that stays, and the returned one."""
    noise, goal = sample

    def after(picture, steps):
        for _ in range(steps):
            picture = picture - RATE * 2 * (2 * picture - goal)
        return picture

    return np.stack(ways(noise, after))


FORMULAS = {  # function: (what computes its value from a sample and a way, tables of the ways)
    "compute_content_cost": (cost, CONTENT_STEPS),
    "gram_matrix": (_product, (PRODUCTS, DIVISORS)),
    "compute_layer_style_cost": (cost, LAYER_STEPS),
    "compute_style_cost": (_style, (LAYER_SUMS,)),
    "total_cost": (lambda costs, J: J(*costs), (TOTALS,)),
    "model_nn": (_pictures, (TRAININGS,)),
}


def right_value(name, sample):
    """Compute what a function should give for a sample of nst.assignment.verdict.draw."""
    return FORMULAS[name][0](sample, *right_way(name))


def right_way(name):
    """Name the right value of each step of a function."""
    return [table[0].value for table in FORMULAS[name][1]]


def mistakes_that_compute(name, values, samples):
    """Find the way, of the fewest mistakes, that computes exactly `values` from `samples`.

    Returns:
    list of the Mistakes made, empty for the right way; None where no way gives the values
    """
    compute, steps = FORMULAS[name]
    ways = sorted(itertools.product(*steps), key=lambda way: sum(bool(step.name) for step in way))
    for way in ways:
        # one sample after the other, as most ways are out after the first
        found = (compute(sample, *(step.value for step in way)) for sample in samples)
        if all(map(close, values, found)):
            return [step for step in way if step.name]
    return None


def close(a, b):
    """Tell whether two arrays are the same, but for what float32 rounds."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max(initial=0))
