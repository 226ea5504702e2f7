"""TensorFlow's import: quiet, with the fast kernels, and no slower than it must be."""

import gc
import importlib.util
import os
import sys
from contextlib import contextmanager
from types import ModuleType

from nst.core.hardware import prefer_onednn, share_gpu


def import_tensorflow():
    """Import TensorFlow, with its fast kernels and without the lines that it writes at its start.

    Returns:
    the module tensorflow.compat.v1; nothing in TensorFlow is changed
    """
    prefer_onednn()
    share_gpu()
    with _silent_stderr(), _without_keras(), _without_collections():
        import tensorflow.compat.v1 as tf
    return tf


def compute_whole_float32(tf):
    """Have float32 on a GPU mean float32, as in TensorFlow 1, and not TF32, which has 10 bits."""
    tf.config.experimental.enable_tensor_float_32_execution(False)


@contextmanager
def _silent_stderr():
    """Hide what TensorFlow's C++ start-up writes past Python, straight to file descriptor 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # heeded later, by the first session
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


@contextmanager
def _without_keras():
    """Have TensorFlow leave Keras for later: it loads by itself where it is used.

    To load it at once, as TensorFlow's import does where it can, takes a fourth of that import and
    50 MB. For a Keras that is found but not to be imported TensorFlow is prepared.
    """
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        yield
        return
    stand_in = ModuleType("keras")
    stand_in.__spec__ = importlib.util.find_spec("keras")
    sys.modules["keras"] = stand_in
    try:
        yield
    finally:
        del sys.modules["keras"]


@contextmanager
def _without_collections():
    """Spare Python's garbage collector TensorFlow's 400,000 objects, which are no garbage.

    To search them takes a sixth of the import, and 0.3 s at the end of the program.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
