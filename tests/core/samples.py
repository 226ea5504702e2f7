"""Sample pixels, and checks that the tests of the image functions share."""

from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 24, 36
y, x = np.mgrid[:HEIGHT, :WIDTH]
COLORS = np.stack([7 * x, 10 * y, 255 - 3 * x - 5 * y], axis=2).astype(np.uint8)
GRAY = (5 * x + 3 * y).astype(np.uint8)  # 0-244
ALPHA = (11 * y).astype(np.uint8)
RGBA = np.dstack([COLORS, ALPHA])


def save(path, pixels=COLORS, **options):
    """Write an array (height, width[, channels]) with Pillow; return the path."""
    Image.fromarray(pixels).save(path, **options)
    return path


def refused(error, match, function, *args):
    """Expect an error of exactly this type, in one sentence, without a library's traceback."""
    with pytest.raises(error, match=match) as caught:
        function(*args)
    assert caught.type is error
    assert "\n" not in str(caught.value)
    assert ": " in str(caught.value)  # what was found, then what to do
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@contextmanager
def limited(name, value):
    """Set a limit of the `resource` module for this process until the block ends."""
    resource = pytest.importorskip("resource")
    kind = getattr(resource, name)
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))
