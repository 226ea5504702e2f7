"""Submissions as files: find them, read their bytes. Nothing here parses what they hold."""

import os
import re

from nst.assignment.spec import FUNCTIONS
from nst.grading.protocol import SIZE_LIMIT

ENDINGS = (".ipynb", ".ipynb.txt", ".ipynb.json", ".html", ".htm", ".zip")
DEFINES = re.compile(rb"\bdef (" + "|".join(FUNCTIONS).encode() + rb")\b", re.I)


def find_notebooks(path):
    """List what to grade at `path` (Path): the file, or what a folder holds of notebooks.

    In a folder these are notebooks, what students hand in instead (.html, .zip, .ipynb.txt), and
    each .py that defines a graded function or cannot be read. Hidden files are left alone, and so
    is what macOS packs next to files.

    Raises FileNotFoundError if there is nothing.
    """
    if os.path.lexists(path) and not path.is_dir():
        return [path]
    found = [file for file in path.rglob("*") if _is_submission(file, file.relative_to(path).parts)]
    if not found:
        problem = "holds no graded function" if path.is_dir() else "not found"
        raise FileNotFoundError(f"{path} {problem}: name a notebook, a .py, or a folder of them")
    return sorted(found, key=lambda file: [part.casefold() for part in file.parts])


def _is_submission(path, parts):
    if any(part.startswith(".") or part in ("__MACOSX", "__pycache__") for part in parts):
        return False
    if path.suffix.lower() != ".py":
        return path.name.lower().endswith(ENDINGS)
    try:
        return bool(DEFINES.search(read_bytes(path)))
    except ValueError:
        return True  # it gets its row


def read_bytes(path):
    """Read a submission's file; raise ValueError if that is not possible.

    A link is refused: it could lead to somebody else's solution.
    """
    try:
        if path.is_symlink() or not path.is_file():
            kind = "a link" if path.is_symlink() else "not a file"
            raise ValueError(f"{path.name} is {kind}: hand in the notebook itself")
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        reason = error.strerror
        raise ValueError(f"{path.name} cannot be opened ({reason}): save it again") from None
    if len(data) > SIZE_LIMIT:
        limit = SIZE_LIMIT // 2**20
        raise ValueError(f"{path.name} has more than {limit} MB: clear its outputs, and save it")
    return data
