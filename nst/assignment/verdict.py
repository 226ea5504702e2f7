"""Judge what a function did on inputs that were drawn here; what it did is untrusted data."""

import functools
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from nst.assignment.hints import CLUES, NOTHING, explain
from nst.assignment.mistakes import KNOWN_NUMBERS
from nst.assignment.reference import (
    allclose32,
    mistakes_that_compute,
    right_value,
    without_stand_in,
)
from nst.assignment.spec import LAYER_COUNT, PARAMETERS, PUBLISHED
from nst.assignment.trial import new_session
from nst.core.tensorflow import import_tensorflow

SIZES = (3, 5, 7)  # of the public tests' activations
LARGE = (1, 40, 48, 16)  # an activation for which 4 * n_C² * (n_H*n_W)² is beyond int32
TENSORS = ("compute_content_cost", "gram_matrix", "compute_layer_style_cost")
NO_GRADIENT = (
    "no gradient leads from its value to its argument, so nothing would train. Use tf functions "
    "all the way, without sess.run, .eval() or NumPy."
)
WRONG_GRADIENT = (
    "its value is right, but not its gradient, so it would not train. Look for tf.stop_gradient, "
    "and for numbers that come from sess.run, .eval() or NumPy."
)


class Verdict(NamedTuple):
    got: object = None  # its value for the course's input
    diagnosis: str = ""  # what is wrong and what to look at next
    note: str = ""  # what is worth reporting and no mistake


# --- inputs ------------------------------------------------------------------------------------


def draw(name, rng, sizes=SIZES):
    """Draw the inputs to try a function on: the published ones, if there are, and random ones.

    Arguments:
    name -- key of PARAMETERS
    rng -- NumPy generator
    sizes -- three different numbers, for n_H, n_W and n_C

    Returns:
    list of samples, each a list of arrays; those at 1 and 2 have the same shapes
    """
    h, w, c = sizes

    def normal(*shape):
        return rng.normal(1, 4, shape).astype(np.float32)

    if name == "model_nn":
        return [[rng.uniform(0.03, 0.07, ()), 9 * normal(1, h, w, 3), 9 * normal(1, h, w, 3)]]
    if name == "total_cost":
        first = [*np.random.RandomState(3).randn(2), 10, 40]  # np.random.seed(3), as in the course
        return [
            [np.asarray(n, float) for n in sample] for sample in [first, *rng.uniform(1, 9, (3, 4))]
        ]
    if name == "compute_style_cost":
        shapes = [(h, w, c), (c, h, w), (h, w, c), (w, c, h), (h, w, c)]
        assert len(shapes) == LAYER_COUNT
        return [
            [
                rng.permutation([1, 2]) + rng.uniform(0.1, 0.9, 2),
                rng.dirichlet(np.ones(len(shapes))),
                *(normal(1, *shape) for shape in shapes for _ in "SG"),
            ]
            for _ in range(3)
        ]
    if name == "gram_matrix":
        return [course_draws((3, 2), 1), *([normal(*s)] for s in ((h, w), (h, w), (c, h)))]
    shapes = (1, h, w, c), (1, h, w, c), LARGE, (1, c, h, w)
    pairs = [course_draws((1, 4, 4, 3), 2), *([normal(*s), normal(*s)] for s in shapes)]
    if name == "compute_content_cost":
        return pairs
    factors = [1.0, *rng.uniform(2, 3, len(shapes))]
    return [[np.asarray(factor), *pair] for factor, pair in zip(factors, pairs, strict=True)]


@functools.cache
def course_draws(shape, count):
    """Draw what the course's check cells draw: `count` arrays of float32."""
    tf = import_tensorflow()
    with tf.Graph().as_default(), new_session() as session:
        tf.set_random_seed(1)
        # Op seeds 3 and 9 are those that TensorFlow 1 gave to the two draws of a check cell.
        return session.run([tf.random_normal(shape, 1, 4, seed=seed) for seed in (3, 9)[:count]])


# --- verdicts ----------------------------------------------------------------------------------


