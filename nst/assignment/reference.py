"""Reference values of each function, in NumPy, and the mistakes that explain a wrong value."""

import itertools
from functools import partial

import numpy as np

from nst.assignment.mistakes import (
    CONTENT_STEPS,
    DIVISORS,
    LAYER_ARGUMENTS,
    LAYER_STEPS,
    LAYER_SUMS,
    PRODUCTS,
    TOTALS,
    TRAININGS,
    gram,
)

ADAM = {"rate": 2.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}  # the course's optimizer


def cost(activations, order, matrices, distance, mean, fraction):
    """Compute a cost of two activations (1, n_H, n_W, n_C) by one way of each of its steps."""
    a, b = order(*activations)
    X, Y = matrices(a, b)
    return fraction(*a.shape[1:]) * mean(X.size) * distance(X, Y)


def right_cost(steps, a, b):
    """Compute a cost in NumPy by the right way of each of its steps."""
    return cost((a, b), *(table[0].value for table in steps))


# Some functions are tried with a stand-in for what they call; its secret numbers come first in
# their samples. They are 0 for the same function without the stand-in.


def _product(matrices, multiply, divisor):
    (A,) = matrices
    return multiply(A) / divisor(*A.shape)


def _layer(sample, order, matrices, *steps):
    factor, *activations = sample
    return cost(
        activations, order, partial(matrices, gram=lambda A: (factor or 1) * gram(A)), *steps
    )


def _style(sample, arguments, total):
    secret, weights, *activations = sample
    pairs = zip(activations[::2], activations[1::2], strict=True)
    costs = [stand_in_cost(secret, *arguments(*pair)) for pair in pairs]
    return total(np.array(costs), weights)


def stand_in_cost(secret, a_S, a_G):
    """Compute the cost that takes the place of compute_layer_style_cost; a_S and a_G differ."""
    if not np.any(secret):
        return right_cost(LAYER_STEPS, a_S, a_G)
    return np.mean((secret[0] * a_S - secret[1] * a_G) ** 2)


def _images(sample, ways):
    """Descend as the trial of model_nn does: the image left in the model, and the returned one."""
    rate, noise, goal = sample

    def gradient(image):
        return 2 * (2 * image - goal)

    def after(image, steps):
        m = v = 0
        for t in range(1, steps + 1):
            if rate:
                image = image - rate * gradient(image)
                continue
            m = ADAM["beta1"] * m + (1 - ADAM["beta1"]) * gradient(image)
            v = ADAM["beta2"] * v + (1 - ADAM["beta2"]) * gradient(image) ** 2
            m_hat, v_hat = m / (1 - ADAM["beta1"] ** t), v / (1 - ADAM["beta2"] ** t)
            image = image - ADAM["rate"] * m_hat / (np.sqrt(v_hat) + ADAM["epsilon"])
        return image

    return np.stack(ways(noise, after))


FORMULAS = {  # function: (what computes its value from a sample and a way, tables of the ways)
    "compute_content_cost": (cost, CONTENT_STEPS),
    "gram_matrix": (_product, (PRODUCTS, DIVISORS)),
    "compute_layer_style_cost": (_layer, LAYER_STEPS),
    "compute_style_cost": (_style, (LAYER_ARGUMENTS, LAYER_SUMS)),
    "total_cost": (lambda numbers, J: J(*numbers), (TOTALS,)),
    "model_nn": (_images, (TRAININGS,)),
}
SECRET = ("compute_layer_style_cost", "compute_style_cost", "model_nn")


def right_value(name, sample):
    """Compute what a function should give for a sample of nst.assignment.verdict.draw."""
    compute, steps = FORMULAS[name]
    return compute(sample, *(table[0].value for table in steps))


def without_stand_in(name, samples):
    """Return samples for a function that calls no stand-in but computes everything by itself."""
    return [[0 * secret, *rest] for secret, *rest in samples] if name in SECRET else samples


def mistakes_that_compute(name, values, samples):
    """Find the smallest combination of known mistakes that computes `values` from `samples`.

    Returns:
    list of the Mistakes made, empty for the right way; None if no combination gives the values
    """
    compute, steps = FORMULAS[name]
    ways = sorted(itertools.product(*steps), key=lambda way: sum(bool(step.name) for step in way))
    for way in ways:
        # one sample after the other, as most ways are out after the first
        found = (compute(sample, *(step.value for step in way)) for sample in samples)
        if all(map(allclose32, values, found)):
            return [step for step in way if step.name]
    return None


def allclose32(a, b):
    """Compare two arrays up to float32 rounding."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max(initial=0))
