"""Fixtures that the tests of the companion lessons share."""

import numpy as np
import pytest

import nst_utils
from tests.lab.lessons import notebook_of

SHAPE = (1, 5, 3, 4)  # n_H, n_W, n_C all different: a swapped axis shows


@pytest.fixture
def functions():
    return lambda lesson: nst_utils.functions_of(notebook_of(lesson))


@pytest.fixture
def activations():
    rng = np.random.default_rng(0)
    return rng.normal(1, 4, SHAPE).astype(np.float32), rng.normal(1, 4, SHAPE).astype(np.float32)


@pytest.fixture
def eagerly():
    """Compute at once, as these lessons do; the tests' own process builds graphs."""
    from tensorflow.python.eager.context import eager_mode

    with eager_mode():
        yield
