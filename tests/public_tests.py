"""Public tests: each takes your function, tries it, and says what to look at next.

    public_tests.gram_matrix_test(gram_matrix)

A test compares your function with the number that the course published, and with NumPy on random
pictures with n_H, n_W and n_C all different. It works in a graph and a session of its own: yours
stay as they are.

A mistake is data: a name, what it computes, a hint. Where your value is wrong, the mistake (or the
combination of mistakes) that computes exactly your value is the one you made.
"""

import inspect
import itertools
import os
import re
import traceback
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from numbers import Real
from tempfile import TemporaryDirectory
from textwrap import shorten
from types import ModuleType, SimpleNamespace
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import tensorflow.compat.v1 as tf
from IPython.utils.capture import capture_output

PARAMETERS = {
    "compute_content_cost": "a_C, a_G",
    "gram_matrix": "A",
    "compute_layer_style_cost": "a_S, a_G",
    "compute_style_cost": "model, STYLE_LAYERS",
    "total_cost": "J_content, J_style, alpha=10, beta=40",
    "model_nn": "sess, input_image, num_iterations=200",
}
PUBLISHED = {
    "compute_content_cost": 6.76559,
    "gram_matrix": [
        [6.42230511, -4.42912197, -2.09668207],
        [-4.42912197, 19.46583748, 19.56387138],
        [-2.09668207, 19.56387138, 20.6864624],
    ],
    "compute_layer_style_cost": 9.19028,
    "total_cost": 35.34667875478276,
}
KNOWN_NUMBERS = {  # of the check cells, in all their editions
    6.76559: "the course's J_content",
    9.19028: "the course's J_style_layer",
    35.34668: "the course's J",
    7.0568767: "J_content in the TensorFlow 2 edition, where the seed draws other pictures",
    14.01649: "J_style_layer in the TensorFlow 2 edition, where the seed draws other pictures",
    7.641: "what TensorFlow 2 prints for J_content, where the seed draws other pictures",
    2.285: "what TensorFlow 2 prints for J_style_layer, where the seed draws other pictures",
}


def compute_content_cost_test(target):
    """Check `target(a_C, a_G)`: two activations (1, n_H, n_W, n_C) -> scalar tensor."""
    _report("compute_content_cost", target)


def gram_matrix_test(target):
    """Check `target(A)`: (n_C, n_H * n_W) -> (n_C, n_C)."""
    _report("gram_matrix", target)


def compute_layer_style_cost_test(target):
    """Check `target(a_S, a_G)`: two activations (1, n_H, n_W, n_C) -> scalar tensor."""
    _report("compute_layer_style_cost", target)


def compute_style_cost_test(target):
    """Check `target(model, STYLE_LAYERS)` on a model of three small layers."""
    _report("compute_style_cost", target)


def total_cost_test(target):
    """Check `target(J_content, J_style, alpha=10, beta=40)` on numbers and on tensors."""
    _report("total_cost", target)


def model_nn_test(target):
    """Check `target(sess, input_image, num_iterations=200)` on a picture of 3 x 5 pixels."""
    _report("model_nn", target)


def _report(name, target):
    _, complaint = examine(name, target)
    if complaint:
        raise AssertionError(complaint)
    print("All tests passed.")


class Wrong(Exception):
    """What is wrong with an answer, and the value it gave for the course's input."""

    def __init__(self, complaint, got=None):
        super().__init__(complaint)
        self.got = got


def examine(name, target):
    """Try one function of the assignment.

    Arguments:
    name -- a key of PARAMETERS
    target -- the function

    Returns:
    got -- its value for the course's input, None where the course publishes none
    complaint -- what is wrong and what to look at next; empty if nothing is
    """
    try:
        _check_signature(name, target)
        return CHECKS[name](target), ""
    except Wrong as wrong:
        return wrong.got, f"{name}: {wrong}"


# --- mistakes as data --------------------------------------------------------------------------


