"""Tables of the mistakes that students make: NumPy alone.

A table is a dictionary from a mistake to what it computes; the right way has no name. If a value is
wrong, the mistake (or the combination of mistakes) that computes exactly this value is the one that
was made. The process of a submission cannot read this file, which holds right answers.
"""

from itertools import product
from math import prod

import numpy as np

from nst.assignment.reference import allclose32, descend, gram, stand_in_cost, unroll
from nst.assignment.spec import LAYER_COUNT, STEPS


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


def _table(hint, ways):
    """Append a hint to the mistakes that have none of their own."""
    return {f"{name}. {hint}" if name and ". " not in name else name: ways[name] for name in ways}


def _combine(*tables):
    """Multiply each number of a table by each one of the others: {mistakes: product}."""
    ways = {}
    for way in product(*(table.items() for table in tables)):
        names, numbers = zip(*way, strict=True)
        ways[tuple(filter(None, names))] = prod(numbers)
    return ways


# A cost is made in steps: two matrices X and Y, the distance of their entries, its sum, a fraction
# before it. In fractions h, w and c are n_H, n_W and n_C.


def _distances(X, Y):
    return _table(
        "In this order: subtract, square each entry, sum.",
        {
            "": np.sum((X - Y) ** 2),
            "it is always 0. Either an image is compared with itself, or // (integer division) "
            "made the fraction 0.": 0.0,
            "the difference is not squared": np.sum(X - Y),
            "absolute values are summed, not squares": np.sum(np.abs(X - Y)),
            "the sum is squared, not its terms": np.sum(X - Y) ** 2,
            "a root is taken. The cost has no root, no norm.": np.sqrt(np.sum((X - Y) ** 2)),
            "the images are added, not subtracted": np.sum((X + Y) ** 2),
            "squares are subtracted, not the difference squared": np.sum(X**2 - Y**2),
            "only one of the two images is used, the first": np.sum(X**2),
            "only one of the two images is used, the second": np.sum(Y**2),
            "the images are multiplied, not subtracted": np.sum(X * Y),
        },
    )


def _cost(matrices, mean, fractions):
    """Combine the steps of a cost; `mean` is advice if it is smaller by the number of entries."""
    ways = {}
    for mistake, (X, Y) in matrices.items():
        sums = {
            "": 1,
            f"you took the mean, not the sum. {mean}": 1 / X.size,
            "it is halved once too often. tf.nn.l2_loss halves by itself: take tf.reduce_sum of "
            "tf.square.": 1 / 2,
        }
        ways |= _combine({mistake: 1}, _distances(X, Y), sums, fractions)
    return ways


def _scramble(a):
    return np.reshape(a, (a.shape[-1], -1))  # unroll's shape, but rows that mix the channels


def _content(a, b):
    _, h, w, c = a.shape
    matrices = _table(
        "Give both the same reshape and transpose, so that the same places are compared.",
        {
            "": (unroll(a), unroll(b)),
            "a_C and a_G are unrolled differently: a_C mixes the channels": (
                _scramble(a),
                unroll(b),
            ),
            "a_C and a_G are unrolled differently: a_G mixes the channels": (
                unroll(a),
                _scramble(b),
            ),
        },
    )
    fractions = _table(
        "The fraction is 1 / (4 * n_H * n_W * n_C), with brackets around the denominator.",
        {
            "": 1 / (4 * h * w * c),
            "the 1/4 is forgotten": 1 / (h * w * c),
            "you took 1/2 instead of 1/4": 1 / (2 * h * w * c),
            "only the 1/4 of the fraction is there": 1 / 4,
            "the fraction is forgotten": 1,
            "n_C is forgotten": 1 / (4 * h * w),
            "n_H * n_W is forgotten": 1 / (4 * c),
            "it multiplies by n_H * n_W * n_C": h * w * c / 4,
            "dimensions are added, not multiplied": 1 / (4 * (h + w + c)),
            "dimensions are added, not multiplied, after 4 * n_H": 1 / (4 * h + w + c),
        },
    )
    mean = (
        "tf.reduce_mean also divides by the number of entries, and so does a squared denominator, "
        "or the fraction of the style cost: take tf.reduce_sum and 1 / (4 * n_H * n_W * n_C)."
    )
    return _cost(matrices, mean, fractions)


