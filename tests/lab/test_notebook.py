"""Notebooks as data."""

import json
import subprocess
import sys

import pytest

from nst.core.config import LAB
from nst.lab.notebook import cells, functions_of

# --- functions out of notebooks -------------------------------------------------------


def test_functions_come_out_of_a_notebook_without_running_it(tmp_path):
    cells = [
        "import math\nCONSTANT = 3\nlower = 4",
        "def area(r):\n    return math.pi * r * CONSTANT",
    ]
    cells.append("raise RuntimeError('a cell that must not run')")
    notebook = {"cells": [{"cell_type": "code", "source": source} for source in cells]}
    path = tmp_path / "some.ipynb"
    path.write_text(json.dumps(notebook))
    module = functions_of(path)
    assert module.area(2) == pytest.approx(18.85, abs=0.01)
    assert not hasattr(module, "lower")


@pytest.mark.parametrize("path", sorted(LAB.parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_set_up_cell_without_the_package_says_what_to_do(path, tmp_path):
    first = next((cell["source"] for cell in cells(path) if cell["cell_type"] == "code"), "")
    if "set_up(" not in first:
        pytest.skip("no set-up cell")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", first], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1].startswith(
        "ImportError: No module named 'nst_utils': open this notebook with `make lab`, or install "
    )