class Mistake(NamedTuple):
    name: str  # empty for the right way
    value: Callable
    hint: str


def table(hint, *rows):
    """Make a list of mistakes from rows (name, value[, hint of its own]), the right way first."""
    return [Mistake(name, value, *(own or [hint])) for name, value, *own in rows]


def unroll(a):
    _, n_H, n_W, n_C = a.shape
    return a.reshape(n_H * n_W, n_C).T  # (1, n_H, n_W, n_C) -> (n_C, n_H*n_W)


def scramble(a):
    _, n_H, n_W, n_C = a.shape
    return a.reshape(n_C, n_H * n_W)  # the same shape, but rows that mix the channels


def gram(A):
    return A @ A.T  # (n_C, n_H*n_W) -> (n_C, n_C)


# A cost is made in steps: two matrices X and Y, the distance of their entries, its sum, a fraction
# before it. Each step has its table of mistakes. N is n_H * n_W.

SYMMETRIC = table("", ("", lambda a, b: (a, b)), ("", lambda a, b: (b, a)))  # either picture
CONTENT_MATRICES = table(
    "Give both the same reshape and transpose, so that the same places are compared.",
    ("", lambda a, b: (unroll(a), unroll(b))),
    ("a_C and a_G are unrolled differently", lambda a, b: (unroll(a), scramble(b))),
)
STYLE_MATRICES = table(
    "Each channel must become a row: first reshape to (n_H*n_W, n_C), then transpose.",
    ("", lambda a, b: (gram(unroll(a)), gram(unroll(b)))),
    (
        "reshape without transpose mixes the channels",
        lambda a, b: (gram(scramble(a)), gram(scramble(b))),
    ),
    ("a_S and a_G are unrolled differently", lambda a, b: (gram(unroll(a)), gram(scramble(b)))),
    (
        "these are Gram matrices of the wrong side",
        lambda a, b: (gram(unroll(a).T), gram(unroll(b).T)),
    ),
    (
        "it takes the Gram matrix of a difference",
        lambda a, b: (gram(unroll(a - b)), 0),
        "First gram_matrix of each picture alone, then the difference of the two results.",
    ),
    (
        "it compares activations, not Gram matrices",
        lambda a, b: (unroll(a), unroll(b)),
        "Style is what goes with what: pass both unrolled pictures through gram_matrix.",
    ),
)
DISTANCES = table(
    "In this order: subtract, square each entry, sum.",
    ("", lambda X, Y: np.sum((X - Y) ** 2)),
    (
        "it is always 0",
        lambda X, Y: 0.0,
        "Either a picture is compared with itself, or // (integer division) made the fraction 0.",
    ),
    ("the difference is not squared", lambda X, Y: np.sum(X - Y)),
    ("absolute values stand for squares", lambda X, Y: np.sum(np.abs(X - Y))),
    ("the sum is squared, not its terms", lambda X, Y: np.sum(X - Y) ** 2),
    (
        "a root is taken",
        lambda X, Y: np.sqrt(np.sum((X - Y) ** 2)),
        "The cost has no root, no norm.",
    ),
    ("the pictures are added, not subtracted", lambda X, Y: np.sum((X + Y) ** 2)),
    ("squares are subtracted, not the difference squared", lambda X, Y: np.sum(X**2 - Y**2)),
    ("only one of the two pictures is used", lambda X, Y: np.sum(X**2)),
)
SUMS = table(  # of so many entries
    "",
    ("", lambda entries: 1),
    (
        "a mean stands for the sum",
        lambda entries: 1 / entries,
        "tf.reduce_mean also divides by the number of entries: take tf.reduce_sum.",
    ),
    (
        "it is halved once too often",
        lambda entries: 1 / 2,
        "tf.nn.l2_loss halves by itself: take tf.reduce_sum of tf.square.",
    ),
)
CONTENT_FRACTIONS = table(
    "The fraction is 1 / (4 * n_H * n_W * n_C), with brackets around the denominator.",
    ("", lambda N, n_C: 1 / (4 * N * n_C)),
    ("the 1/4 is forgotten", lambda N, n_C: 1 / (N * n_C)),
    ("1/2 stands for 1/4", lambda N, n_C: 1 / (2 * N * n_C)),
    ("only the 1/4 of the fraction is there", lambda N, n_C: 1 / 4),
    ("the fraction is forgotten", lambda N, n_C: 1),
    ("it multiplies by n_H * n_W * n_C", lambda N, n_C: N * n_C / 4),
)
STYLE_FRACTIONS = table(
    "The fraction is 1 / (4 * n_C² * (n_H*n_W)²), with brackets around the denominator.",
    ("", lambda N, n_C: 1 / (4 * n_C**2 * N**2)),
    ("the 1/4 is forgotten", lambda N, n_C: 1 / (n_C * N) ** 2),
    ("1/2 stands for 1/4", lambda N, n_C: 1 / (2 * n_C**2 * N**2)),
    ("the 4 is squared too", lambda N, n_C: 1 / (4 * n_C * N) ** 2),
    ("n_C is not squared", lambda N, n_C: 1 / (4 * n_C * N**2)),
    ("n_H*n_W is not squared", lambda N, n_C: 1 / (4 * n_C**2 * N)),
    ("neither n_C nor n_H*n_W is squared", lambda N, n_C: 1 / (4 * n_C * N)),
    ("n_C² is forgotten", lambda N, n_C: 1 / (4 * N**2)),
    ("(n_H*n_W)² is forgotten", lambda N, n_C: 1 / (4 * n_C**2)),
    ("only the 1/4 of the fraction is there", lambda N, n_C: 1 / 4),
    ("the fraction is forgotten", lambda N, n_C: 1),
    ("it multiplies by n_C² * (n_H*n_W)²", lambda N, n_C: n_C**2 * N**2 / 4),
)
CONTENT_STEPS = SYMMETRIC, CONTENT_MATRICES, DISTANCES, SUMS, CONTENT_FRACTIONS
LAYER_STEPS = SYMMETRIC, STYLE_MATRICES, DISTANCES, SUMS, STYLE_FRACTIONS

