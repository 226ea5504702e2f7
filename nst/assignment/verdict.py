"""Judge what a function did on inputs that were drawn here; what it did is a stranger's data."""

import functools
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from nst.assignment.hints import CLUES, NOTHING, explain
from nst.assignment.mistakes import KNOWN_NUMBERS
from nst.assignment.reference import close, mistakes_that_compute, right_value
from nst.assignment.spec import PARAMETERS, PUBLISHED
from nst.assignment.trial import new_session
from nst.core.tensorflow import import_tensorflow

FACTS = {  # what nst.assignment.trial.attempt may tell
    "no_function": str,
    "signature": str,
    "parameters": list,
    "clues": list,
    "binds": bool,
    "stops": str,
    "line": int,
    "code": str,
    "returned": str,
    "printed": int,
    "complaint": str,
}
SIZES = (3, 5, 7)  # of the public tests' pictures
TENSORS = ("compute_content_cost", "gram_matrix", "compute_layer_style_cost")
NO_GRADIENT = (
    "no gradient leads from its value to its argument, so nothing would train. Use tf functions "
    "all the way, without sess.run, .eval() or NumPy."
)
SWAPPED = (
    "it hands compute_layer_style_cost its arguments in the order (a_G, a_S). They must be "
    "(a_S, a_G): the numbers of the style picture, then the tensor."
)


class Outcome(NamedTuple):
    got: object = None  # its value for the course's input
    complaint: str = ""  # what is wrong and what to look at next
    note: str = ""  # what is no mistake, and worth saying


# --- inputs ------------------------------------------------------------------------------------


def draw(name, rng, sizes=SIZES):
    """Draw the inputs to try a function on: the published ones, where there are, and random ones.

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
        return [[9 * normal(1, h, w, 3), 9 * normal(1, h, w, 3)]]
    if name == "total_cost":
        first = [*np.random.RandomState(3).randn(2), 10, 40]  # np.random.seed(3), as in the course
        return [np.array(sample, float) for sample in [first, *rng.uniform(1, 9, (3, 4))]]
    if name == "compute_style_cost":
        layers = [(h, w, c), (h, w, c), (c, h, w)]
        pairs = [[normal(1, *shape) for shape in layers for _ in range(2)] for _ in range(3)]
        return [[rng.dirichlet((1, 1, 1)), *pair] for pair in pairs]
    if name == "gram_matrix":
        return [course_draws((3, 2), 1), *([normal(*s)] for s in ((h, w), (h, w), (c, h)))]
    shapes = (1, h, w, c), (1, h, w, c), (1, c, h, w)
    return [course_draws((1, 4, 4, 3), 2), *([normal(*s), normal(*s)] for s in shapes)]


@functools.cache
def course_draws(shape, count):
    """Draw what the course's check cells draw: `count` arrays of float32."""
    tf = import_tensorflow()
    with tf.Graph().as_default(), new_session() as session:
        tf.set_random_seed(1)
        # Op seeds 3 and 9 are those that TensorFlow 1 gave to the two draws of a check cell.
        return session.run([tf.random_normal(shape, 1, 4, seed=seed) for seed in (3, 9)[:count]])


def right_gram_matrix(A):
    import tensorflow.compat.v1 as tf

    return tf.matmul(A, A, transpose_b=True)


def right_layer_cost(a_S, a_G):
    import tensorflow.compat.v1 as tf

    GS, GG = (tf.einsum("mhwc,mhwd->cd", a, a) for a in (a_S, a_G))
    return tf.reduce_sum((GS - GG) ** 2) / (2 * tf.cast(tf.size(a_G), tf.float32)) ** 2


HELPERS = {  # function: (the one that it calls, a right one)
    "compute_layer_style_cost": ("gram_matrix", right_gram_matrix),
    "compute_style_cost": ("compute_layer_style_cost", right_layer_cost),
}


# --- verdicts ----------------------------------------------------------------------------------


