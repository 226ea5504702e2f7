"""The code of a submission, cell by cell. This runs in the sandbox: parsing can be attacked."""

import ast
import dis
import io
import json
import linecache
import re
import zipfile
from itertools import pairwise
from typing import NamedTuple

from IPython.core.inputtransformer2 import TransformerManager

from nst.grading.protocol import SIZE_LIMIT

CELL_LIMIT = 1000
MARKER = re.compile(r"^# ?(?:In ?\[|%%)", re.M)  # of a cell in a script
BLOCK = re.compile(r"^(?:def|class|import|from|@)\b", re.M)  # at the left margin
UNPARSABLE = SyntaxError, ValueError, RecursionError, MemoryError
RUNNING_MAGICS = ("time", "timeit", "capture", "prun")  # which run the rest of their cell
TF2_SIGNS = ("content_output", "generated_output", "vgg_model_outputs", "applications.VGG19")
TENSORFLOW_2 = (
    "it is of the TensorFlow 2 edition of the assignment. This grader is for the TensorFlow 1 "
    "edition, all of its versions: grade it by hand"
)
NO_NOTEBOOKS = {  # pattern of the text: what it is
    r"\s*\Z": "empty: save it again",
    r"\s*version https://git-lfs": "a Git LFS pointer, not the notebook: run git lfs pull, and "
    "hand in that file",
    r"(?i)\s*<(!doctype|html|\?xml)": "a web page (an exported notebook, or a login page): hand "
    "in the .ipynb itself",
    r"(?ms).*?^(<<<<<<<|>>>>>>>) ": "in the middle of a merge conflict: remove the lines <<<<<<<, "
    "======= and >>>>>>>",
}


class Cell(NamedTuple):
    title: str  # "cell 3", or the name of the script
    source: str
    first_line: int = 1  # in its file; of a notebook's cell always 1
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
    is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if is_wide else "utf-8-sig", "replace").replace("\r\n", "\n")
    for pattern, kind in NO_NOTEBOOKS.items():
        if re.match(pattern, text):
            raise ValueError(f"{name} is {kind}")
    is_script = name.lower().endswith(".py") and not text.lstrip().startswith("{")
    cells = _of_script(name, text) if is_script else _of_notebook(name, text)
    if len(cells) > CELL_LIMIT:
        raise ValueError(f"{name} has {len(cells):,} cells: hand in at most {CELL_LIMIT:,}")
    text = "\n".join(cell.source for cell in cells if cell.is_code)
    if sum(sign in text for sign in TF2_SIGNS) >= 2:
        raise ValueError(TENSORFLOW_2)
    return cells


def _unpack(name, data):
    """Read the one notebook or script in a zip: (name, bytes)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = [file for file in archive.namelist() if not re.search(r"(^|/)[._]", file)]
            found = [file for file in inside if file.lower().endswith(".ipynb")]
            found = found or [file for file in inside if file.lower().endswith(".py")]
            if len(found) != 1:
                raise ValueError(f"{name} holds {len(found)} notebooks: hand in exactly one")
            with archive.open(found[0]) as file:
                return found[0].rpartition("/")[2], file.read(SIZE_LIMIT)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError):
        raise ValueError(f"{name} cannot be unpacked: hand in the notebook itself") from None


def _of_notebook(name, text):
    try:
        notebook = json.loads(text)
        sheets = notebook.get("worksheets") or [notebook]  # formats 1 to 3 have worksheets
        cells, number = [], 0
        for cell in [cell for sheet in sheets for cell in sheet["cells"]]:
            source, kind = "".join(cell.get("source", cell.get("input", ""))), cell.get("cell_type")
            number += kind == "code"
            title = f"cell {number}" if kind == "code" else f"a {kind} cell"
            source = re.sub(r"\A(\s*\n)+", "", source)  # as IPython does, before it counts lines
            _keep_source(title, source)
            cells.append(Cell(title, source, is_code=kind == "code"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"{name} cannot be read as a notebook: save it again") from None
    return cells


def _of_script(name, text):
    marker = MARKER
    if not MARKER.search(text) and compile_cell(Cell(name, text))[1]:
        marker = BLOCK  # so that a line that is not Python costs its block alone
    starts = [0, *(match.start() for match in marker.finditer(text)), len(text)]
    _keep_source(name, text)
    cells, line = [], 1
    for start, end in pairwise(starts):
        cells.append(Cell(name, text[start:end], line))
        line += text.count("\n", start, end)
    return cells


def _keep_source(title, source):
    """Let tracebacks and `inspect` find the lines of a cell or of a script."""
    linecache.cache[title] = (len(source), None, source.splitlines(True), title)


def compile_cell(cell):
    """Compile a cell, statement by statement.

    Returns:
    statements -- list of code objects; empty for a cell of text
    problem -- a sentence if the cell is not Python 3, else empty
    """
    source = re.sub(rf"\A\s*%%({'|'.join(RUNNING_MAGICS)})\b.*", "", cell.source)
    try:
        # magics become calls of get_ipython()
        code = TransformerManager().transform_cell(source if cell.is_code else "")
        tree = ast.parse("\n" * (cell.first_line - 1) + code)  # numbered as in its file
        return [compile(ast.Module([node], []), cell.title, "exec") for node in tree.body], ""
    except UNPARSABLE as error:
        line = getattr(error, "lineno", None) or cell.first_line
        reason = getattr(error, "msg", str(error))[:100]
        return [], f"{cell.title} is not valid Python 3 (line {line}: {reason})"


def bound_names(code):
    """Name what a statement binds: functions, classes, imports, variables."""
    return {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_NAME"}


def why_missing(name, cells, problems):
    """Return where a function is that no cell defines, as a sentence."""
    for cell in cells:
        found = re.search(rf"^([ \t]*)def ({name})\s*\(", cell.source, re.M | re.I)
        if found and not cell.is_code:
            return f"no code cell defines it: {cell.title} does. Turn that into a code cell."
        if found and found[2] != name:
            return f"no cell defines it: {cell.title} calls it {found[2]}. Write it {name}."
        if found and found[1]:
            return (
                f"it is defined inside a class or a block in {cell.title}. Move its def to the "
                "left margin, and leave out self."
            )
    return ". ".join(["no cell defines it", *problems, ""]).strip()


def files_named(cells):
    """List the images and weight files that the strings of cells name, in their order."""
    text = "\n".join(cell.source for cell in cells if cell.is_code)
    names = re.findall(r"""['"]([^'"\n]*\.(?:jpe?g|png|mat))['"]""", text, re.I)
    return [name.replace("\\\\", "\\") for name in names]
