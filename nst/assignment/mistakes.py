"""Tables of the mistakes that students make, each with the right way first: NumPy alone.

A mistake is a name, what it computes, and a hint. If a value is wrong, the mistake (or the
combination of mistakes) that computes exactly this value is the one that was made. The process
of a submission cannot read this file, which holds the right answers.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nst.assignment.spec import LAYER_COUNT, STEPS

KNOWN_NUMBERS = {  # of the check cells, in all their editions
    6.76559: "the course's J_content",
    9.19028: "the course's J_style_layer",
    35.34668: "the course's J",
    7.0568767: "J_content in the TensorFlow 2 edition, whose seed draws other numbers",
    14.01649: "J_style_layer in the TensorFlow 2 edition, whose seed draws other numbers",
    7.641: "what TensorFlow 2 prints for J_content, whose seed draws other numbers",
    2.285: "what TensorFlow 2 prints for J_style_layer, whose seed draws other numbers",
}


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


def by_rows(a):
    _, n_H, n_W, n_C = a.shape
    return a.reshape(n_H, n_W * n_C).T


def gram(A):
    return A @ A.T  # (n_C, n_H*n_W) -> (n_C, n_C)


def int32(number):
    """Wrap a whole number as TensorFlow's int32 arithmetic does."""
    return float(np.int64(number).astype(np.int32))


# A cost is made in steps: two matrices X and Y, the distance of their entries, its sum, a fraction
# before it. Each step has its table of mistakes.
# In fractions h, w and c are n_H, n_W and n_C.