PRODUCTS = table(
    "Entry (i, j) is the dot product of channels i and j, which are the rows i and j of A.",
    ("", gram),
    ("it is always 0", lambda A: 0 * gram(A)),
    (
        "it is the Gram matrix of the wrong side",
        lambda A: A.T @ A,
        "AᵀA is (n_H*n_W, n_H*n_W) and compares places; channels are the rows of A.",
    ),
    (
        "a reshape stands for the transpose",
        lambda A: A @ A.reshape(A.shape[::-1]),
        "tf.reshape keeps the order of the numbers, and so mixes the rows: take tf.transpose.",
    ),
    (
        "the product is elementwise",
        lambda A: A * A,
        "* multiplies entry by entry; the matrix product is tf.matmul.",
    ),
    ("everything is summed up", lambda A: np.sum(A * A)),
    ("only the diagonal is there", lambda A: np.sum(A * A, axis=1)),
    ("the mean is subtracted", lambda A: gram(A - A.mean(axis=1, keepdims=True))),
    ("the rows are normalised", lambda A: gram(A / np.linalg.norm(A, axis=1, keepdims=True))),
)
DIVISORS = table(
    "The Gram matrix has no fraction; that comes in compute_layer_style_cost.",
    ("", lambda n_C, N: 1),
    ("it is divided by n_H*n_W", lambda n_C, N: N),
    ("it is divided by n_C", lambda n_C, N: n_C),
    ("it is divided by n_C*n_H*n_W", lambda n_C, N: n_C * N),
    ("it is divided by 2*n_C*n_H*n_W", lambda n_C, N: 2 * n_C * N),
)
EVERY_TURN = "Each turn of the loop adds (+=) coeff times the layer's cost; return stands below it."
LAYER_SUMS = table(  # of the layers' costs J and their weights w
    EVERY_TURN,
    ("", lambda J, w: J @ w),
    (
        "it is always 0",
        lambda J, w: 0.0,
        "a_S must be numbers, sess.run(out), and a_G the tensor out: else both are one picture.",
    ),
    ("the layers' weights are forgotten", lambda J, w: J.sum()),
    ("0.2 stands for each layer's own weight", lambda J, w: 0.2 * J.sum()),
    ("only the last layer counts", lambda J, w: J[-1] * w[-1]),
    ("only the first layer counts", lambda J, w: J[0] * w[0]),
    ("only the last layer counts, without its weight", lambda J, w: J[-1]),
    ("only the first layer counts, without its weight", lambda J, w: J[0]),
    ("weights are added, not multiplied", lambda J, w: np.sum(J + w)),
    (
        "it is divided by the number of layers",
        lambda J, w: J @ w / len(J),
        "The weights already add up to 1, so nothing is left to divide.",
    ),
    ("J_style does not start at 0", lambda J, w: 1 + J @ w, EVERY_TURN),
)
TOTALS = table(  # of J_content, J_style, alpha, beta
    "alpha weighs J_content, beta weighs J_style, and J is the sum of the two products.",
    ("", lambda c, s, a, b: a * c + b * s),
    ("it is always 0", lambda c, s, a, b: 0.0),
    ("alpha and beta are swapped", lambda c, s, a, b: b * c + a * s),
    ("alpha and beta are forgotten", lambda c, s, a, b: c + s),
    ("alpha is forgotten", lambda c, s, a, b: c + b * s),
    ("beta is forgotten", lambda c, s, a, b: a * c + s),
    ("alpha weighs both", lambda c, s, a, b: a * (c + s)),
    ("beta weighs both", lambda c, s, a, b: b * (c + s)),
    ("J_style is left out", lambda c, s, a, b: a * c),
    ("J_content is left out", lambda c, s, a, b: b * s),
    ("J_content counts twice", lambda c, s, a, b: (a + b) * c),
    ("J_style counts twice", lambda c, s, a, b: (a + b) * s),
    ("J_style is subtracted", lambda c, s, a, b: a * c - b * s),
    ("the products are multiplied", lambda c, s, a, b: a * c * b * s),
    ("weights are added, not multiplied", lambda c, s, a, b: a + c + b + s),
    ("it is divided by alpha + beta", lambda c, s, a, b: (a * c + b * s) / (a + b)),
    ("it is divided by 2", lambda c, s, a, b: (a * c + b * s) / 2),
    (
        "10 and 40 stand for alpha and beta",
        lambda c, s, a, b: 10 * c + 40 * s,
        "Use the arguments: they may have other values than their defaults.",
    ),
)
STEPS = 3
TRAININGS = table(  # (the picture that stays in the model, the returned one) after STEPS steps
    "Return what sess.run(model['input']) gives after the last sess.run(train_step).",
    ("", lambda noise, after: (after(noise, STEPS), after(noise, STEPS))),
    (
        "train_step did not run",
        lambda noise, after: (noise, noise),
        "Its name alone does nothing: sess.run(train_step), in each turn of the loop.",
    ),
    (
        "assign did not run",
        lambda noise, after: (after(0 * noise, STEPS), after(0 * noise, STEPS)),
        "model['input'].assign(...) only describes it: sess.run it before the loop, and after the "
        "initializer, which would undo it.",
    ),
    (
        "neither assign nor train_step ran",
        lambda noise, after: (0 * noise, 0 * noise),
        "Both only describe what to do: sess.run assign before the loop, train_step inside it.",
    ),
    ("the noise is returned, not the picture", lambda noise, after: (after(noise, STEPS), noise)),
    (
        "assign did not run, and the noise is returned",
        lambda noise, after: (after(0 * noise, STEPS), noise),
        "sess.run assign before the loop, and return what sess.run(model['input']) gives after it.",
    ),
    (
        "the picture is read before the step, not after it",
        lambda noise, after: (after(noise, STEPS), after(noise, STEPS - 1)),
    ),
    (
        "the picture of the first step is returned",
        lambda noise, after: (after(noise, STEPS), after(noise, 1)),
    ),
    (
        "only one step counts",
        lambda noise, after: (after(noise, 1), after(noise, 1)),
        "assign stands before the loop, train_step inside it, and return after it.",
    ),
    *(
        (
            f"{steps} steps run where num_iterations is {STEPS}",
            lambda noise, after, steps=steps: (after(noise, steps), after(noise, steps)),
            "The loop is for i in range(num_iterations), with one train_step in each turn.",
        )
        for steps in (STEPS - 1, STEPS + 1, 2 * STEPS, 200)
    ),
)

