"""Files that are written whole or not at all, and folders that one process uses at a time."""

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def whole_file(path):
    """Yield a temporary path; it replaces `path` when the block ends without an error."""
    with temporary_beside(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def temporary_beside(path):
    """Yield a path in a temporary folder next to `path`, created if missing.

    Raises OSError, also for one raised in the block, in a sentence that says what to do.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
            yield Path(folder, path.name)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path, error):
    return OSError(
        f"{path} cannot be written ({error.strerror or error}): free some disk space, or choose a "
        "different output folder"
    )


def make_folder(path):
    """Create the folder `path` if it is missing; raise OSError if that fails."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"cannot create folder {path} ({error.strerror}): choose a different output folder"
        ) from None


@contextmanager
def stored_state(path, otherwise):
    """Yield the arrays of an .npz file, by name, to a block that unpacks them.

    Arguments:
    otherwise -- what to do instead of continuing; it ends the error's sentence

    Raises FileNotFoundError, or ValueError if the file cannot be read, if an array is missing, or
    if the block raises ValueError.
    """
    import numpy as np  # here: most commands that write files do not need it

    corrupt = ValueError(f"{path} is corrupt: {otherwise}")
    try:
        with np.load(path) as file:
            arrays = _Arrays(file)
    except MemoryError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} not found, so there is no run to continue: {otherwise}"
        ) from None
    except Exception:  # zipfile, NumPy and Python's tokenizer raise their own types
        raise corrupt from None
    try:
        yield arrays
    except ValueError:
        raise corrupt from None


class _Arrays(dict):
    def __missing__(self, name):
        raise ValueError(f"no array {name}")


@contextmanager
def claimed(folder):
    """Reserve a folder, created if missing, for this process while the block runs.

    The lock ends with its process, so a crashed run blocks nobody.

    Raises RuntimeError if another process uses the folder, OSError if it cannot be created.
    """
    make_folder(folder)
    lock = FileLock(Path(folder, ".run.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RuntimeError(
            f"{folder} is in use by another run: wait for it, or choose a different output folder"
        ) from None
    except OSError as error:
        raise _cannot_write(lock.lock_file, error) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reserved_path(paths):
    """Reserve the first of `paths` (Path) for this process while the block runs, and yield it.

    A path is passed over if a file is there already or another process has reserved it. The
    reservation ends with its process, however that ends, and leaves no file.

    Raises FileExistsError if all are taken, or OSError if the folder cannot be written to.
    """
    for path in paths:
        make_folder(path.parent)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        except OSError as error:
            raise _cannot_write(path, error) from None
        try:
            if not path.exists():
                yield path
                return
        finally:
            lock.release()
            with suppress(OSError):  # Windows: another process is just trying it
                os.unlink(lock.lock_file)
    raise FileExistsError(
        f"{path} exists already, or another run is making it: move it away, or choose another name"
    )
