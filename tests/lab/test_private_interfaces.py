"""Undocumented parts of other libraries that this project uses, one test for each.

A failure says what changed, and where it is used.
"""

import dis
import inspect
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from PIL import JpegImagePlugin

from tests.conftest import ROOT


def test_tensorflow_asks_one_function_for_the_seeds_of_all_operations(monkeypatch):
    from tensorflow.python.framework import random_seed

    asked = []
    get_seed = random_seed.get_seed
    monkeypatch.setattr(random_seed, "get_seed", lambda s: asked.append(s) or get_seed(s))
    with tf.Graph().as_default() as graph:
        tf.random_normal([1])
        tf.random_uniform([1], seed=5)
        version = graph.version
    assert asked == [None, 5], (
        "TensorFlow changed how random operations get their seeds (random_seed.get_seed): the seed "
        "rule of nst/lab/tf1.py has no effect, and the check cells print other numbers"
    )
    assert version == len(graph.get_operations()), (
        "TensorFlow changed Graph.version, which nst/lab/tf1.py takes for the number of operations"
    )


def test_tensors_turn_into_arrays_by_one_method():
    assert "__array__" in vars(tf.Tensor), (
        "TensorFlow changed Tensor.__array__, which nst/lab/tf1.py deletes so that "
        "np.power(tensor, 2) builds an operation"
    )


def test_variables_of_graphs_are_reference_variables():
    with tf.Graph().as_default():
        variable = tf.Variable(0.0, use_resource=False)
    assert type(variable).__name__ == "RefVariable", (
        "TensorFlow changed its reference variables, in which nst/vgg/frozen.py keeps weights and "
        "nst/vgg/network.py the input"
    )


def test_gradients_of_operations_can_be_overridden_by_type():
    with tf.Graph().as_default() as graph:
        x = tf.constant([[1.0, 2.0]])
        tf.RegisterGradient("Canary")(lambda op, dy: (7 * tf.ones_like(x), None))
        with graph.gradient_override_map({"MatMul": "Canary"}):
            y = tf.matmul(x, x, transpose_b=True)
        with tf.Session() as sess:
            gradient = sess.run(tf.gradients(y, x)[0])
    np.testing.assert_array_equal(
        gradient,
        [[7, 7]],
        "TensorFlow changed gradient overrides, by which nst/vgg/frozen.py saves a matrix product",
    )


def test_tensorflow_loads_keras_when_it_is_used():
    code = """
import json, sys
from nst.core.tensorflow import import_tensorflow
tf = import_tensorflow()
before = "keras" in sys.modules
import tensorflow
print(json.dumps([before, tensorflow.keras.layers.Dense.__name__]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [False, "Dense"], (
        "TensorFlow changed how it imports Keras: the stand-in of nst/core/tensorflow.py is in its "
        "way, or saves nothing"
    )


def test_numpy_prints_floats_by_one_class():
    numpy_1 = "numpy.core.arrayprint"
    arrayprint = sys.modules.get("numpy._core.arrayprint") or sys.modules[numpy_1]
    assert hasattr(arrayprint, "FloatingFormat"), (
        "NumPy changed arrayprint.FloatingFormat, by which nst/lab/tf1.py prints the Gram matrix "
        "with the digits of 2018"
    )


def test_python_s_instructions_have_the_names_that_the_diagnosis_looks_for():
    code = compile("a = b\ndef f(): return c\nfor d in a: pass", "cell", "exec")
    found = {
        (step.opname, step.argval)
        for part in (code, *(c for c in code.co_consts if inspect.iscode(c)))
        for step in dis.get_instructions(part)
    }
    wanted = {("STORE_NAME", "a"), ("LOAD_NAME", "b"), ("LOAD_GLOBAL", "c"), ("STORE_NAME", "d")}
    assert wanted <= found, (
        "Python changed its bytecode: nst/lab/provenance.py no longer sees what a cell defines"
    )


def test_ipython_names_the_cell_that_it_runs():
    parameters = inspect.signature(ExecutionInfo).parameters
    assert {"raw_cell", "cell_id"} <= parameters.keys(), (
        "IPython changed ExecutionInfo: nst/lab/provenance.py does not know which cell was run"
    )
    source = inspect.getsource(InteractiveShell.showtraceback)
    assert "_render_traceback_" in source, (
        "IPython changed how errors show themselves: nst/lab/diagnosis.py renders its own"
    )


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (NotebookClient, "async_start_new_kernel"),
        (NotebookClient, "async_execute_cell"),
        (NotebookClient, "process_message"),
        (NotebookClient, "_cleanup_kernel"),
        (NotebookClient, "code_cells_executed"),
        (AsyncKernelManager, "provisioner"),
    ],
)
def test_nbclient_has_what_the_terminal_s_client_overrides(owner, name):
    assert hasattr(owner, name) or name in inspect.getsource(owner), (
        f"nbclient or jupyter_client changed {owner.__name__}.{name}, which "
        "nst/lab/notebook_client.py uses to show progress and to pass Ctrl-C on"
    )


def test_pillow_opens_jpegs_beyond_its_limit_by_their_class(tmp_path):
    assert issubclass(JpegImagePlugin.JpegImageFile, JpegImagePlugin.ImageFile.ImageFile), (
        "Pillow changed JpegImageFile, by which nst/core/image_formats.py opens photos of more "
        "pixels than Image.open allows"
    )