def judge(name, samples, fields, arrays):
    """Judge a function by what it did on `samples`; `fields` and `arrays` are from `attempt`.

    Returns:
    Verdict

    Raises whatever fields and arrays of another form lead to.
    """
    if fields.get("complaint"):
        return Verdict(None, fields["complaint"][:400])
    if diagnosis := _signature_diagnosis(name, fields):
        return Verdict(None, diagnosis)
    values = [arrays[f"value{i}"] for i in range(len(samples)) if f"value{i}" in arrays]
    got = values[0] if values and name in (*TENSORS, "total_cost") else arrays.get("returned")
    with np.errstate(all="ignore"):
        diagnosis = _diagnose(name, samples, values, fields, arrays)
    printed = fields.get("printed", 0)
    note = f"It prints {printed:,} characters." if printed > 10_000 else ""
    return Verdict(got, diagnosis, note)


def _diagnose(name, samples, values, fields, arrays):
    clues = fields.get("clues", [])
    if len(values) == len(samples) and (found := _value_diagnosis(name, values, samples, fields)):
        return found
    if "stops" in fields:
        code = fields.get("code", "")[:80]
        where = f" in line {fields['line']}, `{code}`," if code else ""
        return f"it stops{where} with {explain(fields['stops'], clues, name)}"
    if "returned" in fields:
        return _returned_diagnosis(fields["returned"], arrays.get("returned"), clues)
    if len(values) < len(samples):
        return "it gives no value. Run its check cell."
    if name != "model_nn" and (found := _gradient_diagnosis(name, samples[-1], values[-1], arrays)):
        return found
    if name == "total_cost" and not allclose32(arrays.get("defaults", np.nan), 90.0):
        return "its def line must say alpha=10, beta=40, for calls without them."
    return ""


def _signature_diagnosis(name, fields):
    if "no_function" in fields:
        shown = fields["no_function"]
        return f"it is {shown:.60}, not a function of yours. Run the cell that defines it."
    found = fields.get("signature", "")[:200]
    new = {"content_output", "generated_output", "style_image_output"}
    if new & set(fields.get("parameters", [])):
        return (
            f"its arguments {found} are those of the TensorFlow 2 edition. This is the TensorFlow "
            f"1 course, whose arguments are ({PARAMETERS[name]})."
        )
    if not fields.get("binds", True):
        return f"its arguments are {found}. They must be ({PARAMETERS[name]})."
    return ""


def _value_diagnosis(name, values, samples, fields):
    """Name the mistakes that compute exactly `values`; empty if they are right."""
    right = [right_value(name, sample) for sample in samples]
    if name in PUBLISHED:
        right[0] = np.asarray(PUBLISHED[name])
    if all(map(allclose32, values, right)):
        return ""
    wanted = [part.partition("=")[0] for part in PARAMETERS[name].split(", ")]
    found = fields.get("parameters", [])[: len(wanted)]
    if found != wanted and sorted(found) == sorted(wanted):
        return (
            f"its arguments are in another order: {fields['signature'][:200]}. They must be "
            f"({PARAMETERS[name]}), as calls name none of them."
        )
    for inputs in (samples, without_stand_in(name, samples)):
        made = mistakes_that_compute(name, values, inputs)
        if made is not None:
            names, own = ", and ".join(step.name for step in made), [step.hint for step in made]
            return f"{names}. {' '.join(dict.fromkeys(own))}" if made else ""
    hints = [CLUES[clue][0] for clue in fields.get("clues", []) if clue in CLUES]
    return _unnamed(name, values, right, samples, hints)


def _returned_diagnosis(kind, value, clues):
    if kind == "nothing":
        return NOTHING
    if kind in ("a NumPy array", "a number"):
        return (
            f"it returns {kind}, not a tensor{_origin(value)}. Compute it from the arguments with "
            "tf functions, without sess.run, .eval() or NumPy."
        )
    if kind == "another graph":
        return "it returns a tensor of another graph. Use the arguments, nothing from outside."
    if kind.startswith("dtype "):
        return f"it returns {kind[6:40]}. It must stay tf.float32, as the arguments are."
    if kind.startswith("image: "):
        return (
            f"it returns {kind[7:80]}, not the image. Return what sess.run(model['input']) "
            "gives: an array (1, n_H, n_W, 3)."
        )
    return f"it returns {kind[:40]}. It must return one tensor."


