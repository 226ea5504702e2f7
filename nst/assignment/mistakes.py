"""Tables of the mistakes that students make: NumPy alone.

A formula is a chain of steps. A step returns a table, from mistakes to what they compute. Its first
row is right, and its name is the hint for those mistakes that have none of their own ("mistake.
hint"). If a value is wrong, the mistakes that together compute exactly this value are those that
were made, if need be with a wrong factor, which is found by a search. The process of a submission
cannot read this file, which holds right answers.
"""

from functools import partial
from itertools import product

import numpy as np

from nst.assignment.reference import allclose32, gram, right_value, stand_in_cost, train, unroll
from nst.assignment.spec import ACTIVATIONS, STEPS

FACTORS = {  # what the right factor is
    "compute_content_cost": "The fraction is 1 / (4 * n_H * n_W * n_C), with brackets.",
    "gram_matrix": "The Gram matrix has no fraction; that comes in compute_layer_style_cost.",
    "compute_layer_style_cost": "The fraction is 1 / (4 * n_C**2 * (n_H*n_W)**2), with brackets.",
    "compute_style_cost": "It has no factor besides coeff times each layer's cost.",
    "total_cost": "J is alpha * J_content + beta * J_style, whatever alpha and beta are.",
}


def find_mistakes(name, values, samples):
    """Find the smallest combination of known mistakes that computes `values` from `samples`.

    Each number and dimension of a factor counts as one. Signs are not compared, as a difference may
    be taken either way.

    Returns:
    tuple of sentences, "mistake. hint"; None if no combination gives the values
    """
    samples = [[np.asarray(array, float) for array in sample] for sample in samples]
    tables, found = [_ways(name, sample) for sample in samples], {}
    sizes = [_sizes(name, sample) for sample in samples]
    for way in tables[0]:
        ratios = [_ratio(value, table[way]) for value, table in zip(values, tables, strict=True)]
        if ratios == [1] * len(ratios):
            found[way] = len(way)
        elif name in FACTORS and (factor := _factor(ratios, sizes)):
            before = "the result is multiplied by" if way else "it is the right value times"
            found[(*way, f"{before} {factor}. {FACTORS[name]}")] = len([*way, *factor.split()]) + 1
    return min(found, key=found.get, default=None)


def _ways(name, sample):
    """Compute what right and wrong steps of a formula make of a sample: {mistakes: value}."""
    ways = {(): sample}
    for step in FORMULAS[name]:
        tables = {way: step(*value) for way, value in ways.items()}
        ways = {way + more: v for way, table in tables.items() for more, v in _keyed(table)}
    scale = np.sum(right_value(name, sample)) / np.sum(ways[()])  # the formula's fraction
    return {way: scale * value for way, value in ways.items()}


def _keyed(table):
    """List the rows of a table: its right value with (), the others with (mistake and hint,)."""
    (hint, right), *wrong = table.items()
    return [((), right)] + [((n if ". " in n else f"{n}. {hint}",), value) for n, value in wrong]


def _ratio(value, other):
    """Return the number by which `other` is multiplied in `value`, without its sign, or NaN."""
    if allclose32(value, other) or allclose32(value, -other):
        return 1.0
    ratio = np.sum(value * other) / np.sum(other**2) if np.shape(value) == np.shape(other) else 0
    return np.abs(ratio) if ratio and allclose32(value, ratio * other) else np.nan


def _sizes(name, sample):
    """Return what a factor may hold: dimensions, and sums that are taken for their product."""
    if name == "gram_matrix":
        return dict(zip(("n_C", "(n_H*n_W)"), sample[0].shape, strict=True))
    if name not in ACTIVATIONS:
        return {}
    _, h, w, c = sample[-1].shape
    sums = {"(n_H + n_W)": h + w, "(n_H + n_W + n_C)": h + w + c}
    return {"n_H": h, "n_W": w, "n_C": c} | sums | {"(4 * n_H + n_W + n_C)": 4 * h + w + c}


