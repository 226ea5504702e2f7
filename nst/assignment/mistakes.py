"""Tables of the mistakes that students make: NumPy alone.

A table is a dictionary from a mistake to what it computes. Its first row is the right way, whose
name is the hint for those mistakes that have none of their own ("mistake. hint"). If a value is
wrong, the mistake (or the combination of mistakes) that computes exactly this value is the one that
was made, if need be with a wrong factor, which is found by a search. The process of a submission
cannot read this file, which holds right answers.
"""

from itertools import product

import numpy as np

from nst.assignment.reference import allclose32, descend, gram, stand_in_cost, unroll
from nst.assignment.spec import LAYER_COUNT, STEPS

CONTENT_FRACTION = "The fraction is 1 / (4 * n_H * n_W * n_C), with brackets."
LAYER_FRACTION = "The fraction is 1 / (4 * n_C**2 * (n_H*n_W)**2), with brackets."
TOTAL = "J is alpha * J_content + beta * J_style, whatever the values of alpha and beta."
COMPARED_WITH_ITSELF = "An image is compared with itself, or // makes the fraction 0."
NO_RUN = "a_S must be numbers, sess.run(out), and a_G the tensor out."
THE_MEAN = "you took the mean, not the sum"
HALVED = "it is halved once too often. Look for tf.nn.l2_loss, which halves, or a 2 too many."
NO_QUARTER = "the 1/4 is forgotten"
ZERO = {  # why a function gives 0
    "compute_content_cost": COMPARED_WITH_ITSELF,
    "compute_layer_style_cost": COMPARED_WITH_ITSELF,
    "compute_style_cost": NO_RUN,
}
FACTORS = {  # what the right factor is, then names of wrong ones
    "compute_content_cost": {
        "": CONTENT_FRACTION,
        "4": NO_QUARTER,
        "0.5": HALVED,
        "4 * n_H * n_W * n_C": "the fraction is forgotten",
        "4 / n_H / n_W / n_C": f"{THE_MEAN}, and {NO_QUARTER}",
        "1 / n_H / n_W / n_C": f"{THE_MEAN}. Take tf.reduce_sum, as tf.reduce_mean also divides by "
        "the number of entries, or leave out the square of the denominator: that is the fraction "
        "of the style cost.",
    },
    "gram_matrix": {"": "The Gram matrix has no fraction; that comes in compute_layer_style_cost."},
    "compute_layer_style_cost": {
        "": LAYER_FRACTION,
        "4": NO_QUARTER,
        "0.5": HALVED,
        "0.25": "the 4 is squared too",
        "4 * n_H**2 * n_W**2 * n_C**2": "the fraction is forgotten",
        "1 / n_C**2": f"{THE_MEAN}. Only the fraction multiplies the sum of squares; "
        "tf.reduce_mean also divides by n_C².",
        "0.25 * n_H * n_W * n_C": "you wrote * 2 instead of ** 2",
    },
    "compute_style_cost": {
        "": "It has no factor besides coeff times each layer's cost.",
        "0.2": "it is divided by the number of layers. The weights already add up to 1.",
    },
    "total_cost": {"": TOTAL},
}


def find_mistakes(name, values, samples):
    """Find the smallest combination of known mistakes that computes `values` from `samples`.

    Signs are not compared, as a difference may be taken either way.

    Returns:
    tuple of sentences, "mistake. hint"; None if no combination gives the values
    """
    if name in ZERO and not any(map(np.any, values)):
        return (f"it is always 0. {ZERO[name]}",)
    samples = [[np.asarray(array, float) for array in sample] for sample in samples]
    tables, ways = [MISTAKES[name](*sample) for sample in samples], []
    for way in tables[0]:
        ratios = [_ratio(value, t[way]) for value, t in zip(values, tables, strict=True)]
        factor = _factor(ratios, [_sizes(name, sample) for sample in samples])
        if factor == "1":
            ways.append(way)
        elif factor and name in FACTORS:
            ways.append((*way, _factor_sentence(factor, bool(way), FACTORS[name])))
    return min(ways, key=len, default=None)


def _ratio(value, other):
    """Return the number by which `other` is multiplied in `value`, without its sign, or NaN."""
    if allclose32(value, other):
        return 1.0
    ratio = np.sum(value * other) / np.sum(other**2) if np.shape(value) == np.shape(other) else 0
    return np.abs(ratio) if ratio and allclose32(value, ratio * other) else np.nan


def _sizes(name, sample):
    """Return the dimensions that a factor may have."""
    if name == "gram_matrix":
        return {"n_C": sample[0].shape[0], "(n_H*n_W)": sample[0].shape[1]}
    shape = sample[-1].shape if name in ("compute_content_cost", "compute_layer_style_cost") else ()
    return dict(zip(("n_H", "n_W", "n_C"), shape[1:], strict=False))


