"""Messages between two processes that need not trust each other: JSON and arrays of float32.

A message is 8 bytes (the lengths of its two parts, little-endian), a JSON header, and the bytes of
the arrays one after the other. Nothing in it is ever executed, as unpickling would.
"""

import json
import struct
from math import prod

import numpy as np

LENGTHS = struct.Struct("<II")
HEADER_LIMIT, ARRAYS_LIMIT = 2**20, 2**26  # bytes
SIZE_LIMIT = 2**25  # bytes of a submission; a notebook with its images has a few MB
WALL_CLOCK_FACTOR = 6  # wall-clock limit of a request, as a multiple of its CPU limit
TIME_UP = 75  # exit status of a process whose submission swallows its interruptions


class ProtocolError(ValueError):
    """The bytes that arrived are not a message."""


def write(stream, fields, arrays=None):
    """Write a message to a binary stream.

    Arguments:
    fields -- dict that JSON can hold
    arrays -- dict of arrays of numbers, of at most 64 MB; they arrive as float32
    """
    arrays = {name: np.asarray(array, "<f4") for name, array in (arrays or {}).items()}
    header = json.dumps([fields, {name: array.shape for name, array in arrays.items()}]).encode()
    body = b"".join(array.tobytes() for array in arrays.values())
    stream.write(LENGTHS.pack(len(header), len(body)) + header + body)
    stream.flush()


def read(stream):
    """Read a message: (fields, arrays). Strings in it are cut to 1,000 characters, lists to 200.

    Raises EOFError if the stream ends, ProtocolError for anything but a message within limits.
    """
    sizes = LENGTHS.unpack(_exactly(stream, LENGTHS.size))
    if sizes[0] > HEADER_LIMIT or sizes[1] > ARRAYS_LIMIT:
        raise ProtocolError("a message is too long")
    header, body = (_exactly(stream, size) for size in sizes)
    try:
        fields, shapes = json.loads(header)
        if not isinstance(fields, dict) or not isinstance(shapes, dict):
            raise ProtocolError("a message is not a pair of dictionaries")
        return _cut(fields), _arrays(shapes, body)
    except ProtocolError:
        raise
    except (ValueError, TypeError, RecursionError):  # no JSON, or JSON of another form
        raise ProtocolError("a message is not in the agreed form") from None


def _cut(value):
    if isinstance(value, str):
        return value[:1000]
    if isinstance(value, list):
        return [_cut(item) for item in value[:200]]
    if isinstance(value, dict):
        return {name[:200]: _cut(item) for name, item in list(value.items())[:200]}
    return value


def _arrays(shapes, body):
    arrays, start = {}, 0
    for name, shape in shapes.items():
        if len(shape) > 5 or not all(type(n) is int and 0 <= n <= ARRAYS_LIMIT for n in shape):
            raise ProtocolError("an array has no plain shape")
        end = start + 4 * prod(shape)
        if end > len(body):
            raise ProtocolError("an array is longer than its message")
        arrays[name] = np.frombuffer(body[start:end], "<f4").reshape(shape)
        start = end
    return arrays


def _exactly(stream, size):
    """Read `size` bytes."""
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the stream ends within a message")
    return data


def probes(seed, shape):
    """Draw the images at which both sides evaluate a notebook's costs; float32."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, spread, shape).astype(np.float32) for spread in (60, 35, 20)]