def check_facts(fields):
    """Raise ValueError where facts are of other names or kinds than those of FACTS."""
    for name, value in fields.items():
        if type(value) is not FACTS.get(name):
            raise ValueError("what it sends is not what a trial gives")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise ValueError("what it sends is not what a trial gives")


def judge(name, samples, fields, arrays):
    """Judge a function by what it did on `samples`; `fields` and `arrays` are from `attempt`.

    Returns:
    Outcome
    """
    if fields.get("complaint"):
        return Outcome(None, fields["complaint"][:400])
    if complaint := _signature_complaint(name, fields):
        return Outcome(None, complaint)
    values = [arrays[f"value{i}"] for i in range(len(samples)) if f"value{i}" in arrays]
    got = values[0] if values and name != "model_nn" else arrays.get("returned")
    with np.errstate(all="ignore"):
        complaint = _complaint(name, samples, values, fields, arrays)
    printed = fields.get("printed", 0)
    note = f"It prints {printed:,} characters." if printed > 10_000 else ""
    return Outcome(got, complaint, note)


def _complaint(name, samples, values, fields, arrays):
    complaint, clues = "", fields.get("clues", [])
    if len(values) == len(samples):
        complaint = _value_complaint(name, values, samples, fields)
    if complaint:
        return complaint
    if "stops" in fields:
        code = fields.get("code", "")[:80]
        where = f" in line {fields['line']}, `{code}`," if code else ""
        return f"it stops{where} with {explain(fields['stops'], clues)}"
    if "returned" in fields:
        return _returned_complaint(fields["returned"], arrays.get("returned"), clues)
    if len(values) < len(samples):
        return "it gives no value. Run its check cell."
    if name in TENSORS:
        return _gradient_complaint(name, samples[-1], arrays.get("gradient"))
    if name == "total_cost" and not close(arrays.get("defaults", np.nan), 90.0):
        return "its def line must say alpha=10, beta=40, for calls without them."
    return ""


def with_right_helper(name, own, right, blamed):
    """Judge a function that calls another by two trials: with its own helper, with a right one.

    Arguments:
    own, right -- Outcomes
    blamed -- complaint about the helper itself, which it begins with the helper's name
    """
    if right.complaint:
        return right
    if own.complaint and own.complaint != SWAPPED:
        helper, _ = HELPERS[name]
        said = f"it is right, but the {helper} that it calls is not. {blamed or own.complaint}"
        return Outcome(own.got, said, own.note)
    return own


def _signature_complaint(name, fields):
    if "no_function" in fields:
        shown = fields["no_function"]
        return f"it is {shown:.60}, not a function of yours. Run the cell that defines it."
    found = fields.get("signature", "")[:200]
    new = {"content_output", "generated_output", "style_image_output"}
    if new & set(fields.get("parameters", [])):
        return (
            f"its arguments {found} are those of the TensorFlow 2 edition. This is the TensorFlow "
            f"1 course, where they are ({PARAMETERS[name]})."
        )
    if not fields.get("binds", True):
        return f"its arguments are {found}. They must be ({PARAMETERS[name]})."
    return ""


def _value_complaint(name, values, samples, fields):
    """Say what is wrong with values, naming the mistakes that compute exactly them."""
    right = [right_value(name, sample) for sample in samples]
    if name in PUBLISHED:
        right[0] = np.asarray(PUBLISHED[name])
    if all(map(close, values, right)):
        return ""
    wanted = [part.partition("=")[0] for part in PARAMETERS[name].split(", ")]
    found = fields.get("parameters", [])[: len(wanted)]
    if found != wanted and sorted(found) == sorted(wanted):
        return (
            f"its arguments stand in another order: {fields['signature'][:200]}. They must be "
            f"({PARAMETERS[name]}), as calls name none of them."
        )
    made = mistakes_that_compute(name, values, samples)
    hints = [CLUES[clue] for clue in fields.get("clues", []) if clue in CLUES]
    if made:
        names, own = ", and ".join(step.name for step in made), [step.hint for step in made]
        return f"{names}. {' '.join(own)}"
    return _unnamed(name, values, right, samples, hints)


