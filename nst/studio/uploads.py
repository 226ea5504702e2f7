"""Pictures that come from a browser, or are refused in one sentence, and pictures that go back."""

import io
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from PIL import Image

from nst.core.files import make_folder, whole_file
from nst.core.images import fit_size, load_image, save_image
from nst.painting.options import unused_output_path

PREVIEW = 800  # pixels, the longest side

# A file travels to the kernel as one message, and a server breaks off at one that is too large: the
# page then sends a stand-in of the type TOO_LARGE, which holds the file's size.
MESSAGE_LIMIT = "NST_MESSAGE_LIMIT"  # the variable in which a server says what it takes, in bytes
TORNADOS_LIMIT = 10 << 20  # where it says nothing
TOO_LARGE, NO_FILE = "application/x-too-large", "application/x-no-file"


def largest_file():
    """Return the size in bytes of the largest file that reaches the kernel."""
    limit = int(os.environ.get(MESSAGE_LIMIT, TORNADOS_LIMIT))
    return limit - (64 << 10)  # beside it a message has names


def receive(file, folder):
    """Keep an uploaded file, under its own name, in a new folder inside `folder`.

    Arguments:
    file -- dict with name, type and content, as ipywidgets.FileUpload has them

    Returns:
    its path, and its picture: (height, width, 3), RGB, uint8, at most PREVIEW pixels long

    Raises OSError, ValueError or MemoryError, where there is no picture in it.
    """
    name = Path(file["name"].replace("\\", "/")).name
    if file["type"] == NO_FILE:
        raise ValueError("That is no file: drop a picture file, or choose one with the button")
    if file["type"] == TOO_LARGE:
        raise ValueError(
            f"{name} has {int(bytes(file['content'])) / 1e6:,.0f} MB, and this page takes up to "
            f"{largest_file() / 1e6:,.0f} MB: save it smaller, or as JPEG"
        )
    stem, suffix = os.path.splitext(name)
    path = Path(tempfile.mkdtemp(dir=folder), stem[:40] + suffix[:10])
    with whole_file(path) as temporary:
        temporary.write_bytes(file["content"])
    return path, load_image(path, *fit_size(path, PREVIEW))


def as_jpeg(pixels):
    """Encode (height, width, 3), uint8, for the page."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def save_new(image, content, style):
    """Save a normalised image in output/, under a name that no file has; return its path.

    Raises OSError.
    """
    while True:
        path = unused_output_path(content, [style])
        make_folder(path.parent)
        with suppress(FileExistsError):
            path.touch(exist_ok=False)  # another tab may be saving, too
            break
    try:
        save_image(path, image)
    except BaseException:
        path.unlink()
        raise
    return path