SYMMETRIC = table("", ("", lambda a, b: (a, b)), ("", lambda a, b: (b, a)))  # either image
CONTENT_MATRICES = table(
    "Give both the same reshape and transpose, so that the same places are compared.",
    ("", lambda a, b: (unroll(a), unroll(b))),
    ("a_C and a_G are unrolled differently", lambda a, b: (unroll(a), scramble(b))),
)
STYLE_MATRICES = table(  # `gram` may be a stand-in, which multiplies by a secret factor
    "Each channel must become a row: first reshape to (n_H*n_W, n_C), then transpose.",
    ("", lambda a, b, gram=gram: (gram(unroll(a)), gram(unroll(b)))),
    (
        "reshape without transpose mixes the channels",
        lambda a, b, gram=gram: (gram(scramble(a)), gram(scramble(b))),
    ),
    (
        "a_S and a_G are unrolled differently",
        lambda a, b, gram=gram: (gram(unroll(a)), gram(scramble(b))),
    ),
    (
        "these are Gram matrices of the wrong side",
        lambda a, b, gram=gram: (gram(unroll(a).T), gram(unroll(b).T)),
    ),
    (
        "the rows are those of the image, not channels",
        lambda a, b, gram=gram: (gram(by_rows(a)), gram(by_rows(b))),
    ),
    (
        "it takes the Gram matrix of a difference",
        lambda a, b, gram=gram: (gram(unroll(a - b)), 0),
        "First gram_matrix of each image alone, then the difference of the two results.",
    ),
    (
        "it compares activations, not Gram matrices",
        lambda a, b, gram=gram: (unroll(a), unroll(b)),
        "Style is which channels occur together: pass both unrolled images through gram_matrix.",
    ),
)
DISTANCES = table(
    "In this order: subtract, square each entry, sum.",
    ("", lambda X, Y: np.sum((X - Y) ** 2)),
    (
        "it is always 0",
        lambda X, Y: 0.0,
        "Either an image is compared with itself, or // (integer division) made the fraction 0.",
    ),
    ("the difference is not squared", lambda X, Y: np.sum(X - Y)),
    ("absolute values are summed, not squares", lambda X, Y: np.sum(np.abs(X - Y))),
    ("the sum is squared, not its terms", lambda X, Y: np.sum(X - Y) ** 2),
    (
        "a root is taken",
        lambda X, Y: np.sqrt(np.sum((X - Y) ** 2)),
        "The cost has no root, no norm.",
    ),
    ("the images are added, not subtracted", lambda X, Y: np.sum((X + Y) ** 2)),
    ("squares are subtracted, not the difference squared", lambda X, Y: np.sum(X**2 - Y**2)),
    ("only one of the two images is used", lambda X, Y: np.sum(X**2)),
    ("the images are multiplied, not subtracted", lambda X, Y: np.sum(X * Y)),
)
SUMS = table(  # of so many entries
    "",
    ("", lambda entries: 1),
    (
        "you took the mean, not the sum",
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
    ("", lambda h, w, c: 1 / (4 * (h * w) * c)),
    ("the 1/4 is forgotten", lambda h, w, c: 1 / ((h * w) * c)),
    ("you took 1/2 instead of 1/4", lambda h, w, c: 1 / (2 * (h * w) * c)),
    ("only the 1/4 of the fraction is there", lambda h, w, c: 1 / 4),
    ("the fraction is forgotten", lambda h, w, c: 1),
    ("n_C is forgotten", lambda h, w, c: 1 / (4 * (h * w))),
    ("n_H * n_W is forgotten", lambda h, w, c: 1 / (4 * c)),
    ("the fraction is squared too", lambda h, w, c: 1 / (4 * (h * w) * c) ** 2),
    ("it multiplies by n_H * n_W * n_C", lambda h, w, c: (h * w) * c / 4),
    ("it multiplies by n_W * n_C", lambda h, w, c: w * c / (4 * h)),
    ("dimensions are added, not multiplied", lambda h, w, c: 1 / (4 * (h + w + c))),
    ("dimensions are added, not multiplied", lambda h, w, c: 1 / (4 * h + w + c)),
    (
        "you took the mean, not the sum, or the fraction of the style cost",
        lambda h, w, c: 1 / (4 * (h * w * c) ** 2),
        "It is tf.reduce_sum times 1 / (4 * n_H * n_W * n_C).",
    ),
)
STYLE_FRACTIONS = table(
    "The fraction is 1 / (4 * n_C² * (n_H*n_W)²), with brackets around the denominator.",
    ("", lambda h, w, c: 1 / (4 * c**2 * (h * w) ** 2)),
    ("the 1/4 is forgotten", lambda h, w, c: 1 / (c * (h * w)) ** 2),
    ("you took 1/2 instead of 1/4", lambda h, w, c: 1 / (2 * c**2 * (h * w) ** 2)),
    ("the 4 is squared too", lambda h, w, c: 1 / (4 * c * (h * w)) ** 2),
    ("n_C is not squared", lambda h, w, c: 1 / (4 * c * (h * w) ** 2)),
    ("n_H*n_W is not squared", lambda h, w, c: 1 / (4 * c**2 * (h * w))),
    ("neither n_C nor n_H*n_W is squared", lambda h, w, c: 1 / (4 * c * (h * w))),
    ("n_C² is forgotten", lambda h, w, c: 1 / (4 * (h * w) ** 2)),
    ("(n_H*n_W)² is forgotten", lambda h, w, c: 1 / (4 * c**2)),
    ("only the 1/4 of the fraction is there", lambda h, w, c: 1 / 4),
    ("the fraction is forgotten", lambda h, w, c: 1),
    ("you wrote * 2 instead of ** 2", lambda h, w, c: 1 / (16 * c * (h * w))),
    ("n_H is not squared", lambda h, w, c: 1 / (4 * c**2 * h * w**2)),
    ("n_W is not squared", lambda h, w, c: 1 / (4 * c**2 * h**2 * w)),
    ("(n_H*n_W)² is there twice", lambda h, w, c: 1 / (4 * c**2 * (h * w) ** 4)),
    ("the fraction is squared too", lambda h, w, c: 1 / (4 * c**2 * (h * w) ** 2) ** 2),
    ("it multiplies by n_C² * (n_H*n_W)²", lambda h, w, c: c**2 * (h * w) ** 2 / 4),
    ("dimensions are added, not multiplied", lambda h, w, c: 1 / (4 * c**2 * (h + w) ** 2)),
    ("dimensions are added, not multiplied", lambda h, w, c: 1 / (4 * (h + w + c) ** 2)),
    (
        "the fraction is computed in int32, which overflows at the size of real layers",
        lambda h, w, c: 1 / int32(4 * c**2 * (h * w) ** 2),
        "Multiply Python's numbers from a_G.get_shape().as_list(), or tf.cast each to tf.float32 "
        "before it is squared.",
    ),
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
        "you took a reshape, not the transpose",
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
    ("a root is taken", lambda A: np.sqrt(np.abs(gram(A)))),
    ("A is squared first", lambda A: gram(A**2)),
    ("the rows are normalized", lambda A: gram(A / np.linalg.norm(A, axis=1, keepdims=True))),
)
DIVISORS = table(
    "The Gram matrix has no fraction; that comes in compute_layer_style_cost.",
    ("", lambda n_C, N: 1),
    (
        "it is halved",
        lambda n_C, N: 2,
        "The Gram matrix has no 1/2 and no other factor: the matrix product is all of it.",
    ),
    ("it is divided by n_H*n_W", lambda n_C, N: N),
    ("it is divided by n_C", lambda n_C, N: n_C),
    ("it is divided by n_C*n_H*n_W", lambda n_C, N: n_C * N),
    ("it is divided by 2*n_C*n_H*n_W", lambda n_C, N: 2 * n_C * N),
)
EACH_PASS = "Each pass of the loop adds (+=) coeff times the layer's cost; return comes after it."
RUN_STYLE = "a_S must be numbers, sess.run(out), and a_G the tensor out."
LAYER_ARGUMENTS = table(  # for compute_layer_style_cost, of style S and generated G activations
    RUN_STYLE,
    ("", lambda S, G: (S, G)),
    ("a_S is not run, so both arguments are the generated image", lambda S, G: (G, G)),
    ("a_G is run, so both arguments are the style image", lambda S, G: (S, S)),
    (
        "it passes compute_layer_style_cost its arguments in the order (a_G, a_S)",
        lambda S, G: (G, S),
        "They must be (a_S, a_G): the numbers of the style image, then the tensor.",
    ),
)
LAYER_SUMS = table(  # of the layers' costs J and their weights w
    EACH_PASS,
    ("", lambda J, w: J @ w),
    ("it is always 0", lambda J, w: 0.0, RUN_STYLE),
    ("the layers' weights are forgotten", lambda J, w: J.sum()),
    (
        "0.2, or a mean, is used instead of each layer's own weight",
        lambda J, w: 0.2 * J.sum(),
        "Loop over the argument STYLE_LAYERS, and multiply by its coeff.",
    ),
    ("only the last layer counts", lambda J, w: J[-1] * w[-1]),
    ("only the last layer counts, without its weight", lambda J, w: J[-1]),
    ("only the first layer counts, without its weight", lambda J, w: J[0]),
    ("weights are added, not multiplied", lambda J, w: np.sum(J + w)),
    ("the layers' weights are squared", lambda J, w: J @ w**2),
    ("the first layer is left out", lambda J, w: J[1:] @ w[1:]),
    (
        "the sum so far is multiplied by coeff again in each pass",
        lambda J, w: J @ np.cumprod(w[::-1])[::-1],
    ),
    ("costs are multiplied, not added", lambda J, w: np.prod(J * w)),
    (
        "it is divided by the number of layers",
        lambda J, w: J @ w / len(J),
        "The weights already add up to 1, so nothing is left to divide.",
    ),
    ("J_style does not start at 0", lambda J, w: 1 + J @ w),
    ("only the first layer counts", lambda J, w: J[0] * w[0]),
    *(
        (
            f"only {count} of {LAYER_COUNT} layers count",
            lambda J, w, count=count: J[:count] @ w[:count],
            "Loop over all of STYLE_LAYERS.",
        )
        for count in range(2, LAYER_COUNT)
    ),
)
ARGUMENTS = "Use the arguments: they may have other values than their defaults."
TOTALS = table(  # of J_content, J_style, alpha, beta
    "alpha multiplies J_content, beta multiplies J_style, and J is the sum of the two products.",
    ("", lambda c, s, a, b: a * c + b * s),
    ("it is always 0", lambda c, s, a, b: 0.0),
    ("alpha and beta are swapped", lambda c, s, a, b: b * c + a * s),
    ("alpha and beta are forgotten", lambda c, s, a, b: c + s),
    ("alpha is forgotten", lambda c, s, a, b: c + b * s),
    ("beta is forgotten", lambda c, s, a, b: a * c + s),
    ("alpha multiplies both", lambda c, s, a, b: a * (c + s)),
    ("beta multiplies both", lambda c, s, a, b: b * (c + s)),
    ("J_style is left out", lambda c, s, a, b: a * c),
    ("J_content is left out", lambda c, s, a, b: b * s),
    ("J_content counts twice", lambda c, s, a, b: (a + b) * c),
    ("J_style counts twice", lambda c, s, a, b: (a + b) * s),
    ("J_style is subtracted", lambda c, s, a, b: a * c - b * s),
    ("J_content is subtracted", lambda c, s, a, b: b * s - a * c),
    ("alpha and beta both multiply the sum", lambda c, s, a, b: (a + b) * (c + s)),
    ("alpha multiplies beta * J_style too", lambda c, s, a, b: a * (c + b * s)),
    ("alpha is added to J_content", lambda c, s, a, b: a + c + b * s),
    ("it divides by alpha and beta", lambda c, s, a, b: c / a + s / b),
    ("10 is used instead of alpha", lambda c, s, a, b: 10 * c + b * s, ARGUMENTS),
    ("40 is used instead of beta", lambda c, s, a, b: a * c + 40 * s, ARGUMENTS),
    ("the products are multiplied", lambda c, s, a, b: a * c * b * s),
    ("weights are added, not multiplied", lambda c, s, a, b: a + c + b + s),
    ("it is divided by alpha + beta", lambda c, s, a, b: (a * c + b * s) / (a + b)),
    ("it is divided by 2", lambda c, s, a, b: (a * c + b * s) / 2),
    (
        "10 and 40 are used instead of alpha and beta",
        lambda c, s, a, b: 10 * c + 40 * s,
        ARGUMENTS,
    ),
)


def ran(left, returned, start=1):
    """Make a mistake's value: images after so many steps, from input_image or (start=0) zeros."""
    return lambda noise, after: (after(start * noise, left), after(start * noise, returned))


TRAININGS = table(  # (the image left in the model, the returned one) after STEPS steps
    "Return what sess.run(model['input']) gives after the last sess.run(train_step).",
    ("", ran(STEPS, STEPS)),
    (
        "train_step did not run",
        ran(0, 0),
        "Its name alone does nothing: sess.run(train_step), in each pass of the loop.",
    ),
    (
        "assign did not run",
        ran(STEPS, STEPS, start=0),
        "model['input'].assign(...) only describes it: sess.run it before the loop, and after the "
        "initializer, which would undo it.",
    ),
    (
        "neither assign nor train_step ran",
        ran(0, 0, start=0),
        "Both only describe what to do: sess.run assign before the loop, train_step inside it.",
    ),
    ("the noise is returned, not the image", ran(STEPS, 0)),
    (
        "assign did not run, and the noise is returned",
        lambda noise, after: (after(0 * noise, STEPS), noise),
        "sess.run assign before the loop, and return what sess.run(model['input']) gives after it.",
    ),
    ("the image is read before the step, not after it", ran(STEPS, STEPS - 1)),
    ("the image of the first step is returned", ran(STEPS, 1)),
    (
        "the initializer runs in each pass of the loop",
        ran(1, 1, start=0),
        "It sets the image back to zeros: run it before the loop, and before assign.",
    ),
    (
        "only one step counts",
        ran(1, 1),
        "Either assign is inside the loop, which starts anew in each pass, or return is: assign "
        "comes before the loop, train_step inside it, and return after it.",
    ),
    ("assign runs again in each pass, after the step", ran(0, 1), "Run it before the loop."),
    *(
        (
            f"{steps} steps run when num_iterations is {STEPS}",
            ran(steps, steps),
            "The loop is for i in range(num_iterations), with one train_step in each pass.",
        )
        for steps in (STEPS - 1, STEPS + 1, 2 * STEPS, 20, 200)
    ),
)