def _gradient_diagnosis(name, sample, value, arrays):
    """Compare the gradient by the last argument with the slope of the right value, in NumPy.

    Of total_cost it is the gradient by J_content and J_style.
    """
    gradient = arrays.get("gradient")
    at = slice(0, 2) if name == "total_cost" else slice(-1, None)
    last = np.array(sample[at], float)
    if gradient is None or np.size(gradient) != last.size:
        return NO_GRADIENT
    # the stand-in is called, or it is not: the value shows which
    if not allclose32(value, right_value(name, sample)):
        (sample,) = without_stand_in(name, [sample])
    rng, slopes, found = np.random.default_rng(), [], []
    for _ in range(4):
        direction = rng.normal(0, 1, last.shape)
        ends = []
        for step in (1e-3, -1e-3):
            changed = [np.asarray(array, float) for array in sample]
            changed[at] = list(last + step * direction)
            ends.append(np.sum(right_value(name, changed)))
        slopes.append((ends[0] - ends[1]) / 2e-3)
        found.append(np.sum(np.reshape(gradient, last.shape) * direction))
    if np.max(np.abs(np.subtract(found, slopes))) <= 1e-2 * np.max(np.abs(slopes)):
        return ""
    return WRONG_GRADIENT if np.any(gradient) else NO_GRADIENT


def _unnamed(name, values, right, samples, hints):
    """Describe values that no known mistake computes."""
    if not all(np.all(np.isfinite(value)) for value in values):
        return "it is not finite. Look for a division by 0, or the root of a negative number."
    for value, expected in zip(values, right, strict=True):
        if np.shape(value) != np.shape(expected):
            wanted = np.shape(expected) or "one number, so sum over every axis"
            return " ".join([f"its shape is {np.shape(value)}. It should be {wanted}.", *hints])
    if hints:
        return f"its value is wrong. {' '.join(hints)}"
    if len(values) > 2 and allclose32(values[1], values[2]):
        return f"it is a constant{_origin(values[1])}. Compute it from the arguments."
    if name == "model_nn":
        return (
            "the image is not what that many steps make of input_image. Before the loop: the "
            "initializer, then assign; in each pass sess.run(train_step) once; nothing else may "
            "change model['input']."
        )
    if name == "total_cost":
        return "its value is wrong. J is alpha * J_content + beta * J_style, and nothing else."
    return _factor_diagnosis(name, values, right, samples)


def _factor_diagnosis(name, values, right, samples):
    ratios = [np.mean(v) / np.mean(r) for v, r in zip(values, right, strict=True)]
    if len(values) > 2 and allclose32(ratios[1], ratios[2]):
        if name not in ("compute_content_cost", "compute_layer_style_cost"):
            rest = "coeff times each layer's cost" if name == "compute_style_cost" else "tf.matmul"
            return f"it is {ratios[1]:.4g} times the right value. It has no factor besides {rest}."
        sizes = ", ".join(map(str, samples[1][-1].shape[1:]))
        return (
            f"a wrong factor: it is {ratios[1]:.4g} times the right value when n_H, n_W, n_C are "
            f"{sizes}. Which of them, or the 4, does the fraction lack, or have twice?"
        )
    return (
        "its value is wrong, in a way not known here. Compare the formula with your code factor by "
        "factor, and the .shape of each tensor with the one that its comment names."
    )


def _origin(number):
    """Return where a number comes from, if some edition of the course prints it."""
    for known, origin in KNOWN_NUMBERS.items():
        with suppress(TypeError, ValueError):
            if np.ndim(number) == 0 and np.isclose(float(number), known, rtol=1e-3):
                return f" ({known} is {origin})"
    return ""
