"""A working folder in which a course notebook, or an old script, finds what it expects."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from nst.core.config import OWN_WEIGHTS, PROJECT
from nst.core.files import make_folder

COPIED_FILE, COPIED_FILES = 10_000_000, 200_000_000  # bytes; what is larger is linked


@contextmanager
def working_folder(notebook, output_dir):
    """Yield a temporary folder to run a notebook in; what it makes there goes to `output_dir`.

    The folder holds the notebook's own files, `images/` and `pretrained-model/` with the project's
    pictures and weights added, and `output/`, which is `output_dir`. The notebook's files are
    copies, or links if they are large, so that none of them is overwritten.

    Arguments:
    notebook -- path of the notebook or script
    output_dir -- folder, made if missing
    """
    home = Path(notebook).resolve().parent
    make_folder(output_dir)
    with tempfile.TemporaryDirectory(prefix="nst-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary, home.name or "root")
        folder.mkdir()
        _link(Path(output_dir).resolve(), folder / "output")
        _merge(folder / "images", home / "images", PROJECT / "images")
        _merge(folder / "pretrained-model", home / "pretrained-model")
        if OWN_WEIGHTS.exists():
            _link(OWN_WEIGHTS.resolve(), folder / "pretrained-model" / OWN_WEIGHTS.name)
        _merge(folder, home, copy=True)
        _merge(folder.parent, home.parent)  # for ../
        before = {path: _stamp(path) for path in folder.iterdir()}
        yield folder
        for path in folder.iterdir():
            if _stamp(path) != before.get(path):
                _move(path, Path(output_dir))


def _merge(folder, *sources, copy=False):
    """Link, or copy, into `folder` what is in each source and not in the folder yet."""
    folder.mkdir(exist_ok=True)
    room = COPIED_FILES if copy else 0
    for source in filter(Path.is_dir, sources):
        for path in source.iterdir():
            target = folder / path.name
            if os.path.lexists(target):
                continue
            size = path.stat().st_size if path.is_file() else COPIED_FILES
            if size <= min(COPIED_FILE, room):
                shutil.copy2(path, target)
                room -= size
            else:
                _link(path, target)


def _link(path, target):
    """Link `target` to `path`; copy it on systems that do not let users make links."""
    if os.path.lexists(target):
        return
    try:
        os.symlink(path, target, target_is_directory=path.is_dir())
    except OSError:
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, target)


def _stamp(path):
    """Return what changes when a file is written."""
    status = path.lstat()
    return (status.st_mtime_ns, status.st_size) if path.is_file() else True


def _move(path, folder):
    if path.is_dir():
        shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
    else:
        shutil.move(path, folder / path.name)
