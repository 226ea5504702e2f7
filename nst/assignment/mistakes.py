"""Tables of the mistakes that students make: NumPy alone.

A table is a dictionary from a mistake to what it computes. Its first row is the right way, whose
name is the hint for those mistakes that have none of their own ("mistake. hint"). If a value is
wrong, the mistake (or the combination of mistakes) that computes exactly this value is the one that
was made. The process of a submission cannot read this file, which holds right answers.
"""

from itertools import product
from math import prod

import numpy as np

from nst.assignment.reference import allclose32, descend, gram, stand_in_cost, unroll
from nst.assignment.spec import LAYER_COUNT, STEPS

THE_MEAN = "you took the mean, not the sum"


def find_mistakes(name, values, samples):
    """Find the smallest combination of known mistakes that computes `values` from `samples`.

    Signs are not compared, as a difference may be taken either way.

    Returns:
    tuple of sentences, "mistake. hint"; None if no combination gives the values
    """
    ways = None
    for value, sample in zip(values, samples, strict=True):
        computed = MISTAKES[name](*(np.asarray(array, float) for array in sample))
        ways = [
            way
            for way in (computed if ways is None else ways)
            if allclose32(np.abs(value), np.abs(computed[way]))
        ]
    return min(ways, key=len, default=None)


def _rows(table):
    """List the rows of a table, each mistake with a hint, and the right way without a name."""
    (hint, right), *wrong = table.items()
    return [("", right), *((n if ". " in n else f"{n}. {hint}", value) for n, value in wrong)]


def _combine(*tables, so_far=""):
    """Multiply the values of rows, one of each table: {mistakes: product}."""
    ways = {}
    for way in product(*map(_rows, tables)):
        names, values = zip(*way, strict=True)
        ways[tuple(filter(None, (so_far, *names)))] = prod(values)
    return ways


def _cost(matrices, mean, fractions):
    """Combine the steps of a cost: matrices X and Y, the distance of their entries, a fraction.

    `mean` is advice for a cost that is too small by the number of entries.
    """
    ways = {}
    for mistake, (X, Y) in _rows(matrices):
        distances = {
            "In this order: subtract, square each entry, sum.": np.sum((X - Y) ** 2),
            "it is always 0. An image is compared with itself, or // makes the fraction 0.": 0.0,
            "the difference is not squared": np.sum(X - Y),
            "absolute values are summed, not squares": np.sum(np.abs(X - Y)),
            "the sum is squared, not its terms": np.sum(X - Y) ** 2,
            "a root is taken. The cost has no root, no norm.": np.sqrt(np.sum((X - Y) ** 2)),
            "the images are added, not subtracted": np.sum((X + Y) ** 2),
            "squares are subtracted, not the difference squared": np.sum(X**2 - Y**2),
            "only one of the two images is used, the first": np.sum(X**2),
            "only one of the two images is used, the second": np.sum(Y**2),
            "the images are multiplied, not subtracted": np.sum(X * Y),
        }
        sums = {
            "Take tf.reduce_sum of tf.square.": 1,
            f"{THE_MEAN}. {mean}": 1 / X.size,
            "it is halved once too often. Look for tf.nn.l2_loss, which halves, or a 2 too many.": 1
            / 2,
        }
        ways |= _combine(distances, sums, fractions, so_far=mistake)
    return ways


def _scramble(a):
    return np.reshape(a, (a.shape[-1], -1))  # unroll's shape, but rows that mix the channels


def _content(a, b):
    _, h, w, c = a.shape  # n_H, n_W, n_C
    matrices = {
        "Give both the same reshape and transpose.": (unroll(a), unroll(b)),
        "a_C and a_G are unrolled differently, a_C without transpose": (_scramble(a), unroll(b)),
        "a_C and a_G are unrolled differently, a_G without transpose": (unroll(a), _scramble(b)),
    }
    fractions = {
        "The fraction is 1 / (4 * n_H * n_W * n_C), with brackets.": 1 / (4 * h * w * c),
        "the 1/4 is forgotten": 1 / (h * w * c),
        "you took 1/2 instead of 1/4": 1 / (2 * h * w * c),
        "only the 1/4 of the fraction is there": 1 / 4,
        "the fraction is forgotten": 1,
        "n_C is forgotten": 1 / (4 * h * w),
        "n_H * n_W is forgotten": 1 / (4 * c),
        "it multiplies by n_H * n_W * n_C": h * w * c / 4,
        "dimensions are added, not multiplied": 1 / (4 * (h + w + c)),
        "dimensions are added, not multiplied, after 4 * n_H": 1 / (4 * h + w + c),
    }
    mean = (
        "Take tf.reduce_sum, as tf.reduce_mean also divides by the number of entries, or leave out "
        "the square of the denominator: that is the fraction of the style cost."
    )
    return _cost(matrices, mean, fractions)