def _layer(factor, a, b):
    _, h, w, c = a.shape

    def grams(arrange):
        return (factor or 1) * gram(arrange(a)), (factor or 1) * gram(arrange(b))

    right, scrambled = grams(unroll), grams(_scramble)
    matrices = _table(
        "Each channel must become a row: first reshape to (n_H*n_W, n_C), then transpose.",
        {
            "": right,
            "reshape without transpose mixes the channels": scrambled,
            "a_S and a_G are unrolled differently: a_S mixes the channels": (
                scrambled[0],
                right[1],
            ),
            "a_S and a_G are unrolled differently: a_G mixes the channels": (
                right[0],
                scrambled[1],
            ),
            "these are Gram matrices of the wrong side": grams(lambda x: unroll(x).T),
            "the rows are those of the image, not channels": grams(lambda x: x.reshape(h, -1).T),
            "it takes the Gram matrix of a difference. First gram_matrix of each image alone, then "
            "the difference of the two results.": ((factor or 1) * gram(unroll(a - b)), 0),
            "it compares activations, not Gram matrices. Style is which channels occur together: "
            "pass both unrolled images through gram_matrix.": (unroll(a), unroll(b)),
        },
    )
    fractions = _table(
        "The fraction is 1 / (4 * n_C² * (n_H*n_W)²), with brackets around the denominator.",
        {
            "": 1 / (4 * c**2 * (h * w) ** 2),
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
        },
    )
    mean = "tf.reduce_mean also divides by the number of entries, n_C²: take tf.reduce_sum."
    return _cost(matrices, mean, fractions)


def _gram(A):
    n_C, N = A.shape
    products = _table(
        "Entry (i, j) is the dot product of channels i and j, which are the rows i and j of A.",
        {
            "": gram(A),
            "it is always 0": 0 * gram(A),
            "it is the Gram matrix of the wrong side. AᵀA is (n_H*n_W, n_H*n_W) and compares "
            "places; channels are the rows of A.": A.T @ A,
            "you took a reshape, not the transpose. tf.reshape keeps the order of the numbers, and "
            "so mixes the rows: take tf.transpose.": A @ A.reshape(N, n_C),
            "the product is elementwise. * multiplies entry by entry; the matrix product is "
            "tf.matmul.": A * A,
            "everything is summed up": np.sum(A * A),
            "only the diagonal is there": np.sum(A * A, axis=1),
            "the mean is subtracted": gram(A - A.mean(axis=1, keepdims=True)),
            "a root is taken": np.sqrt(np.abs(gram(A))),
            "A is squared first": gram(A**2),
            "the rows are normalized": gram(A / np.linalg.norm(A, axis=1, keepdims=True)),
        },
    )
    divisors = _table(
        "The Gram matrix has no fraction; that comes in compute_layer_style_cost.",
        {
            "": 1,
            "it is halved": 1 / 2,
            "it is divided by n_H*n_W": 1 / N,
            "it is divided by n_C": 1 / n_C,
            "it is divided by n_C*n_H*n_W": 1 / (n_C * N),
            "it is divided by 2*n_C*n_H*n_W": 1 / (2 * n_C * N),
        },
    )
    return _combine(products, divisors)


def _style(secret, weights, *activations):
    pairs = list(zip(activations[::2], activations[1::2], strict=True))
    run = "a_S must be numbers, sess.run(out), and a_G the tensor out."
    arguments = {
        "": [(S, G) for S, G in pairs],
        f"a_S is not run, so both arguments are the generated image. {run}": [
            (G, G) for S, G in pairs
        ],
        f"a_G is run, so both arguments are the style image. {run}": [(S, S) for S, G in pairs],
        "it passes compute_layer_style_cost its arguments in the order (a_G, a_S). They must be "
        "(a_S, a_G): the numbers of the style image, then the tensor.": [(G, S) for S, G in pairs],
    }
    ways = {}
    for mistake, images in arguments.items():
        costs = np.array([stand_in_cost(secret, *pair) for pair in images])
        ways |= _combine({mistake: 1}, _layer_sums(costs, weights))
    return ways


