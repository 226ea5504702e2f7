"""The code of a submission, cell by cell. This runs in the sandbox: parsing can be attacked."""

import ast
import io
import json
import linecache
import re
import zipfile
from itertools import pairwise
from typing import NamedTuple

from nst.grading.protocol import SIZE_LIMIT

CELL_LIMIT = 1000
MARKER = re.compile(r"^# ?(?:In ?\[|%%)", re.M)  # of a cell in a script
BLOCK = re.compile(r"^(?:def|class|import|from|@)\b", re.M)  # at the left margin
UNPARSABLE = SyntaxError, ValueError, RecursionError, MemoryError
TF2_SIGNS = ("content_output", "generated_output", "vgg_model_outputs", "applications.VGG19")


class Cell(NamedTuple):
    title: str  # "cell 3", or the name of the script
    source: str
    first_line: int  # in its file; of a notebook's cell always 1
    is_code: bool = True


def read_cells(name, data):
    """Read a submission: a notebook, a script, or a zip that holds one of them.

    Arguments:
    name -- name of its file
    data -- its bytes

    Returns:
    list of Cells

    Raises ValueError for what is neither.
    """
    if data.startswith(b"PK\x03\x04"):
        name, data = _unpack(name, data)
    text = _decode(data)
    if problem := _not_a_notebook(text):
        raise ValueError(f"{name} is {problem}")
    is_script = name.lower().endswith(".py") and not text.lstrip().startswith("{")
    cells = _of_script(name, text) if is_script else _of_notebook(name, text)
    if len(cells) > CELL_LIMIT:
        raise ValueError(f"{name} has {len(cells):,} cells: hand in at most {CELL_LIMIT:,}")
    return cells


def _decode(data):
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _unpack(name, data):
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [file for file in archive.namelist() if not re.search(r"(^|/)[._]", file)]
            found = [file for file in inside if file.lower().endswith(".ipynb")]
            found = found or [file for file in inside if file.lower().endswith(".py")]
            if len(found) != 1:
                raise ValueError(f"{name} holds {len(found)} notebooks: hand in exactly one")
            with archive.open(found[0]) as file:
                data = file.read(SIZE_LIMIT + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError):
        raise ValueError(f"{name} cannot be unpacked: hand in the notebook itself") from None
    if len(data) > SIZE_LIMIT:
        raise ValueError(f"{found[0]} has more than {SIZE_LIMIT >> 20} MB: clear its outputs")
    return found[0].rpartition("/")[2], data


def _not_a_notebook(text):
    start = text.lstrip()[:200].lower()
    if not start:
        return "empty: save it again"
    if start.startswith("version https://git-lfs"):
        return "a Git LFS pointer, not the notebook: run git lfs pull, and hand in that file"
    if start.startswith(("<!doctype", "<html", "<?xml")):
        return "a web page (an exported notebook, or a login page): hand in the .ipynb itself"
    if start.startswith("%pdf"):
        return "a PDF: hand in the .ipynb itself"
    if re.search(r"^(<<<<<<< .*|>>>>>>> .*)$", text, re.M):
        return "in the middle of a merge conflict: remove the lines <<<<<<<, ======= and >>>>>>>"
    return ""


def _of_notebook(name, text):
    try:
        notebook = json.loads(text)
        sheets = notebook.get("worksheets") or [notebook]  # formats 1 to 3 have worksheets
        raw = [cell for sheet in sheets for cell in sheet["cells"]]
        cells, number = [], 0
        for cell in raw:
            source = cell.get("source", cell.get("input", ""))
            source = source if isinstance(source, str) else "".join(source)
            is_code = cell.get("cell_type") == "code"
            number += is_code
            title = f"cell {number}" if is_code else f"a {str(cell.get('cell_type'))[:20]} cell"
            cells.append(Cell(title, source, 1, is_code))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"{name} cannot be read as a notebook: save it again") from None
    return cells


def _of_script(name, text):
    marker = MARKER
    if not MARKER.search(text) and _statements(Cell(name, text, 1))[1]:
        marker = BLOCK  # so that a line that is not Python costs its block alone
    starts = [0, *(match.start() for match in marker.finditer(text)), len(text)]
    if len(starts) > CELL_LIMIT:
        raise ValueError(f"{name} has {len(starts):,} cells: hand in at most {CELL_LIMIT:,}")
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    return [
        Cell(name, text[start:end], 1 + text.count("\n", 0, start))
        for start, end in pairwise(starts)
    ]


def compile_cell(cell):
    """Compile a cell, statement by statement.

    Returns:
    statements -- list of (node of the syntax tree, code object)
    problem -- a sentence if the cell is not Python 3, else empty
    """
    if cell.title.startswith("cell "):
        lines = cell.source.splitlines(True)
        linecache.cache[cell.title] = (len(cell.source), None, lines, cell.title)
    nodes, problem = _statements(cell)
    return [(n, compile(ast.Module([n], []), cell.title, "exec")) for n in nodes], problem


def _statements(cell):
    """Parse a cell: (nodes, a sentence if it is not Python 3)."""
    from IPython.core.inputtransformer2 import TransformerManager

    source = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b.*", "", cell.source)
    try:
        # magics become calls of get_ipython()
        tree = ast.parse(TransformerManager().transform_cell(source))
    except UNPARSABLE as error:
        line = (getattr(error, "lineno", None) or 1) + cell.first_line - 1
        reason = getattr(error, "msg", str(error))[:100]
        return [], f"{cell.title} is not valid Python 3 (line {line}: {reason})"
    return ast.increment_lineno(tree, cell.first_line - 1).body, ""


def is_definition(node):
    """Return whether a statement is an import, or defines a function or a class."""
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)


def bound_names(node):
    """Name what a statement binds: functions, classes, imports, variables."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    stored = (n for n in ast.walk(node) if isinstance(n, ast.Name))
    names = [n.id for n in stored if isinstance(n.ctx, ast.Store)]
    aliases = node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
    return names + [alias.asname or alias.name.partition(".")[0] for alias in aliases]


def why_missing(name, cells, problems):
    """Return where a function is that no cell defines, as a sentence."""
    for cell in cells:
        if not cell.is_code and f"def {name}" in cell.source:
            return f"no code cell defines it: {cell.title} does. Turn that into a code cell."
        if not cell.is_code:
            continue
        found = re.search(rf"^def ({name})\s*\(", cell.source, re.M | re.I)
        if found and found[1] != name:
            return f"no cell defines it: {cell.title} calls it {found[1]}. Write it {name}."
        in_class = rf"^class (\w+).*\n(?:[ \t].*\n|\n)*?[ \t]+def {name}\("
        if found := re.search(in_class, cell.source, re.M):
            return (
                f"it is a method of the class {found[1]}. The notebook calls a function: move its "
                "def to the left margin, and leave out self."
            )
    return ". ".join(["no cell defines it", *problems, ""]).strip()


def is_tensorflow_2_edition(cells):
    """Return whether these cells are of the course's later edition, for TensorFlow 2."""
    text = "\n".join(cell.source for cell in cells if cell.is_code)
    return sum(sign in text for sign in TF2_SIGNS) >= 2


def files_named(cells):
    """List the images and weight files that the strings of cells name, in their order."""
    found = []
    for cell in cells:
        if cell.is_code:
            for text in re.findall(r"""(['"])([^'"\n]*\.(?:jpe?g|png|mat))\1""", cell.source, re.I):
                found.append(text[1].replace("\\\\", "\\"))
    return list(dict.fromkeys(found))