ERRORS = [  # what a message contains, and what to do
    (
        r"NoneType|None values|value \(None\)|image is object",
        "A blank is still None, here or in a function that this one calls.",
    ),
    ("is not defined", "Run the cell that defines it, or look for a slip in the name."),
    (
        "same graph|not an element of this graph|different graph",
        "It uses a tensor from outside, of a stale default graph that tf.reset_default_graph() has "
        "replaced: use the arguments only.",
    ),
    ("ufunc|numpy array", "NumPy does not know tensors: take the tf function of that name."),
    ("attribute 'numpy'", "That is TensorFlow 2: in a graph only sess.run gives numbers."),
    (
        "'numpy.ndarray' object has no attribute",
        "compute_style_cost passes a_S as an array: take the dimensions from a_G.",
    ),
    ("Dimension'", "a_G.shape holds Dimensions, not numbers: take a_G.get_shape().as_list()."),
    ("same dtype|of type float32|has type int32|type float64", "Make all numbers tf.float32."),
    (
        "FailedPrecondition|ninitialized",
        "A variable has no value yet: sess.run the initializer first, and each assign.",
    ),
    ("annot reshape", "Count the entries: an activation unrolls to n_H*n_W times n_C."),
    ("must be equal|ncompatible|not compatible|not a matrix", "Compare the .shape of both sides."),
    ("referenced before|not associated", "The line that sets this variable is missing or later."),
    ("unpack", "An activation's get_shape().as_list() has four entries: m, n_H, n_W, n_C."),
    ("KeyError", "Loop over the argument STYLE_LAYERS and take model[layer_name]."),
    ("etch argument", "sess.run takes tensors and ops of the graph, nothing else."),
]


