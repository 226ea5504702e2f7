"""Notebooks as data."""

import json

import pytest

from nst.lab.notebook import functions_of

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
