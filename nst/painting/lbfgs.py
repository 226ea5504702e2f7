"""L-BFGS as a loop that its caller can watch and leave: SciPy's, and the painter's.

SciPy's computes in float64, in copies: 48 bytes a pixel for each step that it remembers, and as
much again for what it works on. At 4000×3000 that is 4 GB, and at 400×300, with ten steps, it takes
31 ms beside an evaluation, on one core. `descend_lean` is the same recursion in float32: there it
takes 7 ms. Remembering as much, both reach the same costs, to three digits after 26 evaluations of
a bent valley of 48 dimensions, and painted pictures are as near to photograph and style.

A large level takes five evaluations, and two steps are remembered. From a cost of 28.3 at 800×600
they led SciPy's to 5.57, the lean one to 5.52 with two steps as with all, and Adam, which keeps two
images as well, to 13.4 at the best of four rates; ten led to 3.9, 3.4, 3.5 and 9.1.
"""

import math
import os
import queue
import threading
from collections import deque

import numpy as np

FIRST_STEP = 3  # grey levels, root mean square
MEMORY = 10  # steps that L-BFGS remembers; 20 are not better


class _Stop(Exception):
    """Ends SciPy's loop."""


def descend(evaluate, start, count):
    """Descend from `start` by L-BFGS; yield the best image so far after each evaluation.

    SciPy calls back and would not let go, so it runs in a thread of its own; when this generator
    is closed, the thread ends after the evaluation under way.

    Arguments:
    evaluate -- function from an image to its cost and gradient
    start -- image (1, h, w, 3)
    count -- of evaluations

    Returns:
    generator of images, float32; raises FloatingPointError where a cost is no number
    """
    found, stop = queue.SimpleQueue(), threading.Event()
    arguments = (evaluate, start, count, found.put, stop)
    # a daemon: a second Ctrl-C need not wait for the evaluation
    work = threading.Thread(target=_lbfgs, args=arguments, daemon=True)
    work.start()
    try:
        while (image := found.get()) is not None:
            if isinstance(image, Exception):
                raise image
            yield image
    finally:
        stop.set()
        work.join()


def _check(cost, gradient):
    if not np.isfinite(cost) or not np.all(np.isfinite(gradient)):
        raise FloatingPointError(
            f"the cost became {cost}: paint with --precision float32, or other pictures"
        )


def _import_minimize():
    """Import SciPy's `minimize`, here: it takes 0.2 s.

    OpenBLAS behind it reads its setting when it is loaded; its threads would keep the cores busy in
    TensorFlow's turns, which doubles the time of a small picture.
    """
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = before or "1"
    from scipy.optimize import minimize

    if before is None:
        del os.environ["OPENBLAS_NUM_THREADS"]
    return minimize


def _lbfgs(evaluate, start, count, report, stop):
    """Run SciPy's L-BFGS for `count` evaluations; report the best image after each, then None.

    Arguments:
    report -- function that takes an image, an exception or None, the end
    stop -- threading.Event that ends the descent early
    """
    minimize = _import_minimize()
    # SciPy's first step has length 1: let that be FIRST_STEP
    scale = FIRST_STEP * math.sqrt(start.size)
    best, least, left = start, math.inf, count

    def function(x):
        nonlocal best, least, left
        if stop.is_set() or not left:
            raise _Stop
        image = (scale * x).reshape(start.shape).astype(np.float32)
        cost, gradient = evaluate(image)
        _check(cost, gradient)
        left -= 1
        if cost < least:
            best, least = image, cost
        report(best)
        return float(cost), scale * gradient.ravel().astype(np.float64)

    try:
        memory = min(MEMORY, max(1, count - 1))  # 48 bytes a pixel each
        options = {"maxcor": memory, "maxiter": 10 * count, "ftol": 0, "gtol": 0}
        x = start.ravel().astype(np.float64) / scale
        minimize(function, x, jac=True, method="L-BFGS-B", options=options)
    except _Stop:
        pass
    except Exception as error:  # for the thread that waits
        report(error)
    report(None)


# --- the painter's -------------------------------------------------------------------------------


def descend_lean(evaluate, start, count, remembered=MEMORY):
    """Do what `descend` does in float32: 24 bytes a pixel for each step that is remembered.

    The step is tried whole, and where the cost has not fallen, shortened.
    """
    image, (cost, gradient) = start, evaluate(start)
    _check(cost, gradient)
    yield image
    memory = deque(maxlen=remembered)  # of steps, and by how much each changed the gradient
    step = _first_step(gradient)
    for left in range(count - 2, -1, -1):
        new_image = image + step
        new_cost, new_gradient = evaluate(new_image)
        _check(new_cost, new_gradient)
        if new_cost >= cost:
            slope = _dot(step, gradient)
            if slope == 0:  # there is no way down
                return
            # to the lowest point of the parabola through the costs and the slope here
            step *= max(0.1, slope / (2 * (slope - (new_cost - cost))))
            yield image
            continue
        image, cost = new_image, new_cost
        yield image
        if left:
            change = np.subtract(new_gradient, gradient, out=gradient)
            gradient = new_gradient
            if _dot(step, change) > 0:
                memory.append((step, change))
            step = _lbfgs_step(gradient, memory) if memory else _first_step(gradient)


def _first_step(gradient):
    steepness = math.sqrt(_dot(gradient, gradient) / gradient.size)
    return gradient * (-FIRST_STEP / max(steepness, 1e-30))


def _lbfgs_step(gradient, memory):
    """Estimate Newton's step by the two-loop recursion (Nocedal, 1980)."""
    step = -gradient
    factors = []
    for moved, change in reversed(memory):
        factors.append(_dot(moved, step) / _dot(moved, change))
        step -= factors[-1] * change
    moved, change = memory[-1]
    step *= _dot(moved, change) / _dot(change, change)
    for (moved, change), factor in zip(memory, reversed(factors), strict=True):
        step += (factor - _dot(change, step) / _dot(moved, change)) * moved
    return step


def _dot(a, b):
    """Multiply two images as vectors, without BLAS, whose threads would keep the cores busy."""
    rows = np.einsum("bhwc,bhwc->bh", a, b)
    return float(rows.sum(dtype=np.float64))
