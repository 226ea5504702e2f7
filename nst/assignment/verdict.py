"""Judge what a function gave for inputs that were drawn here; what it gave is untrusted data."""

import numpy as np

from nst.assignment.hints import habits
from nst.assignment.mistakes import FACTORS, find_mistakes
from nst.assignment.reference import allclose32, right_value

WRONG_GRADIENT = (
    "its value is right, but not its gradient, so it would not train. Use tf functions all the "
    "way, without tf.stop_gradient, sess.run, .eval() or NumPy."
)
OVERFLOW = (
    "the fraction is computed in int32, which overflows at the size of real layers. Multiply the "
    "numbers of a_G.get_shape().as_list(), or tf.cast each to tf.float32 before squaring."
)
NOT_THAT_MANY_STEPS = (
    "the image is not what that many steps make of input_image. Before the loop: the initializer, "
    "then assign; in each pass sess.run(train_step) once; nothing else may change model['input']."
)
UNKNOWN = (
    "its value is wrong, in a way not known here. Compare the formula with your code factor by "
    "factor, and the .shape of each tensor with the one that its comment names."
)


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
    if name in ("compute_layer_style_cost", "compute_style_cost"):
        ways.append([[np.ones_like(secret), *rest] for secret, *rest in samples])
    with np.errstate(all="ignore"):
        for inputs in ways:
            right = [right_value(name, sample) for sample in inputs]
            if all(map(allclose32, values, right)):
                return _gradient_diagnosis(name, inputs[-1], arrays)
        found = filter(None, (_named(name, values, inputs) for inputs in ways))
        return next(found, "") or _unnamed(name, values, samples, habits(fields.get("code", "")))


def _named(name, values, samples):
    """Name the known mistakes that compute exactly `values`."""
    found = find_mistakes(name, values[-3:], samples[-3:])
    if found is None:
        return ""
    if not found:  # right, but for the large sample or for the sign
        is_right = allclose32(values[-1], right_value(name, samples[-1]))
        return OVERFLOW if is_right else "its sign is wrong. Costs are sums of squares."
    names, hints = zip(*(text.partition(". ")[::2] for text in found), strict=True)
    return f"{', and '.join(names)}. {' '.join(dict.fromkeys(hints))}"


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
    gradient = np.reshape(arrays["gradient"], last.shape)

    def value(point):
        changed = list(sample)
        changed[at] = list(point)
        return np.sum(right_value(name, changed))

    directions = np.random.default_rng().normal(0, 1e-3, (4, *last.shape))
    slopes = np.array([value(last + step) - value(last - step) for step in directions])
    found = np.array([2 * np.sum(gradient * step) for step in directions])
    return "" if np.abs(found - slopes).max() <= 1e-3 * np.abs(slopes).max() else WRONG_GRADIENT


def _unnamed(name, values, samples, hints):
    """Describe values that no known mistake computes."""
    value, right = values[-1], right_value(name, samples[-1])
    if not all(np.all(np.isfinite(each)) for each in values):
        return "it is not finite. Look for a division by 0, or the root of a negative number."
    if np.shape(value) != np.shape(right):
        wanted = np.shape(right) or "one number, so sum over every axis"
        return " ".join([f"its shape is {np.shape(value)}. It should be {wanted}.", *hints])
    if hints:
        return f"its value is wrong. {' '.join(hints)}"
    if len(values) > 2 and allclose32(values[1], values[2]):
        return "it is a constant. Compute it from the arguments."
    return NOT_THAT_MANY_STEPS if name == "model_nn" else f"{UNKNOWN} {FACTORS[name]}"
