"""Shared by all tests: graph mode, as in the lab, and a miniature VGG-19 on disk."""

import atexit
import gc
import importlib
import os
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from nst.core.tensorflow import import_tensorflow
from nst.lab.training import close_session
from nst.vgg.tiny import write_fake_vgg

ROOT = Path(__file__).resolve().parent.parent

sys.modules.setdefault("rfc3987_syntax", None)  # a second of import: see nst/__main__.py
tf = import_tensorflow()
tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()


def pytest_collection_finish():
    """Keep the half million objects of the imports out of each garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def fake_weights(tmp_path_factory):
    """Path of a miniature VGG-19 in MatConvNet's current layout."""
    path = tmp_path_factory.mktemp("weights") / "imagenet-vgg-verydeep-19.mat"
    write_fake_vgg(path)
    return path


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium."""
    from tests.browser.browsing import headless_chromium  # here: most tests do without Playwright

    with headless_chromium() as browser:
        yield browser


@pytest.fixture
def untouched(monkeypatch):
    """Undo afterwards what the lab's set-up cell changes in this process."""
    from tensorflow.python.framework import random_seed

    monkeypatch.setattr(tf.Tensor, "__array__", tf.Tensor.__array__)
    monkeypatch.setattr(random_seed, "get_seed", random_seed.get_seed)
    numpy_1 = "numpy.core.arrayprint"
    arrayprint = sys.modules.get("numpy._core.arrayprint") or sys.modules[numpy_1]
    monkeypatch.setattr(arrayprint, "FloatingFormat", arrayprint.FloatingFormat)
    for name in ("tensorflow", "scipy.misc"):
        monkeypatch.setitem(sys.modules, name, importlib.import_module(name))
    with np.printoptions():
        yield


@pytest.fixture
def shell(untouched, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)  # of a notebook that runs these tests
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])  # IPython replaces it
    shell = InteractiveShell.instance()
    # the history of errors, which nothing reads: each costs a traceback of its own
    monkeypatch.setattr(shell, "_format_exception_for_storage", lambda *_: None, raising=False)
    yield shell
    close_session()
    shell.atexit_operations()  # else it keeps all that a notebook made until Python ends
    atexit.unregister(shell.atexit_operations)
    InteractiveShell.clear_instance()


@pytest.fixture
def run_cell(shell, fake_weights, tmp_path, monkeypatch, capsys):
    """Run a cell as JupyterLab does; return its output if it failed, else None."""
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr(sys, "path", sys.path[:])
    values = {"OUTPUT_DIR": str(tmp_path), "VGG_MODEL": str(fake_weights), "ITERATIONS": 2}

    def run(cell, source):
        capsys.readouterr()
        if not shell.run_cell(source, store_history=True, cell_id=cell).success:
            return capsys.readouterr().out.rstrip()
        if cell == "parameters":
            shell.push(values | {"SIZE": 48})
        return None

    return run


def as_nobody(function, *args):
    """Call a function without root's privileges."""
    if os.name == "nt":
        pytest.skip("rights of files work otherwise on Windows")
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        function(*args)
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def folder_for_all():
    """A folder outside pytest's own, which others may not enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        os.chmod(folder, 0o755)