def _returned_complaint(kind, value, clues):
    if kind == "nothing":
        return NOTHING
    if kind == "swapped":
        return SWAPPED
    if kind in ("a NumPy array", "a number"):
        return (
            f"it returns {kind}, not a tensor{_origin(value)}. Compute it from the arguments with "
            "tf functions, without sess.run, .eval() or NumPy."
        )
    if kind == "another graph":
        return "it returns a tensor of another graph. Use the arguments, nothing from outside."
    if kind.startswith("dtype "):
        return f"it returns {kind[6:40]}. It must stay tf.float32, as the arguments are."
    if kind.startswith("picture: "):
        return (
            f"it returns {kind[9:80]}, not the picture. Return what sess.run(model['input']) "
            "gives: an array (1, n_H, n_W, 3)."
        )
    return f"it returns {kind[:40]}. It must return one tensor."


def _gradient_complaint(name, sample, gradient):
    """Compare the gradient by the last argument with the slope of the right value, in NumPy."""
    if gradient is None or gradient.shape != sample[-1].shape:
        return NO_GRADIENT
    *others, last = [array.astype(float) for array in sample]
    way = np.random.default_rng(0).normal(0, 1, last.shape)
    up, down = (np.sum(right_value(name, [*others, last + h * way])) for h in (1e-3, -1e-3))
    slope, scale = (up - down) / 2e-3, np.abs(gradient).sum()
    if not abs(np.sum(gradient * way) - slope) <= 1e-3 * scale + 1e-6:
        return NO_GRADIENT
    return ""


def _unnamed(name, values, right, samples, hints):
    """Say what can be said of values that no known mistake computes."""
    if not all(np.all(np.isfinite(value)) for value in values):
        return "it is not finite. Look for a division by 0, or the root of a negative number."
    if len(values) > 2 and close(values[1], values[2]):
        return f"it is a constant{_origin(values[1])}. Compute it from the arguments."
    for value, expected in zip(values, right, strict=True):
        if np.shape(value) != np.shape(expected):
            wanted = np.shape(expected) or "one number, so sum over every axis"
            return " ".join([f"its shape is {np.shape(value)}. It should be {wanted}.", *hints])
    if hints:
        return f"its value is wrong. {' '.join(hints)}"
    if name == "model_nn":
        return (
            "the picture is not what that many steps make of input_image. Before the loop: the "
            "initializer, then assign; in each turn sess.run(train_step) once; nothing else may "
            "change model['input']."
        )
    if name == "total_cost":
        return "its value is wrong. J is alpha * J_content + beta * J_style, and nothing else."
    return _factor_complaint(name, values, right, samples)


def _factor_complaint(name, values, right, samples):
    ratios = [np.mean(v) / np.mean(r) for v, r in zip(values, right, strict=True)]
    if len(values) > 2 and close(ratios[1], ratios[2]):
        if name == "gram_matrix":
            return (
                f"it is {ratios[1]:.4g} times the right value. The Gram matrix has no factor: the "
                "matrix product is all of it."
            )
        if name in TENSORS:
            sizes = ", ".join(map(str, samples[1][0].shape[1:]))
            return (
                f"a wrong factor: it is {ratios[1]:.4g} times the right value where n_H, n_W, n_C "
                f"are {sizes}. Which of them, or the 4, does the fraction lack, or have twice?"
            )
    return (
        "its value is wrong, in a way not known here. Compare the formula with your code factor by "
        "factor, and the .shape of each tensor with the one that its comment names."
    )


def _origin(number):
    """Say where a number comes from that some edition of the course prints."""
    for known, origin in KNOWN_NUMBERS.items():
        with suppress(TypeError, ValueError):
            if np.ndim(number) == 0 and np.isclose(float(number), known, rtol=1e-3):
                return f" ({known} is {origin})"
    return ""
