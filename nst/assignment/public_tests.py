"""Public tests: each tries your function, and prints what to look at next.

    public_tests.gram_matrix_test(gram_matrix)

A test compares your function with NumPy on random inputs: activations with n_H, n_W and n_C all
different, a model of five small layers, or an image of 3 x 5 pixels. It works in its own graph and
session: yours do not change. Each function is tested alone: what it calls is replaced by a right
one for the test.

If your value is wrong, the mistake (or the combination of mistakes) that computes exactly your
value is named as the one you made. The grader judges by the same rules, on other inputs.
"""

from functools import partial

from nst.assignment import trial, verdict
from nst.assignment.samples import draw_all


def _report(name, target):
    """Print that `target` passes as the function `name`, or raise AssertionError with advice."""
    if complaint := examine(name, target):
        raise AssertionError(complaint)
    print("All tests passed.")


def examine(name, target):
    """Try the function `name` of the assignment.

    Returns:
    what is wrong and what to look at next, after the function's name; empty if nothing is
    """
    samples = draw_all(1)[name]  # with this seed n_H, n_W and n_C are 3, 5 and 7
    diagnosis = verdict.judge(name, samples, *trial.attempt(name, target, samples))
    return f"{name}: {diagnosis}" if diagnosis else ""


compute_content_cost_test = partial(_report, "compute_content_cost")
gram_matrix_test = partial(_report, "gram_matrix")
compute_layer_style_cost_test = partial(_report, "compute_layer_style_cost")
compute_style_cost_test = partial(_report, "compute_style_cost")
total_cost_test = partial(_report, "total_cost")
model_nn_test = partial(_report, "model_nn")
