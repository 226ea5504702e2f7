"""Messages between two processes that need not trust each other: JSON and arrays of float32.

A message is a line of JSON, [fields, {name: shape of an array}], and the bytes of the arrays, one
after the other. Nothing in it is ever executed, as unpickling would.
"""

import json
from math import prod

import numpy as np

LINE_LIMIT, ARRAY_LIMIT = 2**16, 2**26  # bytes
SIZE_LIMIT = 2**25  # bytes of a submission; a notebook with its images has a few MB
TIME_UP = 75  # exit status of a process whose submission swallows its interruptions


class ProtocolError(ValueError):
    """The bytes that arrived are not a message."""


def write(stream, fields, arrays=None):
    """Write a message to a binary stream.

    Arguments:
    fields -- dict that JSON can hold, in at most 64 KB
    arrays -- dict of arrays of numbers, of at most 64 MB each; they arrive as float32
    """
    arrays = {name: np.asarray(array, "<f4") for name, array in (arrays or {}).items()}
    line = json.dumps([fields, {name: array.shape for name, array in arrays.items()}])
    stream.write(b"".join([f"{line}\n".encode(), *(array.tobytes() for array in arrays.values())]))
    stream.flush()


def read(stream):
    """Read a message from a binary stream: (fields, arrays).

    Raises ProtocolError for anything but a whole message within its limits, such as the end.
    """
    try:
        fields, shapes = json.loads(stream.readline(LINE_LIMIT))
        arrays = {name: _read_array(stream, shape) for name, shape in shapes.items()}
        return dict(fields.items()), arrays
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ProtocolError("what arrives is not a message") from None


def _read_array(stream, shape):
    if not all(type(n) is int and n >= 0 for n in shape) or 4 * prod(shape) > ARRAY_LIMIT:
        raise ValueError("not the shape of an array")
    return np.frombuffer(stream.read(4 * prod(shape)), "<f4").reshape(shape)
