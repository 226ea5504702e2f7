"""Notebooks as data: their cells, their functions."""

import ast
import json
from pathlib import Path
from types import ModuleType

# prefix of the display id of a run's progress line, which `nst run` prints
PROGRESS_ID = "nst-progress-"


def cells(notebook):
    """Yield the cells of a notebook file, `source` as one text."""
    for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
        yield cell | {"source": "".join(cell["source"])}


def functions_of(notebook):
    """Take a notebook's functions without running the rest of it.

    The lessons and the tests use the lab's cost functions out of the lab's notebook, so each is
    written once. A function that reads a notebook's global (`sess`, `model`) finds what the caller
    sets: `lab = functions_of("notebooks/….ipynb"); lab.sess = sess`.

    Returns:
    module with the notebook's imports, functions and constants (NAME = literal)
    """
    module = ModuleType(Path(notebook).stem)
    for cell in cells(notebook):
        if cell["cell_type"] == "code":
            tree = ast.parse(cell["source"])
            tree.body = [node for node in tree.body if _defines(node)]
            exec(compile(tree, notebook, "exec"), vars(module))
    return module


def _defines(node):
    """Return whether a statement is an import (also inside `try`), a function or a constant."""
    if isinstance(node, ast.Try):
        return all(map(_defines, node.body))
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        try:
            ast.literal_eval(node.value)
        except ValueError:
            return False
        return node.targets[0].id.isupper()
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef))
