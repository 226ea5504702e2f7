"""The number of pixels that the network may see at once within a memory limit."""

import math

import psutil

from nst.core.memory import format_bytes, free_memory
from nst.painting.tiling import halo
from nst.vgg.network import check_memory, tf

# The peak of the process in float32; bfloat16 takes less.
BASE_BYTES = 1.1e9  # TensorFlow and the weights
BYTES_PER_NETWORK_PIXEL = 2900  # that the network sees at once
BYTES_PER_TILED_PIXEL = 330  # of a tiled image: L-BFGS's images, the photo and its activations
MIN_TILE_PIXELS = (64 + 2 * halo()) ** 2  # smaller tiles are nearly all halo


def memory_limit(height, width, memory=None):
    """Return the memory limit in bytes for a painting of this size, infinite on a GPU.

    Arguments:
    memory -- GB that the process may take; default: half of the free memory, or the least that
        suffices

    Raises ValueError, or MemoryError if even tiling would not fit.
    """
    if memory is not None and not memory > 0:  # nor NaN
        raise ValueError(f"the memory is {memory!r}: give a number of GB above 0")
    if memory is None and tf.config.list_physical_devices("GPU"):  # it has memory of its own
        check_memory(height, width, BYTES_PER_NETWORK_PIXEL, "painting")
        return math.inf
    free = free_memory() + psutil.Process().memory_info().rss  # what this process has counts
    least = _least_bytes(height, width)
    allowed = min(max(free / 2, least) if memory is None else 1e9 * memory, free)
    if least <= allowed:
        return allowed
    limit = f"{memory:g} GB are allowed" if allowed < free else f"{format_bytes(free)} are free"
    spare = max(allowed - BASE_BYTES - BYTES_PER_NETWORK_PIXEL * MIN_TILE_PIXELS, 0)
    zoom = math.sqrt(spare / (BYTES_PER_TILED_PIXEL * height * width))
    advice = "allow more memory"
    if spare:
        size = f"{math.floor(zoom * width)}×{math.floor(zoom * height)}"
        advice += f", or choose {size}, the largest size of this shape that fits"
    raise MemoryError(
        f"painting on {width}×{height} pixels takes {format_bytes(least, math.ceil)} of memory or "
        f"more, and {limit}: {advice}"
    )


def _least_bytes(height, width):
    pixels = height * width
    tiled = BYTES_PER_TILED_PIXEL * pixels + BYTES_PER_NETWORK_PIXEL * MIN_TILE_PIXELS
    return BASE_BYTES + min(BYTES_PER_NETWORK_PIXEL * pixels, tiled)


def pixels_at_once(height, width, limit):
    """Return how many pixels of an image of this size the network may see at once.

    Arguments:
    limit -- bytes, see `memory_limit`

    Returns:
    a number for `nst.painting.tiling.cut`, infinite if the image need not be cut
    """
    pixels = height * width
    if BASE_BYTES + BYTES_PER_NETWORK_PIXEL * pixels <= limit:
        return math.inf
    spare = limit - BASE_BYTES - BYTES_PER_TILED_PIXEL * pixels
    return max(MIN_TILE_PIXELS, spare / BYTES_PER_NETWORK_PIXEL)
