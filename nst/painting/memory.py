"""How much of a picture the network may see at once, so that a painting fits into memory."""

import math

import psutil

from nst.painting.tiling import halo
from nst.vgg.network import check_memory, tf

# Bytes that the process takes at its peak, in float32; bfloat16 takes less.
BASE = 1.1e9  # TensorFlow and the weights
SEEN = 2900  # a pixel that the network sees
KEPT = 380  # a pixel of a picture in tiles: L-BFGS's images, the photograph and its conv4_2
SMALLEST = (64 + 2 * halo()) ** 2  # pixels of a window; smaller ones are nearly all halo


def bytes_to_take(height, width, memory=None):
    """Say how many bytes a painting of this size may take, and see that it can be done with them.

    Arguments:
    memory -- GB that the process may take; default half of what is free, or the least that works

    Returns:
    a number for `pixels_at_once`, infinite on a GPU

    Raises ValueError, or MemoryError where even tiles would not fit.
    """
    if memory is not None and not memory > 0:  # nor NaN
        raise ValueError(f"the memory is {memory!r}: give a number of GB above 0")
    if memory is None and tf.config.list_physical_devices("GPU"):  # it has memory of its own
        check_memory(height, width, SEEN, "painting")
        return math.inf
    pixels = height * width
    whole, tiled = BASE + SEEN * pixels, BASE + KEPT * pixels
    least = min(whole, tiled + SEEN * SMALLEST)
    free = free_memory()
    allowed = max(free / 2, least) if memory is None else 1e9 * memory
    if least > free:
        zoom = math.sqrt(max(free - BASE - SEEN * SMALLEST, 0) / (KEPT * pixels))
        fits = f"{math.floor(zoom * width)}×{math.floor(zoom * height)}"
        raise MemoryError(
            f"painting on {width}×{height} pixels takes {least / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free: "
            + (
                f"{fits} is the largest size of this shape that fits"
                if zoom
                else "close other programs first"
            )
        )
    if least > allowed:
        raise MemoryError(
            f"painting on {width}×{height} pixels takes {math.ceil(least / 1e8) / 10} GB of memory "
            f"or more, and {memory:g} GB are allowed: allow more, or choose a smaller size"
        )
    return min(allowed, free)


def pixels_at_once(height, width, allowed):
    """Say how many pixels the network may see at once, of a picture of this size.

    Arguments:
    allowed -- bytes, see `bytes_to_take`

    Returns:
    a number for `nst.painting.tiling.cut`, infinite where the picture need not be cut
    """
    pixels = height * width
    if BASE + SEEN * pixels <= allowed:
        return math.inf
    return max(SMALLEST, (allowed - BASE - KEPT * pixels) / SEEN)


def free_memory():
    """Return the bytes that this process has or can have."""
    return psutil.virtual_memory().available + psutil.Process().memory_info().rss
