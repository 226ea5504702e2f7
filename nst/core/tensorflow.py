"""TensorFlow's import: quiet, with the fast kernels, and without what is not needed."""

import gc
import importlib.util
import os
import sys
from contextlib import contextmanager
from types import ModuleType

from nst.core.hardware import prefer_onednn, share_gpu


def import_tensorflow():
    """Import TensorFlow with its fast kernels and without the lines that it logs at start-up.

    Returns:
    the module tensorflow.compat.v1; nothing in TensorFlow is changed
    """
    prefer_onednn()
    share_gpu()
    with _silent_stderr(), _without_keras(), _without_garbage_collection():
        import tensorflow.compat.v1 as tf
    return tf


def compute_whole_float32(tf):
    """Make float32 on a GPU mean float32, as in TensorFlow 1, not TF32 with its 10 bits."""
    tf.config.experimental.enable_tensor_float_32_execution(False)


@contextmanager
def _silent_stderr():
    """Hide what TensorFlow's C++ code writes to file descriptor 2 at start-up."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read later, by the first session
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
    """Keep TensorFlow from importing Keras, which is then imported on first use.

    Importing it eagerly takes a quarter of TensorFlow's import time, and 50 MB. TensorFlow copes
    with a Keras that is installed but cannot be imported.
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
def _without_garbage_collection():
    """Keep the garbage collector from scanning TensorFlow's 400,000 long-lived objects.

    Scanning them takes a sixth of the import, and 0.3 s when the program ends.
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