def _factor(ratios, sizes):
    """Write ratios as one product of a number and powers of sizes, or return "".

    With powers, the number is a power of 2: any number would fit too much.
    """
    if not np.isclose(ratios[0], ratios[1], rtol=1e-4):  # of two samples of the same shapes
        return ""
    ranges = [range(-2, 1) if "+" in name else range(-4, 5) for name in sizes[0]]
    powers = np.array(sorted(product(*ranges), key=lambda found: sum(map(abs, found))))
    numbers = ratios / np.exp(powers @ np.log([[*each.values()] for each in sizes]).T)
    exponents = np.log2(numbers[:, 0])
    fits = np.ptp(numbers, axis=1) < 1e-4 * numbers[:, 0]
    fits[1:] &= np.abs(exponents - np.round(exponents))[1:] < 1e-4
    if not fits.any():
        return ""
    text = f"{numbers[fits][0][0]:.4g}"
    for operator, sign in (("*", 1), ("/", -1)):
        for name, power in zip(sizes[0], sign * powers[fits][0], strict=True):
            if power > 0:
                text += f" {operator} {name}" + (f"**{power}" if power > 1 else "")
    return text.removeprefix("1 * ")


def _unroll_both(*images):
    a, b = map(unroll, images)
    # in the same shape, but with rows that mix the channels
    mixed_a, mixed_b = [np.reshape(image, (image.shape[-1], -1)) for image in images]
    return {
        "Channels become rows: first reshape to (n_H*n_W, n_C), then transpose.": (a, b),
        "reshape without transpose mixes the channels": (mixed_a, mixed_b),
        "the images are unrolled differently, the first without transpose": (mixed_a, b),
        "the images are unrolled differently, the second without transpose": (a, mixed_b),
        "these are Gram matrices of the wrong side": (a.T, b.T),
        "reshape mixes the channels, which are not rows": (mixed_a.T, mixed_b.T),
    }


def _unroll_scaled(factor, *images):
    """Unroll images times a number that gives their Gram matrices the stand-in's factor."""
    return _unroll_both(*(np.sqrt(factor) * image for image in images))


def _gram_matrices(X, Y):
    return {
        "Pass both images through gram_matrix, then subtract.": (gram(X), gram(Y)),
        "it compares activations, not Gram matrices": (X, Y),
        "it takes the Gram matrix of a difference": (gram(X - Y), 0),
    }


def _distance(X, Y):
    square = np.sum((X - Y) ** 2)
    return {
        "In this order: subtract, square each entry, sum.": square,
        "it is always 0. An image is compared with itself, or // makes the fraction 0.": 0,
        "you took the mean, not the sum, or divide by the number of entries once too often. Take "
        "tf.reduce_sum, and look for a square too many in the fraction.": square / np.size(X),
        "it is halved once too often. Look for tf.nn.l2_loss, or a 2 too many.": square / 2,
        "the difference is not squared": np.sum(X - Y),
        "absolute values are summed, not squares": np.sum(np.abs(X - Y)),
        "the sum is squared, not its terms": np.sum(X - Y) ** 2,
        "a root is taken. The cost has no root, no norm.": np.sqrt(square),
        "the images are added, not subtracted": np.sum((X + Y) ** 2),
        "squares are subtracted, not the difference squared": np.sum(X**2 - Y**2),
        "only one of the two images is used, the first": np.sum(X**2),
        "only one of the two images is used, the second": np.sum(Y**2),
        "the images are multiplied, not subtracted": np.sum(X * Y),
    }


def _product(A):
    return {
        "Entry (i, j) is the dot product of channels i and j, the rows i and j of A.": gram(A),
        "it is the Gram matrix of the wrong side": gram(A.T),
        "you took a reshape, not the transpose, and mixed the rows": A @ A.reshape(A.T.shape),
        "the product is elementwise. The matrix product is tf.matmul.": A * A,
        "the mean is subtracted": gram(A - A.mean(axis=1, keepdims=True)),
        "the rows are normalized": gram(A / np.linalg.norm(A, axis=1, keepdims=True)),
    }


