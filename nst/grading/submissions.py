"""Submissions as data: find them, read them, select what their graded functions need."""

import ast
import dis
import linecache
import os
import re
import stat
from itertools import pairwise
from pathlib import Path
from types import CodeType

from nst.assignment.spec import FUNCTIONS, PROVIDED

SIZE_LIMIT = 2**26  # bytes; a notebook with its pictures has a few MB


def find_notebooks(path):
    """List what to grade at `path`: the file, or the notebooks and scripts of a folder.

    In a folder that is whatever is named .ipynb, and each .py that defines a graded function or
    cannot be read; hidden files are left alone, and so is what macOS packs beside the files.

    Raises FileNotFoundError where there is nothing.
    """
    path = Path(path)
    if not path.is_dir():
        if os.path.lexists(path):
            return [path]
        raise FileNotFoundError(f"{path} is not there: name a notebook, a .py, or a folder of them")
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if _is_shown(name)]
        found += [Path(folder, name) for name in [*folders, *files] if _is_submission(folder, name)]
        folders[:] = [name for name in folders if not name.lower().endswith(".ipynb")]
    if not found:
        raise FileNotFoundError(
            f"{path} holds no graded function: name a notebook, a .py, or a folder of them"
        )
    return sorted(found, key=lambda file: [part.casefold() for part in file.parts])


def _is_shown(name):
    return not name.startswith(".") and name not in ("__MACOSX", "__pycache__")


def _is_submission(folder, name):
    path = Path(folder, name)
    if not _is_shown(name):
        return False
    if name.lower().endswith(".ipynb"):
        return True
    if not name.lower().endswith(".py") or path.is_dir():
        return False
    try:
        text = read_text(path)
    except ValueError:
        return True  # it gets its row
    return any(f"def {function}(" in text for function in FUNCTIONS)


def read_text(path, folder=None):
    """Read a submission as text.

    Arguments:
    folder -- what a link must not lead out of

    Raises ValueError for a file that cannot be read.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a file"
            raise ValueError(f"{path.name} is {kind}: hand in the notebook itself")
        if status.st_size > SIZE_LIMIT:
            size = status.st_size // 2**20
            raise ValueError(f"{path.name} has {size} MB: clear its outputs, and save it again")
        if path.is_symlink() and not _inside(path, folder or path.parent):
            raise ValueError(f"{path.name} is a link to another place: hand in the notebook itself")
        return Path(path).read_bytes().decode("utf-8-sig", "replace")
    except FileNotFoundError:
        raise ValueError(f"{path.name} is a link to nothing: hand in the notebook itself") from None
    except OSError as error:
        raise ValueError(
            f"{path.name} cannot be opened ({error.strerror}): save it again"
        ) from None


def _inside(path, folder):
    return path.resolve().is_relative_to(Path(folder).resolve())


def read_cells(path, folder=None):
    """Read the code of a notebook or a script as a list of (name, source).

    Raises ValueError.
    """
    text = read_text(path, folder)
    if path.suffix.lower() != ".ipynb":
        text = text.replace("\r\n", "\n")
        starts = [0, *(m.start() for m in re.finditer(r"^# (In\[|%%)", text, re.M)), len(text)]
        return [  # the empty lines keep the numbers of the others
            (path.name, "\n" * text.count("\n", 0, start) + text[start:end])
            for start, end in pairwise(starts)
        ]
    import nbformat.reader  # here: it brings much that the process of a submission can do without

    try:
        # no nbformat.read: it validates, and grumbles about what other programs have left out
        notebook = nbformat.reader.reads(text)
        cells = nbformat.convert(notebook, 4).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        if not all(isinstance(source, str) for source in code):
            raise TypeError
    except Exception:  # nbformat raises whatever its parts raise
        raise ValueError(f"{path.name} cannot be read as a notebook: save it again") from None
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
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line, said = getattr(error, "lineno", None) or 1, getattr(error, "msg", str(error))
            unreadable.append(f"{name} is not valid Python 3 (line {line}: {said})")
    return statements, unreadable


def files_named(cells):
    """List the pictures and weight files that the strings of cells name, in their order."""
    pattern, found = re.compile(r".*\.(jpe?g|png|mat)", re.IGNORECASE), []
    for _, source in cells:
        try:
            nodes = ast.walk(ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            found += re.findall(r"""['"]([^'"\n]*\.(?:jpe?g|png|mat))['"]""", source)
            continue
        strings = (node.value for node in nodes if isinstance(node, ast.Constant))
        found += [text for text in strings if isinstance(text, str) and pattern.fullmatch(text)]
    return list(dict.fromkeys(found))


def methods(cells):
    """Find graded functions that are methods of a class: {function: class}."""
    found = {}
    for _, source in cells:
        try:
            nodes = list(ast.walk(ast.parse(source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                names = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
                found |= {name: node.name for name in names if name in FUNCTIONS}
    return found


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
