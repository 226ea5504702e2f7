"""Submissions as files: find them, read their bytes. Nothing here parses what they hold."""

import os
import re
import stat
from pathlib import Path

from nst.assignment.spec import FUNCTIONS
from nst.grading.protocol import SIZE_LIMIT

ENDINGS = (".ipynb", ".ipynb.txt", ".ipynb.json", ".html", ".htm", ".zip")
DEFINES = re.compile(rb"\bdef (" + "|".join(FUNCTIONS).encode() + rb")\b", re.I)


def find_notebooks(path):
    """List what to grade at `path`: the file, or what a folder holds of notebooks and the like.

    In a folder these are notebooks, what students hand in instead (.html, .zip, .ipynb.txt), and
    each .py that defines a graded function or cannot be read. Hidden files are left alone, and so
    is what macOS packs next to files.

    Raises FileNotFoundError if there is nothing.
    """
    path = Path(path)
    if not path.is_dir():
        if os.path.lexists(path):
            return [path]
        raise FileNotFoundError(f"{path} not found: name a notebook, a .py, or a folder of them")
    found = []
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if _is_shown(name)]
        notebooks = [name for name in folders if name.lower().endswith(".ipynb")]  # get their rows
        folders[:] = [name for name in folders if name not in notebooks]
        names = [name for name in files if _is_shown(name)]
        found += [Path(folder, name) for name in notebooks]
        found += [path for name in names if _is_submission(path := Path(folder, name))]
    if not found:
        raise FileNotFoundError(
            f"{path} holds no graded function: name a notebook, a .py, or a folder of them"
        )
    return sorted(found, key=lambda file: [part.casefold() for part in file.parts])


def _is_shown(name):
    return not name.startswith(".") and name not in ("__MACOSX", "__pycache__")


def _is_submission(path):
    if path.suffix.lower() != ".py":
        return path.name.lower().endswith(ENDINGS)
    try:
        return bool(DEFINES.search(read_bytes(path)))
    except ValueError:
        return True  # it gets its row


def read_bytes(path, folder=None):
    """Read a submission's file.

    Arguments:
    folder -- folder that a link must not lead out of

    Raises ValueError for a file that cannot be read.
    """
    try:
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind):
            found = "a folder" if stat.S_ISDIR(kind) else "not a file"
            raise ValueError(f"{path.name} is {found}: hand in the notebook itself")
        if path.is_symlink() and not path.resolve().is_relative_to(
            (folder or path.parent).resolve()
        ):
            raise ValueError(f"{path.name} is a link to another place: hand in the notebook itself")
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise ValueError(f"{path.name} is a link to nothing: hand in the notebook itself") from None
    except OSError as error:
        raise ValueError(
            f"{path.name} cannot be opened ({error.strerror}): save it again"
        ) from None
    if len(data) > SIZE_LIMIT:
        limit = SIZE_LIMIT // 2**20
        raise ValueError(f"{path.name} has more than {limit} MB: clear its outputs, and save it")
    return data
