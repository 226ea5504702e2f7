"""Submissions as data: find them, read them, select what their graded functions need."""

import ast
import dis
import linecache
import re
from itertools import pairwise
from types import CodeType

import nbformat.reader

from nst.config import PROJECT

# Read, not imported: the process that grades needs no TensorFlow.
FUNCTIONS = re.findall(
    r"^def (\w+)_test\(", (PROJECT / "tests" / "public_tests.py").read_text("utf-8"), re.M
)
PROVIDED = {"sess", "model", "train_step", "J", "J_content", "J_style"}  # by the public tests


def find_notebooks(path):
    """List what to grade at `path`: the file, or the notebooks and scripts of a folder."""
    if path.is_file():
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix in (".ipynb", ".py")
        and ".ipynb_checkpoints" not in file.parts
        and any(f"def {f}(" in file.read_text("utf-8", "replace") for f in FUNCTIONS)
    ]
    if not found:
        what = "holds no graded function" if path.is_dir() else "is not there"
        raise FileNotFoundError(f"{path} {what}: name a notebook, a .py, or a folder of them")
    return found


def read_cells(path):
    """Read the code of a notebook or a script as a list of (name, source)."""
    if path.suffix != ".ipynb":
        text = path.read_text("utf-8", "replace")
        starts = [0, *(m.start() for m in re.finditer(r"^# (In\[|%%)", text, re.M)), len(text)]
        return [  # the empty lines keep the numbers of the others
            (path.name, "\n" * text.count("\n", 0, start) + text[start:end])
            for start, end in pairwise(starts)
        ]
    try:
        # no nbformat.read: it validates, and grumbles about what other programs have left out
        notebook = nbformat.reader.reads(path.read_text("utf-8"))
        cells = nbformat.convert(notebook, 4).cells
    except Exception:  # nbformat raises whatever its parts raise
        raise ValueError(f"{path} cannot be read as a notebook: save it again") from None
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    return [(f"cell {number}", source) for number, source in enumerate(code, 1)]


def compile_cells(cells):
    """Compile cells, statement by statement.

    Returns:
    statements -- list of code objects
    unreadable -- list of sentences on cells that are no Python 3
    """
    from IPython.core.inputtransformer2 import TransformerManager

    statements, unreadable = [], []
    for name, source in cells:
        if name.startswith("cell "):
            source = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b.*", "", source)
            source = TransformerManager().transform_cell(source)  # magics: calls of get_ipython()
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        try:
            nodes = ast.parse(source).body
            statements += [compile(ast.Module([node], []), name, "exec") for node in nodes]
        except SyntaxError as error:
            unreadable.append(f"{name} is no Python 3 (line {error.lineno}: {error.msg})")
    return statements, unreadable


def definitions(statements):
    """Select the imports, and what sets the names that graded functions use, however far off."""
    needed, chosen = set(FUNCTIONS), []
    while more := [
        code
        for code in statements
        if code not in chosen
        and (global_names(code, "IMPORT") or needed & global_names(code, "STORE"))
    ]:
        chosen += more
        needed = needed.union(*(global_names(code, "LOAD") for code in more)) - PROVIDED
    return [code for code in statements if code in chosen]


def global_names(code, verb):
    """Name the globals that a statement stores or imports, or that it and its functions load."""
    verbs = {f"{verb}_NAME", f"{verb}_GLOBAL"}
    names = {step.argval for step in dis.get_instructions(code) if step.opname in verbs}
    inner = [part for part in code.co_consts if isinstance(part, CodeType) and verb == "LOAD"]
    return names.union(*(global_names(part, verb) for part in inner))