# --- trying a function -------------------------------------------------------------------------


def _check_signature(name, target):
    if not callable(target) or not inspect.isfunction(inspect.unwrap(target)):
        raise Wrong(f"it is {target!r:.60}, no function of yours. Run the cell that defines it.")
    found = inspect.signature(target)
    if {"content_output", "generated_output", "style_image_output"} & set(found.parameters):
        raise Wrong(
            f"its arguments {found} are those of the TensorFlow 2 edition. This is the TensorFlow "
            f"1 course, where they are ({PARAMETERS[name]})."
        )
    try:
        found.bind(*PARAMETERS[name].split(", "))
    except TypeError:
        raise Wrong(f"its arguments are {found}. They must be ({PARAMETERS[name]}).") from None


SHAPES = [(1, 4, 4, 3), (1, 3, 5, 7), (1, 3, 5, 7), (1, 7, 3, 5)]  # the course's, then primes


def _cost(pictures, order, matrices, distance, mean, fraction):
    a, b = order(*pictures)
    _, n_H, n_W, n_C = a.shape
    X, Y = matrices(a, b)
    return fraction(n_H * n_W, n_C) * mean(X.size) * distance(X, Y)


def right_cost(steps, a, b):
    """Compute a cost in NumPy by the right way of each of its steps."""
    return _cost((a, b), *(table[0].value for table in steps))


def _product(matrices, multiply, divisor):
    (A,) = matrices
    return multiply(A) / divisor(*A.shape)


