"""Picture files of every format, opened: upright, in sRGB, or refused in one sentence."""

import difflib
import io
import os
import stat
import sys
import warnings
from contextlib import contextmanager, suppress

from PIL import Image, ImageCms, ImageOps, JpegImagePlugin

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@contextmanager
def open_picture(path):
    """Open a picture with Pillow; whatever fails before the block ends becomes one sentence."""
    path = _file(path)
    _prepare_for_heif(path)
    picture = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF and the like: no help to a reader
            with _open_any_size(path) as picture:
                yield picture
    except FileNotFoundError:
        raise FileNotFoundError(f"{os.path.abspath(path)} is not there: {_advice(path)}") from None
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
                f"{path} is a {picture.format} picture that is damaged or cut off "
                f"({error or type(error).__name__}): copy it again, or save it anew as JPEG or PNG"
            ) from None
        with open(path, "rb") as file:
            start = file.read(20)
        raise ValueError(
            f"{path} is not a picture that can be read (it starts with {start!r} and has "
            f"{os.path.getsize(path):,} bytes): save it as JPEG or PNG and try again"
        ) from None


def _file(path):
    """Return `path` with its ~ resolved; refuse what is not a file before it is opened."""
    if "://" in str(path):
        raise ValueError(f"{path} is a web address: download the picture and name its file")
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not a picture: name a picture in it")
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):  # to open it could hang
        raise ValueError(f"{path} is a pipe or a device, not a picture: name a file")
    return path


def _open_any_size(path):
    """Open a picture, a JPEG even beyond Pillow's limit: its draft mode needs little memory."""
    try:
        return Image.open(path)
    except Image.DecompressionBombError:
        with suppress(SyntaxError):  # no JPEG
            return JpegImagePlugin.JpegImageFile(path)
        raise


def _prepare_for_heif(path):
    """Teach Pillow HEIC, the format of telephones, where the library for it is installed."""
    try:
        with open(path, "rb") as file:
            start = file.read(40)
    except OSError:
        return  # told where the picture itself is opened
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS and b"avif" not in start:
        try:
            import pillow_heif
        except ImportError:
            raise ValueError(
                f"{path} is an HEIC picture, which needs pillow-heif: run {sys.executable} -m pip "
                "install pillow-heif, or save the picture as JPEG"
            ) from None
        pillow_heif.register_heif_opener()


def _advice(path):
    """Say what to do about a picture that is not there: name the one that may be meant."""
    folder, name = os.path.split(path)
    try:
        names = {other.casefold(): other for other in os.listdir(folder or ".")}
    except OSError:
        return f"check the folder {folder}"
    near = difflib.get_close_matches(name.casefold(), names, n=1)
    if near:
        return f"did you mean {os.path.join(folder, names[near[0]])}?"
    return "check the name of the picture"


def turn_upright(picture):
    """Turn and mirror a picture as its EXIF orientation asks."""
    picture.load()
    picture.getexif()  # Pillow keeps what it has read: without the bytes themselves it need not
    picture.info.pop("exif", None)  # write them anew, at which it fails where the EXIF is odd
    return ImageOps.exif_transpose(picture)


def to_srgb(picture, profile):
    """Turn a picture's colours into sRGB: what a screen shows, and what VGG was trained on.

    Arguments:
    picture -- of any mode
    profile -- bytes of the ICC profile that is embedded in it; one that is broken, or of another
        kind of colour, changes nothing, as in a browser
    """
    colours = picture.convert("RGB") if picture.mode == "RGBA" else picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return picture  # nearly every camera's: its pixels stay as they are
        target = ImageCms.createProfile("sRGB")
        colours = ImageCms.profileToProfile(colours, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return picture
    if picture.mode == "RGBA":
        colours.putalpha(picture.getchannel("A"))
    return colours