def _factor(ratios, sizes):
    """Write ratios as one product of a number and powers of dimensions, or return "".

    With powers, the number is a power of 2: any number would fit too much.
    """
    powers = product(range(-4, 5), repeat=len(sizes[0]))
    powers = np.array(sorted(powers, key=lambda found: np.abs(found).sum()))
    numbers = ratios / np.exp(powers @ np.log([[*each.values()] for each in sizes]).T)
    exponents = np.log2(numbers[:, 0])
    is_one = np.ptp(numbers, axis=1) < 1e-3 * numbers[:, 0]
    is_one[1:] &= np.abs(exponents - np.round(exponents))[1:] < 1e-3
    if not is_one.any():
        return ""
    number, found = numbers[is_one][0][0], powers[is_one][0]
    above, below = [], []
    for name, power in zip(sizes[0], found, strict=True):
        side = above if power > 0 else below
        side += [name if abs(power) == 1 else f"{name}**{abs(power)}"] if power else []
    if not above or abs(number - 1) > 1e-3:
        above.insert(0, f"{number:.4g}" if abs(number - 1) > 1e-3 else "1")
    return " / ".join([" * ".join(above), *below])


def _factor_sentence(factor, is_also, names):
    if factor in names:
        return names[factor] if ". " in names[factor] else f"{names[factor]}. {names['']}"
    before = "the result is multiplied by" if is_also else "it is the right value times"
    return f"{before} {factor}. {names['']}"


def _ways(table):
    """Key a table by tuples of mistakes with their hints, the right way by ()."""
    (hint, right), *wrong = table.items()
    return {(): right} | {(n if ". " in n else f"{n}. {hint}",): value for n, value in wrong}


def _cost(matrices, fraction, fractions):
    """Combine the steps of a cost: matrices X and Y, and the distance of their entries.

    `fractions` are wrong ones that are not a number and powers of dimensions times the right one.
    """
    ways = {}
    for way, (X, Y) in _ways(matrices).items():
        distances = {
            "In this order: subtract, square each entry, sum.": np.sum((X - Y) ** 2),
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
        ways |= {way + more: fraction * d for more, d in _ways(distances).items()}
    X, Y = next(iter(matrices.values()))
    return ways | {(name,): np.sum((X - Y) ** 2) * other for name, other in fractions.items()}


def _scramble(a):
    return np.reshape(a, (a.shape[-1], -1))  # unroll's shape, but rows that mix the channels


def _content(a, b):
    _, h, w, c = a.shape  # n_H, n_W, n_C
    matrices = {
        "Give both the same reshape and transpose.": (unroll(a), unroll(b)),
        "a_C and a_G are unrolled differently, a_C without transpose": (_scramble(a), unroll(b)),
        "a_C and a_G are unrolled differently, a_G without transpose": (unroll(a), _scramble(b)),
    }
    added = {
        f"dimensions are added, not multiplied. {CONTENT_FRACTION}": 1 / (4 * (h + w + c)),
        f"dimensions are added, not multiplied, after 4 * n_H. {CONTENT_FRACTION}": 1
        / (4 * h + w + c),
    }
    return _cost(matrices, 1 / (4 * h * w * c), added)


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
    added = {
        f"dimensions are added, not multiplied. {LAYER_FRACTION}": 1 / (4 * c**2 * (h + w) ** 2),
        f"dimensions are added, not multiplied, all three. {LAYER_FRACTION}": 1
        / (4 * (h + w + c) ** 2),
    }
    return _cost(matrices, 1 / (4 * c**2 * (h * w) ** 2), added)


def _gram(A):
    n_C, N = A.shape
    products = {
        "Entry (i, j) is the dot product of channels i and j, the rows i and j of A.": gram(A),
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
    return _ways(products)


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
    for way, images in _ways(arguments).items():
        costs = np.array([stand_in_cost(secret, *pair) for pair in images])
        ways |= {way + more: J for more, J in _ways(_layer_sums(costs, weights)).items()}
    return ways


def _layer_sums(J, w):
    return {
        "Each pass adds (+=) coeff times the layer's cost; return comes after the loop.": J @ w,
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
        "J_style does not start at 0": 1 + J @ w,
    } | {
        f"only {n} of {LAYER_COUNT} layers count. Loop over all of STYLE_LAYERS.": J[:n] @ w[:n]
        for n in range(2, LAYER_COUNT)
    }


def _total(c, s, a, b):
    weights = {"alpha": a, "beta": b, "1": 1, "0": 0, "10": 10, "40": 40, "alpha * beta": a * b}
    weights |= {"(alpha + beta)": a + b, "1 / alpha": 1 / a, "1 / beta": 1 / b, "-beta": -b}
    sums = {
        f"it is {x} * J_content + {y} * J_style": weights[x] * c + weights[y] * s
        for x, y in product(weights, weights)
    }
    others = {
        "the products are multiplied": a * c * b * s,
        "alpha is added to J_content": a + c + b * s,
        "weights are added, not multiplied": a + c + b + s,
        "it is divided by alpha + beta": (a * c + b * s) / (a + b),
    }
    return _ways({TOTAL: a * c + b * s} | sums | others)


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
    return _ways(images)


MISTAKES = {
    "compute_content_cost": _content,
    "gram_matrix": _gram,
    "compute_layer_style_cost": _layer,
    "compute_style_cost": _style,
    "total_cost": _total,
    "model_nn": _training,
}
