"""Public tests: each tries your function, and prints what to look at next.

    public_tests.gram_matrix_test(gram_matrix)

A test compares your function with NumPy on random activations with n_H, n_W and n_C all different.
It works in its own graph and session: yours do not change. Each function is tested alone: what it
calls is replaced by a right one for the test.

If your value is wrong, the mistake (or the combination of mistakes) that computes exactly your
value is named as the one you made. The grader judges by the same rules, on other inputs.
"""

import numpy as np

from nst.assignment import trial, verdict
from nst.assignment.samples import draw


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
    """Check `target(model, STYLE_LAYERS)` on a model of five small layers."""
    _report("compute_style_cost", target)


def total_cost_test(target):
    """Check `target(J_content, J_style, alpha=10, beta=40)` on numbers and on tensors."""
    _report("total_cost", target)


def model_nn_test(target):
    """Check `target(sess, input_image, num_iterations=200)` on an image of 3 x 5 pixels."""
    _report("model_nn", target)


def _report(name, target):
    if complaint := examine(name, target):
        raise AssertionError(complaint)
    print("All tests passed.")


def examine(name, target):
    """Try the function `name` of the assignment.

    Returns:
    what is wrong and what to look at next, after the function's name; empty if nothing is
    """
    # np.random itself keeps its state, which the lab's noise needs
    samples = draw(name, np.random.default_rng(0))
    diagnosis = verdict.judge(name, samples, *trial.attempt(name, target, samples))
    return f"{name}: {diagnosis}" if diagnosis else ""