def _layer_costs(secret, weights, *activations):
    S, G = activations[::2], activations[1::2]
    arguments = {
        "a_S must be numbers, sess.run(out), and a_G the tensor out.": (S, G),
        "a_S is not run, so both arguments are the generated image": (G, G),
        "a_G is run, so both arguments are the style image": (S, S),
        "the arguments of compute_layer_style_cost are in the order (a_G, a_S)": (G, S),
    }
    return {
        mistake: (weights, np.array([*map(partial(stand_in_cost, secret), *images)]))
        for mistake, images in arguments.items()
    }


def _terms(w, J):
    return {
        "Multiply each layer's cost by its coeff of STYLE_LAYERS.": [w * J],
        "the layers' weights are forgotten": [J],
        "0.2, or a mean, is used instead of each layer's own weight": [0.2 * J],
        "weights are added, not multiplied": [w + J],
        "it is divided by the number of layers. The weights already add up to 1.": [w * J / len(J)],
        "the sum so far is multiplied by coeff again in each pass": [J * np.cumprod(w[::-1])[::-1]],
    }


def _sum(terms):
    return {
        "Add (+=) in a loop over all of STYLE_LAYERS; return comes after the loop.": np.sum(terms),
        "it is always 0. Add (+=) in each pass, and take numbers for a_S, sess.run(out).": 0,
        "J_style does not start at 0": 1 + np.sum(terms),
    } | {
        f"of the {len(terms)} layers only these count: {np.flatnonzero(mask) + 1}": terms @ mask
        for mask in product((0, 1), repeat=len(terms))
    }


def _total(c, s, a, b):
    weights = {"alpha": a, "beta": b, "1": 1, "0": 0, "10": 10, "40": 40, "alpha * beta": a * b}
    weights |= {"(alpha + beta)": a + b, "1 / alpha": 1 / a, "1 / beta": 1 / b, "-beta": -b}
    return {
        FACTORS["total_cost"]: a * c + b * s,
        "the products are multiplied": a * c * b * s,
        "it is divided by alpha + beta": (a * c + b * s) / (a + b),
    } | {
        f"it is {x} * J_content + {y} * J_style": weights[x] * c + weights[y] * s
        for x, y in product(weights, weights)
    }


def _starts(rate, noise, goal):
    return {
        "Assign before the loop.": (rate, noise, goal),
        "assign did not run. sess.run it before the loop, and after the initializer, which would "
        "undo it.": (rate, 0 * noise, goal),
    }


def _images(*sample):
    """Compute the images that model_nn leaves in the model and returns, after so many steps."""
    steps = {
        "Return what sess.run(model['input']) gives after the last step.": (STEPS, STEPS),
        "train_step did not run, or assign undoes it. Call sess.run(train_step) in each pass, and "
        "assign before the loop.": (0, 0),
        "only one step counts. Either the initializer, assign or return is inside the loop, or "
        "train_step is below an if: it must run in each pass.": (1, 1),
        "the image from before the loop is returned": (STEPS, 0),
        "the image is read before the step, not after it": (STEPS, STEPS - 1),
        "the image of the first step is returned": (STEPS, 1),
        "assign runs again in each pass, after the step. Run it before the loop.": (0, 1),
        "far more steps run than num_iterations. Run train_step once in a pass.": (200, 200),
    }
    for n in (STEPS - 1, STEPS + 1, 2 * STEPS, 20):
        steps[f"{n} steps run, not num_iterations={STEPS}. Run train_step once in a pass."] = n, n
    return {mistake: train(*sample, both) for mistake, both in steps.items()}


FORMULAS = {
    "compute_content_cost": [_unroll_both, _distance],
    "gram_matrix": [_product],
    "compute_layer_style_cost": [_unroll_scaled, _gram_matrices, _distance],
    "compute_style_cost": [_layer_costs, _terms, _sum],
    "total_cost": [_total],
    "model_nn": [_starts, _images],
}
