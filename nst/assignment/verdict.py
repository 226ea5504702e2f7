"""Judge what a function gave for inputs that were drawn here; what it gave is untrusted data."""

from itertools import product

import numpy as np

from nst.assignment.hints import habits
from nst.assignment.mistakes import THE_MEAN, find_mistakes
from nst.assignment.reference import allclose32, right_value
from nst.assignment.spec import LAYER_COUNT

SIZES = (3, 5, 7)  # of the public tests' activations
LARGE = (40, 48, 16)  # of an activation for which 4 * n_C² * (n_H*n_W)² is beyond int32
HAS_STAND_IN = ("compute_layer_style_cost", "compute_style_cost")
NO_GRADIENT = (
    "no gradient leads from its value to its argument, so nothing would train. Use tf functions "
    "all the way, without sess.run, .eval() or NumPy."
)
WRONG_GRADIENT = (
    "its value is right, but not its gradient, so it would not train. Look for tf.stop_gradient, "
    "and for numbers that come from sess.run, .eval() or NumPy."
)
OVERFLOW = (
    "the fraction is computed in int32, which overflows at the size of real layers. Multiply "
    "Python's numbers from a_G.get_shape().as_list(), or tf.cast each to tf.float32 before it is "
    "squared."
)
NOT_THAT_MANY_STEPS = (
    "the image is not what that many steps make of input_image. Before the loop: the initializer, "
    "then assign; in each pass sess.run(train_step) once; nothing else may change model['input']."
)
FACTORS = {
    "compute_content_cost": "The fraction is 1 / (4 * n_H * n_W * n_C).",
    "gram_matrix": "It has no factor besides tf.matmul.",
    "compute_layer_style_cost": "The fraction is 1 / (4 * n_C**2 * (n_H * n_W)**2).",
    "compute_style_cost": "It has no factor besides coeff times each layer's cost.",
}
UNKNOWN = (
    "its value is wrong, in a way not known here. Compare the formula with your code factor by "
    "factor, and the .shape of each tensor with the one that its comment names."
)


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


def judge(name, samples, fields, arrays):
    """Judge a function by what it gave for `samples`; `fields` and `arrays` are from `attempt`.

    Returns:
    what is wrong and what to look at next; empty if nothing is

    Raises whatever fields and arrays of another form lead to.
    """
    if fields.get("complaint"):
        return str(fields["complaint"])
    values = [arrays[f"value{i}"] for i in range(len(samples))]
    ways = [samples]  # with the stand-in, or computing everything by itself
    if name in HAS_STAND_IN:
        ways.append([[0 * secret, *rest] for secret, *rest in samples])
    with np.errstate(all="ignore"):
        for inputs in ways:
            right = [right_value(name, sample) for sample in inputs]
            if all(map(allclose32, values, right)):
                return _gradient_diagnosis(name, inputs[-1], arrays)
        code = fields.get("code", "")
        found = filter(None, (_named(name, values, inputs, code) for inputs in ways))
        return next(found, "") or _unnamed(name, values, samples, habits(code))


def _named(name, values, samples, code):
    """Name the known mistakes that compute exactly `values`."""
    found = find_mistakes(name, values[-3:], samples[-3:])
    if found is None:
        return ""
    if not found:  # right, but for the large sample or for the sign
        is_right = allclose32(values[-1], right_value(name, samples[-1]))
        return OVERFLOW if is_right else "its sign is wrong. Costs are sums of squares."
    names, hints = zip(*(text.partition(". ")[::2] for text in found), strict=True)
    text = f"{', and '.join(names)}. {' '.join(dict.fromkeys(hints))}"
    if code and "mean" not in code:  # another way to the same value
        return text.replace(THE_MEAN, "it divides by the number of entries once too often")
    return text


def _gradient_diagnosis(name, sample, arrays):
    """Compare the gradient by the last argument with the slope of the right value, in NumPy.

    Of total_cost it is the gradient by J_content and J_style. model_nn has none.
    """
    if name == "model_nn":
        return ""
    if name == "total_cost" and not allclose32(arrays["defaults"], 90.0):
        return "its def line must say alpha=10, beta=40, for calls without them."
    at = slice(0, 2) if name == "total_cost" else slice(-1, None)
    last = np.array(sample[at], float)
    if "gradient" not in arrays or not np.any(arrays["gradient"]):
        return NO_GRADIENT
    gradient = np.reshape(arrays["gradient"], last.shape)

    def value(point):
        changed = list(sample)
        changed[at] = list(point)
        return np.sum(right_value(name, changed))

    directions = np.random.default_rng().normal(0, 1e-3, (4, *last.shape))
    slopes = np.array([value(last + step) - value(last - step) for step in directions])
    found = np.array([2 * np.sum(gradient * step) for step in directions])
    return "" if np.abs(found - slopes).max() <= 1e-2 * np.abs(slopes).max() else WRONG_GRADIENT


def _unnamed(name, values, samples, hints):
    """Describe values that no known mistake computes."""
    right = [right_value(name, sample) for sample in samples]
    if not all(np.all(np.isfinite(value)) for value in values):
        return "it is not finite. Look for a division by 0, or the root of a negative number."
    for value, expected in zip(values[-3:], right[-3:], strict=True):
        if np.shape(value) != np.shape(expected):
            wanted = np.shape(expected) or "one number, so sum over every axis"
            return " ".join([f"its shape is {np.shape(value)}. It should be {wanted}.", *hints])
    if hints:
        return f"its value is wrong. {' '.join(hints)}"
    if len(values) > 2 and allclose32(values[1], values[2]):
        return "it is a constant. Compute it from the arguments."
    if name == "model_nn":
        return NOT_THAT_MANY_STEPS
    if name == "total_cost":
        return "its value is wrong. J is alpha * J_content + beta * J_style, and nothing else."
    ratios = np.array([np.mean(v) / np.mean(r) for v, r in zip(values, right, strict=True)])[-3:]
    if factor := _factor(ratios, [sample[-1].shape for sample in samples[-3:]]):
        return f"it is the right value times {factor}. {FACTORS[name]}"
    return UNKNOWN


def _factor(ratios, shapes):
    """Write ratios as one product of a number and powers of n_H, n_W, n_C, or return ""."""
    powers = np.array(sorted(product(range(-4, 5), repeat=3), key=lambda p: np.abs(p).sum()))
    sizes = np.log([shape[1:] if len(shape) == 4 else (1, 1, 1) for shape in shapes])
    numbers = ratios / np.exp(powers @ sizes.T)
    is_one = np.ptp(numbers, axis=1) < 1e-3 * np.abs(numbers[:, 0])
    if not is_one.any():
        return ""
    number, found = numbers[is_one][0][0], powers[is_one][0]
    above, below = [], []
    for name, power in zip(("n_H", "n_W", "n_C"), found, strict=True):
        side = above if power > 0 else below
        side += [name if abs(power) == 1 else f"{name}**{abs(power)}"] if power else []
    if not above or abs(number - 1) > 1e-3:
        above.insert(0, f"{number:.4g}")
    shown = [" * ".join(above), *below]
    return " / ".join(shown)