def _check_content(target):
    return _check_tensors("compute_content_cost", target, SHAPES, 2, _cost, CONTENT_STEPS)


def _check_gram(target):
    shapes = [(3, 2), (3, 5), (3, 5), (7, 3)]
    return _check_tensors("gram_matrix", target, shapes, 1, _product, (PRODUCTS, DIVISORS))


def _check_layer(target, **helper):
    name = "compute_layer_style_cost"
    return _check_tensors(name, target, SHAPES, 2, _cost, LAYER_STEPS, **helper)


def _check_tensors(name, target, shapes, count, compute, steps, **helper):
    """Compare `target` of `count` tensors with compute(arrays, *steps), on arrays of `shapes`."""
    with tf.Graph().as_default(), _session() as session:
        tf.set_random_seed(1)
        # Op seeds 3 and 9 are those that TensorFlow 1 gave to the two draws of a check cell.
        draws = [tf.random_normal(shapes[0], 1, 4, seed=seed) for seed in (3, 9)[:count]]
        samples = [session.run(draws)]
    rng = np.random.default_rng(0)  # np.random itself stays where the lab's noise needs it
    for shape in shapes[1:]:
        samples.append([rng.normal(1, 4, shape).astype(np.float32) for _ in range(count)])

    values = []
    with _trial(target, **helper) as session:
        for sample in samples:
            inputs = [tf.constant(array) for array in sample]
            output = target(*inputs)
            values.append(_run(session, output))
        trainable = tf.gradients(output, inputs[-1])[0] is not None
    _compare(values, samples, compute, steps, PUBLISHED[name])
    if not trainable:
        raise Wrong(
            "no gradient leads from its value to its argument, so nothing would train. Use tf "
            "functions all the way, without sess.run, .eval() or NumPy.",
            values[0],
        )
    return values[0]


def _check_style(target, **helper):
    rng = np.random.default_rng(0)
    values, samples = [], []
    with _trial(target, **helper) as session:
        for _ in range(3):
            pairs = [rng.normal(1, 4, (2, *shape)).astype(np.float32) for shape in SHAPES[1:]]
            pictures = [tf.Variable(style) for style, _ in pairs]
            session.run([picture.initializer for picture in pictures])
            names = ("conv1_1", "conv2_1", "conv3_1")
            weights = rng.dirichlet((1, 1, 1))
            output = target(
                dict(zip(names, map(tf.identity, pictures), strict=True)),
                list(zip(names, weights.tolist(), strict=True)),
            )
            for picture, (_, generated) in zip(pictures, pairs, strict=True):
                session.run(picture.assign(generated))
            values.append(_run(session, output))
            J = np.array([right_cost(LAYER_STEPS, *pair) for pair in pairs])
            samples.append((J, weights))
    _compare(values, samples, lambda sample, total: total(*sample), [LAYER_SUMS])


def _check_total(target):
    first = [*np.random.RandomState(3).randn(2), 10, 40]  # np.random.seed(3) in the check cell
    samples = [first, *np.random.default_rng(0).uniform(1, 9, (3, 4)).tolist()]
    values = []
    with _trial(target) as session:
        for sample in samples:
            J = target(*map(float, sample))
            values.append(J if isinstance(J, Real) else _run(session, J))
        _compare(values, samples, lambda costs, J: J(*costs), [TOTALS], PUBLISHED["total_cost"])
        _run(session, target(tf.constant(1.0), tf.constant(2.0), 10, 40))
    *_, alpha, beta = inspect.signature(target).parameters.values()
    if (alpha.default, beta.default) != (10, 40):
        raise Wrong("its def line must say alpha=10, beta=40, for calls without them.", values[0])
    return values[0]


