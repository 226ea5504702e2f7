"""L-BFGS as a loop that its caller can watch and leave: the painter's, and SciPy's.

SciPy's works in float64, on copies: 48 bytes per pixel for each step that it remembers, and as much
again for its work space. At 4000×3000 that is 4 GB, and at 400×300, with ten steps, it takes 31 ms
per evaluation, on one core. `lbfgs` is the same recursion in float32: it takes 7 ms there, and with
the same memory both reach the same costs, to three digits.

Large levels get few evaluations and remember two steps. From a cost of 28.3 at 800×600, five
evaluations led SciPy's to 5.57 and `lbfgs` to 5.52, with a memory of two as with all steps, and
Adam, which also keeps two images, to 13.4 at the best of four rates.
"""

import math
import os
import queue
import threading
from collections import deque

import numpy as np

FIRST_STEP = 3  # gray levels, root mean square
MEMORY = 10  # steps that L-BFGS remembers; 20 are not better


def lbfgs(evaluate, start, count, memory=MEMORY):
    """Minimize from `start`; yield the best image so far after each evaluation.

    A step is tried at full length and, if the cost has not fallen, shortened.

    Arguments:
    evaluate -- function from an image to its cost and gradient
    start -- float32 array (1, h, w, 3)
    count -- number of evaluations
    memory -- number of steps to remember, at 24 bytes per pixel each

    Raises FloatingPointError if a cost or gradient is not finite.
    """
    image, (cost, gradient) = start, evaluate(start)
    _check(cost, gradient)
    yield image
    history = deque(maxlen=memory)  # of steps, and of how much each changed the gradient
    step = _first_step(gradient)
    for left in range(count - 2, -1, -1):
        new_image = image + step
        new_cost, new_gradient = evaluate(new_image)
        _check(new_cost, new_gradient)
        if new_cost >= cost:
            slope = _dot(step, gradient)
            if slope == 0:  # no direction descends
                return
            # to the minimum of the parabola through the two costs and the slope here
            step *= max(0.1, slope / (2 * (slope - (new_cost - cost))))
            yield image
            continue
        image, cost = new_image, new_cost
        yield image
        if left:
            change = np.subtract(new_gradient, gradient, out=gradient)
            gradient = new_gradient
            if _dot(step, change) > 0:
                history.append((step, change))
            step = _newton_step(gradient, history) if history else _first_step(gradient)


def _check(cost, gradient):
    if not np.isfinite(cost) or not np.all(np.isfinite(gradient)):
        raise FloatingPointError(
            f"the cost became {cost}: use --precision float32, or different images"
        )


def _first_step(gradient):
    steepness = math.sqrt(_dot(gradient, gradient) / gradient.size)
    return gradient * (-FIRST_STEP / max(steepness, 1e-30))


def _newton_step(gradient, history):
    """Estimate Newton's step by the two-loop recursion (Nocedal, 1980)."""
    direction = -gradient
    factors = []
    for step, change in reversed(history):
        factors.append(_dot(step, direction) / _dot(step, change))
        direction -= factors[-1] * change
    step, change = history[-1]
    direction *= _dot(step, change) / _dot(change, change)
    for (step, change), factor in zip(history, reversed(factors), strict=True):
        direction += (factor - _dot(change, direction) / _dot(step, change)) * step
    return direction


def _dot(a, b):
    """Return the inner product of two images, without BLAS: its threads would keep cores busy."""
    rows = np.einsum("bhwc,bhwc->bh", a, b)
    return float(rows.sum(dtype=np.float64))


# --- SciPy's, for lessons 2, 3 and 6 -------------------------------------------------------------


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
