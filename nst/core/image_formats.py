"""Image files of every format: opened, turned upright, converted to sRGB."""

import difflib
import io
import os
import stat
import sys
import warnings
from contextlib import contextmanager, suppress

from PIL import Image, ImageCms, ImageOps, JpegImagePlugin

from nst.core.config import PROJECT

SEVERAL = "or list several in a CSV file for `nst gallery`"
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@contextmanager
def open_picture(path):
    """Open an image with Pillow; any error until the block ends becomes one sentence.

    Raises OSError, ValueError or MemoryError.
    """
    path = _file(path)
    _prepare_for_heif(path)
    picture = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd EXIF and the like: no help to the user
            with _open_any_size(path) as picture:
                yield picture
    except FileNotFoundError:
        raise FileNotFoundError(f"{os.path.abspath(path)} not found: {_advice(path)}") from None
    except Image.DecompressionBombError:
        raise ValueError(
            f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} megapixels, too many for "
            f"any format but JPEG: save it smaller or as JPEG"
        ) from None
    except MemoryError:
        raise MemoryError(
            f"{path} does not fit into the free memory: choose a smaller size"
        ) from None
    except Exception as error:  # Pillow raises a dozen kinds for a damaged file
        if getattr(error, "strerror", None):
            raise OSError(
                f"{path} cannot be opened ({error.strerror}): check its name, and that you may "
                "read it"
            ) from None
        if picture:
            raise ValueError(
                f"{path} is a corrupt or truncated {picture.format} "
                f"({error or type(error).__name__}): copy it again, or save it again as JPEG or PNG"
            ) from None
        with open(path, "rb") as file:
            start = file.read(20)
        raise ValueError(
            f"{path} is not an image that can be read (it starts with {start!r} and has "
            f"{os.path.getsize(path):,} bytes): save it as JPEG or PNG and try again"
        ) from None


def _file(path):
    """Return `path` with its ~ expanded; refuse anything but a file before opening it."""
    if "://" in str(path):
        raise ValueError(f"{path} is a web address: download the image and name its file")
    path = os.path.expanduser(path)
    if not os.path.exists(path) and os.path.exists(PROJECT / path):
        path = PROJECT / path  # an image of this project
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not an image: name an image in it, {SEVERAL}")
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):  # opening could hang
        raise ValueError(f"{path} is a pipe or a device, not an image: name a file")
    return path


def _open_any_size(path):
    """Open an image, a JPEG even beyond Pillow's size limit: its draft mode needs little memory."""
    try:
        return Image.open(path)
    except Image.DecompressionBombError:
        with suppress(SyntaxError):  # not a JPEG
            return JpegImagePlugin.JpegImageFile(path)
        raise


def _prepare_for_heif(path):
    """Let Pillow read HEIC, the format of phones, if the library for it is installed."""
    try:
        with open(path, "rb") as file:
            start = file.read(40)
    except OSError:
        return  # reported when the image itself is opened
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS and b"avif" not in start:
        try:
            import pillow_heif
        except ImportError:
            raise ValueError(
                f"{path} is an HEIC image, which needs pillow-heif: run {sys.executable} -m pip "
                "install pillow-heif, or save the image as JPEG"
            ) from None
        pillow_heif.register_heif_opener()


def _advice(path):
    """Return what to do about a missing image: the name that may have been meant."""
    folder, name = os.path.split(path)
    if set(name) & set("*?"):
        return f"name one image, give `nst paint` a folder of photographs, {SEVERAL}"
    if folder and not os.path.isdir(folder):
        return f"check the folder {folder}"
    folders = [folder] if folder else ["", os.path.relpath(PROJECT / "images")]
    found = {}
    for place in reversed(folders):
        with suppress(OSError):
            found |= {n.casefold(): os.path.join(place, n) for n in os.listdir(place or ".")}
    near = difflib.get_close_matches(name.casefold(), found, n=1, cutoff=0.75)
    return f"did you mean {found[near[0]]}?" if near else "check the name of the image"


def turn_upright(picture):
    """Rotate and mirror an image by its EXIF orientation."""
    picture.load()
    picture.getexif()  # Pillow keeps the parsed EXIF: without the raw bytes it does not
    picture.info.pop("exif", None)  # rewrite them, which fails if the EXIF is malformed
    return ImageOps.exif_transpose(picture)


def to_srgb(picture, profile):
    """Convert an image's colors to sRGB, which screens show and VGG was trained on.

    Arguments:
    picture -- PIL image of any mode
    profile -- bytes of its embedded ICC profile; one that is broken, or for a different color
        model, changes nothing, as in a browser
    """
    colors = picture.convert("RGB") if picture.mode == "RGBA" else picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return picture  # most cameras: nothing to convert
        target = ImageCms.createProfile("sRGB")
        colors = ImageCms.profileToProfile(colors, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return picture
    if picture.mode == "RGBA":
        colors.putalpha(picture.getchannel("A"))
    return colors
