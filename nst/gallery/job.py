"""One pair painted, here or on a cluster's worker: from bytes to bytes, in a scratch folder."""

import os
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

from nbclient.exceptions import DeadKernelError

from nst.core.config import CONFIG, LAB
from nst.core.images import save_image
from nst.core.progress import ProgressLine
from nst.lab.runner import CellFailed, run
from nst.painting.options import describe, load_painter

ROLES = "content", "style"
ONE_AT_A_TIME = threading.Lock()  # however many threads a Dask worker has


def paint_pair(content, style, method, values, folder=None):
    """Paint one pair; the scratch folder is removed afterwards.

    Arguments:
    content, style -- (file name, bytes) of an image
    method -- "paint", from coarse to fine, or "lab", the assignment's way
    values -- dict of the lab's parameters by name; SIZE, PRECISION and VGG_MODEL also count for
        "paint"
    folder -- folder in which the scratch folder is made

    Returns:
    jpeg -- bytes of the generated image
    seconds -- time it took

    Raises RuntimeError.
    """
    start = time.monotonic()
    with ONE_AT_A_TIME, tempfile.TemporaryDirectory(prefix=".gallery-", dir=folder) as scratch:
        paths = [_write(scratch, *named) for named in zip(ROLES, (content, style), strict=True)]
        try:
            METHODS[method](*paths, Path(scratch), values)
        except (FloatingPointError, MemoryError, OSError, RuntimeError, ValueError) as error:
            raise RuntimeError(str(error).replace(scratch + os.sep, "")) from None
        return Path(scratch, "generated_image.jpg").read_bytes(), time.monotonic() - start


def _write(scratch, role, named):
    name, data = named
    path = Path(scratch, role, name)
    path.parent.mkdir()
    path.write_bytes(data)
    return str(path)


def _run_lab(content, style, scratch, values):
    pictures = {"CONTENT_IMAGE": content, "STYLE_IMAGE": style, "OUTPUT_DIR": str(scratch)}
    try:
        run(LAB, scratch, values | pictures)
    except CellFailed as error:
        raise RuntimeError(error.reason) from None
    except DeadKernelError:
        raise RuntimeError("the lab's kernel died: is there enough memory?") from None


def _paint(content, style, scratch, values):
    names = {"SIZE": "size", "PRECISION": "precision", "VGG_MODEL": "model"}
    settings = {names[name]: value for name, value in values.items() if name in names}
    line = ProgressLine()
    paint = load_painter()
    with closing(paint(content, style, **{"size": CONFIG.IMAGE_WIDTH} | settings)) as painting:
        for progress in painting:
            line.show(describe(progress))
    line.end()
    save_image(scratch / "generated_image.jpg", progress.full_size())


METHODS = {"paint": _paint, "lab": _run_lab}
