"""Files that are written whole or not at all, and folders that one process has for itself."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def whole_file(path):
    """Yield a temporary path beside `path`; it takes that name only once it is written whole."""
    with temporary_beside(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def temporary_beside(path):
    """Yield a path in a temporary folder beside `path`; an OSError says what to do."""
    path = Path(path)
    make_folder(path.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            yield Path(folder, path.name)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path, error):
    return OSError(
        f"{path} cannot be written ({error.strerror or error}): make room on the disk, or choose "
        "another output folder"
    )


def make_folder(path):
    """Make the folder `path` where it is missing; raise OSError where that fails."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"the folder {path} cannot be made ({error.strerror}): choose another output folder"
        ) from None


@contextmanager
def stored_state(path, otherwise):
    """Give the arrays of an .npz file, by name, to a block that takes them apart.

    Arguments:
    otherwise -- what to do where they cannot be had: it ends the sentence

    Raises FileNotFoundError, or ValueError for a file that cannot be read or taken apart.
    """
    import numpy as np  # here: most commands that write files do without

    try:
        with np.load(path) as file:
            yield dict(file)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is not there, so no run can be continued: {otherwise}"
        ) from None
    except Exception:  # zipfile, NumPy and Python's tokenizer raise their own kinds
        raise ValueError(f"{path} is damaged: {otherwise}") from None


@contextmanager
def claimed(folder):
    """Claim a folder, made if missing, for this process alone while the block runs.

    The lock ends with its process, however that ends, so a dead run blocks nobody.

    Raises RuntimeError where another process has the folder, OSError where it cannot be made.
    """
    make_folder(folder)
    lock = FileLock(Path(folder, ".run.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RuntimeError(
            f"{folder} is in use by another run: wait for it, or choose another output folder"
        ) from None
    except OSError as error:
        raise _cannot_write(lock.lock_file, error) from None
    try:
        yield
    finally:
        lock.release()