def _layer(factor, a, b):
    _, h, w, c = a.shape

    def grams(arrange):
        return (factor or 1) * gram(arrange(a)), (factor or 1) * gram(arrange(b))

    right, scrambled = grams(unroll), grams(_scramble)
    matrices = {
        "Channels become rows: first reshape to (n_H*n_W, n_C), then transpose.": right,
        "reshape without transpose mixes the channels": scrambled,
        "a_S and a_G are unrolled differently, a_S without transpose": (scrambled[0], right[1]),
        "a_S and a_G are unrolled differently, a_G without transpose": (right[0], scrambled[1]),
        "these are Gram matrices of the wrong side": grams(lambda image: unroll(image).T),
        "the rows are those of the image, not channels": grams(lambda x: x.reshape(h, -1).T),
        "it takes the Gram matrix of a difference. Take gram_matrix of each, then subtract.": (
            (factor or 1) * gram(unroll(a - b)),
            0,
        ),
        "it compares activations, not Gram matrices. Pass both through gram_matrix.": (
            unroll(a),
            unroll(b),
        ),
    }
    fractions = {
        "The fraction is 1 / (4 * n_C² * (n_H*n_W)²), with brackets.": 1
        / (4 * c**2 * (h * w) ** 2),
        "the 1/4 is forgotten": 1 / (c * h * w) ** 2,
        "you took 1/2 instead of 1/4": 1 / (2 * c**2 * (h * w) ** 2),
        "the 4 is squared too": 1 / (4 * c * h * w) ** 2,
        "n_C is not squared": 1 / (4 * c * (h * w) ** 2),
        "n_H*n_W is not squared": 1 / (4 * c**2 * h * w),
        "neither n_C nor n_H*n_W is squared": 1 / (4 * c * h * w),
        "n_C² is forgotten": 1 / (4 * (h * w) ** 2),
        "(n_H*n_W)² is forgotten": 1 / (4 * c**2),
        "only the 1/4 of the fraction is there": 1 / 4,
        "the fraction is forgotten": 1,
        "you wrote * 2 instead of ** 2": 1 / (16 * c * h * w),
        "n_H is not squared": 1 / (4 * c**2 * h * w**2),
        "n_W is not squared": 1 / (4 * c**2 * h**2 * w),
        "it multiplies by n_C² * (n_H*n_W)²": (c * h * w) ** 2 / 4,
        "dimensions are added, not multiplied": 1 / (4 * c**2 * (h + w) ** 2),
        "dimensions are added, not multiplied, all three": 1 / (4 * (h + w + c) ** 2),
    }
    mean = "Only the fraction multiplies the sum of squares; tf.reduce_mean also divides by n_C²."
    return _cost(matrices, mean, fractions)


def _gram(A):
    n_C, N = A.shape
    products = {
        "Entry (i, j) is the dot product of channels i and j, the rows i and j of A.": gram(A),
        "it is always 0": 0 * gram(A),
        "it is the Gram matrix of the wrong side. Channels are rows: A times its transpose.": A.T
        @ A,
        "you took a reshape, not the transpose. tf.reshape mixes the rows: take tf.transpose.": A
        @ A.reshape(N, n_C),
        "the product is elementwise. The matrix product is tf.matmul.": A * A,
        "everything is summed up": np.sum(A * A),
        "only the diagonal is there": np.sum(A * A, axis=1),
        "the mean is subtracted": gram(A - A.mean(axis=1, keepdims=True)),
        "a root is taken": np.sqrt(np.abs(gram(A))),
        "A is squared first": gram(A**2),
        "the rows are normalized": gram(A / np.linalg.norm(A, axis=1, keepdims=True)),
    }
    divisors = {
        "The Gram matrix has no fraction; that comes in compute_layer_style_cost.": 1,
        "it is halved": 1 / 2,
        "it is divided by n_H*n_W": 1 / N,
        "it is divided by n_C": 1 / n_C,
        "it is divided by n_C*n_H*n_W": 1 / (n_C * N),
        "it is divided by 2*n_C*n_H*n_W": 1 / (2 * n_C * N),
    }
    return _combine(products, divisors)


def _style(secret, weights, *activations):
    pairs = list(zip(activations[::2], activations[1::2], strict=True))
    arguments = {
        "a_S must be numbers, sess.run(out), and a_G the tensor out.": pairs,
        "a_S is not run, so both arguments are the generated image": [(G, G) for _, G in pairs],
        "a_G is run, so both arguments are the style image": [(S, S) for S, _ in pairs],
        "the arguments of compute_layer_style_cost are in the order (a_G, a_S)": [
            (G, S) for S, G in pairs
        ],
    }
    ways = {}
    for mistake, images in _rows(arguments):
        costs = np.array([stand_in_cost(secret, *pair) for pair in images])
        ways |= _combine(_layer_sums(costs, weights), so_far=mistake)
    return ways


