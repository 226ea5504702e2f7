"""A working folder in which a course notebook, or an old script, finds what it expects."""

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from nst.core.config import OWN_WEIGHTS, PROJECT
from nst.core.files import make_folder

SMALL_FILE, SMALL_FILES = 10_000_000, 200_000_000  # bytes; one of them, all of them
LARGEST = 1_000_000_000  # bytes of a file or folder that the notebook names
ALWAYS = "images pretrained-model"  # which the course's helper module names


@contextmanager
def working_folder(notebook, code, output_dir):
    """Yield a temporary folder to run a notebook in; what it makes there goes to `output_dir`.

    The folder holds copies, so that no file of the user's is written over: the small files next to
    the notebook, the files and folders that its code names, here or as ../name, and in `images/`
    and `pretrained-model/` the project's pictures and weights as well. `output/` is `output_dir`.

    Arguments:
    notebook -- path of the notebook or script
    code -- text of its code cells
    output_dir -- folder, made if missing
    """
    home, output_dir = Path(notebook).resolve().parent, Path(output_dir).resolve()
    make_folder(output_dir)
    with tempfile.TemporaryDirectory(prefix="nst-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary, home.name or "root")
        folder.mkdir()
        with suppress(OSError):  # Windows lets few users make links: moved at the end instead
            os.symlink(output_dir, folder / "output", target_is_directory=True)
        (folder / "output").mkdir(exist_ok=True)
        _copy_small_files(home, folder)
        _copy_named(home, folder, code + ALWAYS)
        with suppress(PermissionError):  # /home, on many a server
            _copy_named(home.parent, folder.parent, code, "../")
        _copy(PROJECT / "images", folder / "images")
        if OWN_WEIGHTS.exists():
            (folder / "pretrained-model").mkdir(exist_ok=True)
            _copy(OWN_WEIGHTS, folder / "pretrained-model" / OWN_WEIGHTS.name)
        before = _stamps(temporary)
        try:
            yield folder
        finally:
            for path, stamp in _stamps(temporary).items():
                if stamp != before.get(path):
                    _move(path, folder, output_dir)


def _copy_small_files(source, target):
    room = SMALL_FILES
    for path in filter(Path.is_file, source.iterdir()):
        size = path.stat().st_size
        if size <= min(SMALL_FILE, room):
            _copy(path, target / path.name)
            room -= size


def _copy_named(source, target, code, prefix=""):
    """Copy the files and folders that code names, unless `target` has them already."""
    for path in source.iterdir():
        if prefix + path.stem not in code or os.path.lexists(target / path.name):
            continue
        size = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
        if size <= LARGEST:
            _copy(path, target / path.name)
        else:
            print(
                f"{path} is left out, since its {size / 1e9:.1f} GB are too much to copy: if it is "
                "needed, open the notebook in Jupyter with the kernel Course (TensorFlow 1)"
            )


def _copy(source, target):
    """Copy a file or a folder; a file that is there already stays."""
    with suppress(OSError):  # of a file that the user cannot read: the notebook cannot, either
        if os.path.isdir(source):
            shutil.copytree(source, target, copy_function=_copy, dirs_exist_ok=True)
        elif not os.path.lexists(target):
            shutil.copy2(source, target)


def _stamps(folder):
    """Return, for each file in a folder, what changes when it is written."""
    paths = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    status = {path: path.lstat() for path in paths}
    return {path: (s.st_mtime_ns, s.st_size) for path, s in status.items()}


def _move(path, folder, output_dir):
    """Move a file that the notebook made, in `folder` or in ../, to the folder of results."""
    top = folder if path.is_relative_to(folder) else folder.parent
    parts = path.relative_to(top).parts
    target = Path(output_dir, *parts[parts[0] == "output" :])
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)