def _check_model_nn(target):
    noise, goal = np.random.default_rng(0).normal(0, 9, (2, 1, 3, 5, 3)).astype(np.float32)
    rate = 0.05

    def after(picture, steps):
        for _ in range(steps):
            picture = picture - rate * 2 * (2 * picture - goal)
        return picture

    with (
        _trial(target) as session,
        TemporaryDirectory() as folder,
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        capture_output(stdout=False, stderr=False),  # what is displayed
    ):
        picture = tf.Variable(np.zeros_like(noise))
        J_content, J_style = tf.reduce_sum((picture - goal) ** 2), tf.reduce_sum(picture**2)
        J = J_content + J_style
        # Momentum 0 is plain descent, whose steps `after` repeats, with variables to initialise.
        train_step = tf.train.MomentumOptimizer(rate, 0).minimize(J)
        its_globals = inspect.unwrap(target).__globals__
        stand_ins = {"save_image": lambda path, image: None, "OUTPUT_DIR": folder}
        for name, module in its_globals.items():
            if isinstance(module, ModuleType) and hasattr(module, "save_image"):
                stand_ins[name] = SimpleNamespace(**vars(module) | stand_ins)
        stand_ins |= {"model": {"input": picture}, "train_step": train_step}
        stand_ins |= {"J": J, "J_content": J_content, "J_style": J_style}
        with patch.dict(its_globals, stand_ins):
            returned = target(session, noise, STEPS)
        if returned is None:
            raise Wrong(NOTHING)
        stayed = session.run(picture)
    if not isinstance(returned, np.ndarray) or returned.shape != noise.shape:
        shape = f" of shape {returned.shape}" if isinstance(returned, np.ndarray) else ""
        raise Wrong(
            f"it returns a {type(returned).__name__}{shape}, not the picture. Return what "
            "sess.run(model['input']) gives: an array (1, n_H, n_W, 3)."
        )
    _compare([(stayed, returned)], [(noise, after)], lambda s, ways: ways(*s), [TRAININGS])


def _with_helper(check, helper, right):
    """Check a function that calls `helper`: with a right helper first, then with the student's."""

    def both(target):
        check(target, **{helper: right})
        try:
            return check(target)
        except Wrong as wrong:
            _, complaint = examine(helper, inspect.unwrap(target).__globals__.get(helper))
            raise Wrong(
                f"it is right, but the {helper} that it calls is not. {complaint or wrong}",
                wrong.got,
            ) from None

    return both


def right_gram_matrix(A):
    return tf.matmul(A, A, transpose_b=True)


def right_layer_cost(a_S, a_G):
    GS, GG = (tf.einsum("mhwc,mhwd->cd", a, a) for a in (a_S, a_G))
    return tf.reduce_sum((GS - GG) ** 2) / (2 * tf.cast(tf.size(a_G), tf.float32)) ** 2


CHECKS = {
    "compute_content_cost": _check_content,
    "gram_matrix": _check_gram,
    "compute_layer_style_cost": _with_helper(_check_layer, "gram_matrix", right_gram_matrix),
    "compute_style_cost": _with_helper(_check_style, "compute_layer_style_cost", right_layer_cost),
    "total_cost": _check_total,
    "model_nn": _check_model_nn,
}


def _session():
    return tf.Session(config=tf.ConfigProto(device_count={"GPU": 0}))  # same numbers everywhere


@contextmanager
def _trial(target, **stand_ins):
    """A graph and a session for `target`, with `sess` and `stand_ins` as its notebook's globals."""
    function = inspect.unwrap(target)
    # TensorFlow 1's tensors had no __array__, so that np.power(tensor, 2) made an op.
    array = vars(tf.Tensor).get("__array__")
    with (
        tf.Graph().as_default(),
        _session() as session,
        patch.dict(function.__globals__, sess=session, **stand_ins),
    ):
        try:
            if array:
                del tf.Tensor.__array__
            yield session
        except Wrong:
            raise
        except (Exception, SystemExit) as error:
            where = _locate(error, function.__code__.co_filename)
            raise Wrong(f"it stops{where} with {explain(error)}") from None
        finally:
            if array:
                tf.Tensor.__array__ = array