def _layer_sums(J, w):
    return {
        "Each pass adds (+=) coeff times the layer's cost; return comes after the loop.": J @ w,
        "it is always 0. a_S must be numbers, sess.run(out), and a_G the tensor out.": 0.0,
        "the layers' weights are forgotten": J.sum(),
        "0.2, or a mean, is used instead of each layer's own weight": 0.2 * J.sum(),
        "only the last layer counts": J[-1] * w[-1],
        "only the last layer counts, without its weight": J[-1],
        "only the first layer counts": J[0] * w[0],
        "only the first layer counts, without its weight": J[0],
        "the first layer is left out": J[1:] @ w[1:],
        "weights are added, not multiplied": np.sum(J + w),
        "the layers' weights are squared": J @ w**2,
        "the sum so far is multiplied by coeff again in each pass": J @ np.cumprod(w[::-1])[::-1],
        "costs are multiplied, not added": np.prod(J * w),
        "it is divided by the number of layers. The weights already add up to 1.": J @ w / len(J),
        "J_style does not start at 0": 1 + J @ w,
    } | {
        f"only {n} of {LAYER_COUNT} layers count. Loop over all of STYLE_LAYERS.": J[:n] @ w[:n]
        for n in range(2, LAYER_COUNT)
    }


def _total(c, s, a, b):
    arguments = "The arguments alpha and beta may have other values than their defaults."
    totals = {
        "J is alpha * J_content + beta * J_style.": a * c + b * s,
        "it is always 0": 0.0,
        "alpha and beta are swapped": b * c + a * s,
        "alpha and beta are forgotten": c + s,
        "alpha is forgotten": c + b * s,
        "beta is forgotten": a * c + s,
        "alpha multiplies both": a * (c + s),
        "beta multiplies both": b * (c + s),
        "J_style is left out": a * c,
        "J_content is left out": b * s,
        "J_content counts twice": (a + b) * c,
        "J_style counts twice": (a + b) * s,
        "J_style is subtracted": a * c - b * s,
        "alpha and beta both multiply the sum": (a + b) * (c + s),
        "alpha multiplies beta * J_style too": a * (c + b * s),
        "alpha is added to J_content": a + c + b * s,
        "it divides by alpha and beta": c / a + s / b,
        "the products are multiplied": a * c * b * s,
        "weights are added, not multiplied": a + c + b + s,
        "it is divided by alpha + beta": (a * c + b * s) / (a + b),
        "it is divided by 2": (a * c + b * s) / 2,
        f"10 is used instead of alpha. {arguments}": 10 * c + b * s,
        f"40 is used instead of beta. {arguments}": a * c + 40 * s,
        f"10 and 40 are used instead of alpha and beta. {arguments}": 10 * c + 40 * s,
    }
    return _combine(totals)


def _training(rate, noise, goal):
    def after(left, returned, start=1):
        """Images left in the model and returned, after so many steps from noise, or from zeros."""
        return np.stack([descend(start * noise, n, rate, goal) for n in (left, returned)])

    images = {
        "Return what sess.run(model['input']) gives after the last step.": after(STEPS, STEPS),
        "train_step did not run, or assign undoes it. Call sess.run(train_step) in each pass, and "
        "assign before the loop.": after(0, 0),
        "assign did not run. sess.run it before the loop, and after the initializer, which would "
        "undo it.": after(STEPS, STEPS, 0),
        "neither assign nor train_step ran. Both only describe what to do: sess.run them.": after(
            0, 0, 0
        ),
        "the noise is returned, not the image": after(STEPS, 0),
        "the image is read before the step, not after it": after(STEPS, STEPS - 1),
        "the image of the first step is returned": after(STEPS, 1),
        "the initializer runs in each pass of the loop. Run it once, before assign.": after(
            1, 1, 0
        ),
        "only one step counts. Either assign or return is inside the loop, or train_step is below "
        "an if: it must run in each pass.": after(1, 1),
        "assign runs again in each pass, after the step. Run it before the loop.": after(0, 1),
    }
    for n in (STEPS - 1, STEPS + 1, 2 * STEPS, 20, 200):
        mistake = f"{n} steps run when num_iterations is {STEPS}"
        images[f"{mistake}. Run train_step once in each pass."] = after(n, n)
    return {(name,) if name else (): image for name, image in _rows(images)}


MISTAKES = {
    "compute_content_cost": _content,
    "gram_matrix": _gram,
    "compute_layer_style_cost": _layer,
    "compute_style_cost": _style,
    "total_cost": _total,
    "model_nn": _training,
}