def _layer_sums(J, w):
    return _table(
        "Each pass of the loop adds (+=) coeff times the layer's cost; return comes after it.",
        {
            "": J @ w,
            "it is always 0. a_S must be numbers, sess.run(out), and a_G the tensor out.": 0.0,
            "the layers' weights are forgotten": J.sum(),
            "0.2, or a mean, is used instead of each layer's own weight. Loop over the argument "
            "STYLE_LAYERS, and multiply by its coeff.": 0.2 * J.sum(),
            "only the last layer counts": J[-1] * w[-1],
            "only the last layer counts, without its weight": J[-1],
            "only the first layer counts": J[0] * w[0],
            "only the first layer counts, without its weight": J[0],
            "the first layer is left out": J[1:] @ w[1:],
            "weights are added, not multiplied": np.sum(J + w),
            "the layers' weights are squared": J @ w**2,
            "the sum so far is multiplied by coeff again in each pass": J
            @ np.cumprod(w[::-1])[::-1],
            "costs are multiplied, not added": np.prod(J * w),
            "it is divided by the number of layers. The weights already add up to 1, so nothing is "
            "left to divide.": J @ w / len(J),
            "J_style does not start at 0": 1 + J @ w,
        }
        | {
            f"only {n} of {LAYER_COUNT} layers count. Loop over all of STYLE_LAYERS.": J[:n] @ w[:n]
            for n in range(2, LAYER_COUNT)
        },
    )


def _total(c, s, a, b):
    arguments = "Use the arguments: they may have other values than their defaults."
    totals = _table(
        "alpha multiplies J_content, beta multiplies J_style, and J is the sum of the two "
        "products.",
        {
            "": a * c + b * s,
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
        },
    )
    return _combine(totals)


def _training(rate, noise, goal):
    def after(left, returned, start=1):
        """Images left in the model and returned, after so many steps from noise, or from zeros."""
        return np.stack([descend(start * noise, n, rate, goal) for n in (left, returned)])

    images = _table(
        "Return what sess.run(model['input']) gives after the last sess.run(train_step).",
        {
            "": after(STEPS, STEPS),
            "train_step did not run. Its name alone does nothing: sess.run(train_step), in each "
            "pass of the loop.": after(0, 0),
            "assign did not run. model['input'].assign(...) only describes it: sess.run it before "
            "the loop, and after the initializer, which would undo it.": after(STEPS, STEPS, 0),
            "neither assign nor train_step ran. Both only describe what to do: sess.run assign "
            "before the loop, train_step inside it.": after(0, 0, 0),
            "the noise is returned, not the image": after(STEPS, 0),
            "assign did not run, and the noise is returned. sess.run assign before the loop, and "
            "return what sess.run(model['input']) gives after it.": np.stack(
                [after(STEPS, STEPS, 0)[0], noise]
            ),
            "the image is read before the step, not after it": after(STEPS, STEPS - 1),
            "the image of the first step is returned": after(STEPS, 1),
            "the initializer runs in each pass of the loop. It sets the image back to zeros: run "
            "it before the loop, and before assign.": after(1, 1, 0),
            "only one step counts. Either assign is inside the loop, which starts anew in each "
            "pass, or return is: assign comes before the loop, train_step inside it, and return "
            "after it.": after(1, 1),
            "assign runs again in each pass, after the step. Run it before the loop.": after(0, 1),
        }
        | {
            f"{n} steps run when num_iterations is {STEPS}. The loop is for i in "
            "range(num_iterations), with one train_step in each pass.": after(n, n)
            for n in (STEPS - 1, STEPS + 1, 2 * STEPS, 20, 200)
        },
    )
    return {(name,) if name else (): image for name, image in images.items()}


MISTAKES = {
    "compute_content_cost": _content,
    "gram_matrix": _gram,
    "compute_layer_style_cost": _layer,
    "compute_style_cost": _style,
    "total_cost": _total,
    "model_nn": _training,
}