def _locate(error, file):
    """Quote the last line of `file` that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [(frame.lineno, frame.line) for frame in frames if frame.filename == file]
    number, line = lines[-1] if lines else (0, "")
    return f" in line {number}, `{shorten(line, 80, placeholder=' ...')}`," if line else ""


def explain(error):
    """Say in short what an error says, and what to do about it."""
    said = f"{type(error).__name__}: {error}"
    hints = (hint for pattern, hint in ERRORS if re.search(pattern, said))
    # TensorFlow goes on for many lines, and names graphs and nodes that no student has seen.
    short = re.split(r" \(graphs are| for '\{\{|: Graph execution|\n", said)[0][:200].rstrip(". ")
    return f"{short}. {next(hints, 'Look at that line first.')}"


NOTHING = "it returns None. Either a blank is still None, or the return is missing."


def _run(session, output):
    """Run `output`, which must be a float32 tensor of the session's graph."""
    if output is None:
        raise Wrong(NOTHING)
    if isinstance(output, int | float | np.ndarray | np.generic):
        kind = "a NumPy array" if np.ndim(output) else "a number"
        raise Wrong(
            f"it returns {kind}, not a tensor{_origin(output)}. Compute it from the arguments with "
            "tf functions, without sess.run, .eval() or NumPy.",
            output,
        )
    if not isinstance(output, tf.Tensor):
        raise Wrong(f"it returns a {type(output).__name__}. It must return one tensor.")
    if output.graph is not session.graph:
        raise Wrong(
            "it returns a tensor of another graph. Use the arguments, nothing from outside."
        )
    if output.dtype != tf.float32:
        raise Wrong(
            f"it returns {output.dtype.name}. It must stay tf.float32, as the arguments are."
        )
    return session.run(output)


def _compare(values, samples, compute, steps, published=None):
    """Pass if `values` are right, else name the mistakes that compute exactly them."""

    def computed(way):  # one by one, as most ways are out after the first
        return (compute(sample, *(step.value for step in way)) for sample in samples)

    right = list(computed([table[0] for table in steps]))
    if published is not None:
        right[0] = published
    if all(map(_close, values, right)):
        return
    ways = sorted(itertools.product(*steps), key=lambda way: sum(bool(step.name) for step in way))
    for way in ways:
        if all(map(_close, values, computed(way))):
            made = [step for step in way if step.name]
            names = ", and ".join(step.name for step in made)
            raise Wrong(f"{names}. {' '.join(step.hint for step in made)}", values[0])
    raise Wrong(_unnamed(values, right), values[0])


def _unnamed(values, right):
    """Say what can be said of values that no known mistake computes."""
    if not all(np.all(np.isfinite(value)) for value in values):
        return "it is not finite. Look for a division by 0, or the root of a negative number."
    if len(values) > 2 and _close(values[1], values[2]):
        return f"it is a constant{_origin(values[1])}. Compute it from the arguments."
    for value, expected in zip(values, right, strict=True):
        if np.shape(value) != np.shape(expected):
            wanted = np.shape(expected) or "one number, so sum over every axis"
            return f"its shape is {np.shape(value)}. It should be {wanted}."
    if len(values) > 2:
        ratios = [
            np.mean(value) / np.mean(expected)
            for value, expected in zip(values, right, strict=True)
        ]
        if _close(ratios[1], ratios[2]):
            return (
                f"a wrong factor: it is {ratios[1]:.4g} times the right value where n_H, n_W, n_C "
                "are 3, 5, 7. Which of them, or of the 4, is missing in the fraction, or too much?"
            )
    return (
        "its value is wrong, in a way not known here. Compare the formula with your code factor by "
        "factor, and the .shape of each tensor with the one that its comment names."
    )


def _origin(number):
    """Say where a number comes from that some edition of the course prints."""
    for known, origin in KNOWN_NUMBERS.items():
        if np.ndim(number) == 0 and np.isclose(number, known, rtol=1e-3):
            return f" ({known} is {origin})"
    return ""


def _close(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())
