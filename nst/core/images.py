"""Images: read, normalized, saved and shown.

Images are RGB; "0-255" means as stored, "normalized" means with `CONFIG.MEANS` subtracted.
"""

import os
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from PIL import ExifTags, Image, ImageOps

from nst.core.config import CONFIG, SHORTEST_SIDE, image_size
from nst.core.files import temporary_beside, whole_file
from nst.core.image_formats import open_picture, to_srgb, turn_upright
from nst.core.memory import check_memory

JPEG_EXTENSIONS = (".jpg", ".jpeg")
PICTURE_EXTENSIONS = (*JPEG_EXTENSIONS, ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")

# The lab's results differ in color from pixel to pixel: with Pillow's defaults (quality 75, color
# at half the resolution) a JPEG's PSNR is 25 dB, with these options 36 dB at four times the size.
JPEG_OPTIONS = {"quality": 95, "subsampling": "4:4:4"}

FLOAT32_PIXEL = 12  # bytes


def load_image(path, height=None, width=None):
    """Read an image: upright, cropped around its center and resampled, never stretched.

    Reads every format that Pillow reads, and HEIC if pillow-heif is installed. An animation gives
    its first frame, transparency becomes white, 16 bits per channel become 8, and colors with an
    embedded profile become sRGB. A 32-bit gray image does not define white, so its values are
    stretched to the range from black to white.

    Arguments:
    path -- path of the image file
    height, width -- wanted, in pixels; by default, CONFIG's

    Returns:
    array (height, width, 3), RGB, uint8

    Raises OSError or ValueError.
    """
    height, width = image_size(height, width)
    _check_pixels("height", height)
    _check_pixels("width", width)
    check_memory(height, width, FLOAT32_PIXEL, "reading an image")
    with open_picture(path) as picture:
        # a JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction of the memory; twice the size
        # of the result, in either orientation, is enough for LANCZOS
        picture.draft(None, (2 * max(height, width),) * 2)
        is_16_bit = picture.mode != "F" and picture.format in ("PNG", "PPM")
        upright = turn_upright(picture)
        if upright.mode.startswith(("I", "F")):  # gray of 16 or 32 bits, which convert would clip
            gray = ImageOps.fit(upright.convert("F"), (width, height), Image.Resampling.LANCZOS)
            is_16_bit |= upright.mode.startswith("I;16")
            return np.repeat(_gray_levels(np.asarray(gray), is_16_bit)[:, :, None], 3, axis=2)
        mode = "RGBA" if upright.has_transparency_data else "RGB"
        profile = upright.info.get("icc_profile")
        if mode == "RGBA" or not profile or upright.mode not in ("CMYK", "L", "LAB"):
            upright = upright.convert(mode)
        fitted = ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS)
        if profile:
            fitted = to_srgb(fitted, profile)
        if mode == "RGBA":
            fitted = Image.alpha_composite(Image.new("RGBA", fitted.size, "white"), fitted)
        return np.array(fitted.convert("RGB"))


def fit_size(path, longest=None):
    """Return the size at which an image, upright, has `longest` pixels on its longer side.

    Arguments:
    path -- path of the image file
    longest -- in pixels; by default, CONFIG.IMAGE_WIDTH

    Returns:
    (height, width) in pixels, in the image's proportions, but both at least 16, so that VGG's last
    block gets one pixel; `load_image` crops thinner images

    Raises OSError or ValueError.
    """
    longest = CONFIG.IMAGE_WIDTH if longest is None else longest
    _check_pixels("longest side", longest, least=SHORTEST_SIDE)
    with open_picture(path) as picture:
        if picture.format in ("PNG", "TIFF"):  # the orientation may follow the pixels
            picture.load()
        width, height = picture.size
        if picture.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):  # rotated by 90°
            width, height = height, width
    scale = longest / max(height, width)
    height, width = (max(SHORTEST_SIDE, round(side * scale)) for side in (height, width))
    check_memory(height, width, FLOAT32_PIXEL, "reading an image")
    return height, width


def _check_pixels(name, value, least=1):
    if not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"the {name} is {value!r}: give a whole number of pixels, {least} or more")


def _gray_levels(gray, is_16_bit):
    """Scale gray of 16 bits (0-65535), or of 32 (darkest to lightest), to 0-255, uint8."""
    if not np.isfinite(gray).all():
        raise ValueError("NaN or infinity among its values")
    low, high = (0.0, 65535.0) if is_16_bit else (float(gray.min()), float(gray.max()))
    levels = (gray - low) * (255 / (high - low or 1))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def reshape_and_normalize_image(image, height=None, width=None):
    """Return VGG's input for an image: (height, width, 3), 0-255 -> (1, height, width, 3), float32.

    Arguments:
    image -- array (height, width, 3)
    height, width -- of the graph, in pixels; by default, CONFIG's

    Raises ValueError if the image's size is not the graph's, or its values are not 0-255.
    """
    height, width = image_size(height, width)
    image = np.asarray(image)
    if image.shape != (height, width, CONFIG.COLOR_CHANNELS):
        raise ValueError(
            f"the image has shape {image.shape}, the graph takes ({height}, {width}, 3): "
            f"read it with load_image(path, {height}, {width})"
        )
    if image.dtype.kind not in "uif":
        raise ValueError(
            f"the image holds {image.dtype}, not numbers from 0 to 255: read it with load_image"
        )
    low, high = image.min(), image.max()
    if not (low >= 0 and high <= 255):  # NaN is neither
        raise ValueError(
            f"the image's values range from {low:g} to {high:g}, not from 0 to 255: normalize "
            f"an image once, as load_image returns it"
        )
    if image.dtype.kind == "f" and 0 < high <= 1:
        raise ValueError(
            f"the image's values end at {high:g}, so white is 1, not 255: multiply them by 255"
        )
    return (image[None] - CONFIG.MEANS).astype(np.float32)


def generate_noise_image(content_image, noise_ratio=None):
    """Return a normalized image mixed with uniform noise (-20 to 20, NumPy's global generator).

    Arguments:
    content_image -- array (1, height, width, 3)
    noise_ratio -- weight of the noise, 0-1; by default, CONFIG.NOISE_RATIO, 0.6
    """
    noise_ratio = CONFIG.NOISE_RATIO if noise_ratio is None else noise_ratio
    # one draw of float64, then cast: the order of the course's published run
    noise = np.random.uniform(-20, 20, np.shape(content_image)).astype(np.float32)
    return noise * noise_ratio + content_image * (1 - noise_ratio)


def to_pixels(image):
    """Undo the normalization: (1, height, width, 3) -> (height, width, 3), 0-255, uint8.

    Raises ValueError for an array that is not a normalized image.
    """
    image = np.asarray(image)
    has_shape = image.ndim == 4 and image.shape[0] == 1 and image.shape[3] == 3 and image.size
    if not has_shape or image.dtype.kind != "f":
        raise ValueError(
            f"the image is {image.dtype} of shape {image.shape}, a normalized one is float of "
            f"shape (1, height, width, 3): make it with reshape_and_normalize_image"
        )
    if not np.isfinite(image).all():
        raise ValueError(
            f"the image holds NaN or infinity in {np.sum(~np.isfinite(image)):,} of {image.size:,} "
            f"values because the training diverged: lower the learning rate"
        )
    pixels = image[0] + CONFIG.MEANS[0]  # float64: one copy of a large image is enough
    return np.clip(np.rint(pixels, out=pixels), 0, 255, out=pixels).astype(np.uint8)


def save_image(path, image):
    """Write a normalized image (1, height, width, 3) in the format of the path's extension.

    The file is written whole or not at all. Raises OSError or ValueError.
    """
    pixels = to_pixels(image)
    check_picture_path(path)
    _write_picture(path, pixels)


def check_picture_path(path):
    """Check, before hours of work, that `save_image(path, ...)` will work; create the folder.

    Raises OSError or ValueError.
    """
    extension = Path(path).suffix
    if extension.lower() not in PICTURE_EXTENSIONS:
        raise ValueError(
            f"{path} has {f'the unknown extension {extension}' if extension else 'no extension'}: "
            f"end the image's name in one of {' '.join(PICTURE_EXTENSIONS)}"
        )
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder, not an image: choose a different name")
    with temporary_beside(path):
        pass


def save_animation(path, pictures, seconds=0.4):
    """Write images (each (height, width, 3), uint8) as a GIF that repeats forever."""
    _write_picture(path, list(pictures), duration=1000 * seconds, loop=0)


def _write_picture(path, pixels, **options):
    """Encode in memory, then write: on a full disk Pillow's own writing can lose bytes silently."""
    extension = Path(path).suffix.lower()
    if extension in JPEG_EXTENSIONS:
        options |= JPEG_OPTIONS
    try:
        data = imageio.imwrite("<bytes>", pixels, extension=extension, plugin="pillow", **options)
    except (OSError, OverflowError, ValueError) as error:  # beyond the format's longest side
        raise ValueError(
            f"{path} cannot hold pixels of shape {np.shape(pixels)} ({error}): save them as PNG"
        ) from None
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def show_pictures(pictures, columns=None, width=4.0):
    """Show images side by side, each below its title.

    Arguments:
    pictures -- dict from title to image: (height, width, 3), 0-255, or normalized
    columns -- number of images in a row; by default, all of them
    width -- width of one image, in inches
    """
    import matplotlib.pyplot as plt  # here: it takes 0.5 s, which a run without figures saves

    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    height = 0.25 + width * max(np.shape(p)[-3] / np.shape(p)[-2] for p in pictures.values())
    _, axes = plt.subplots(rows, columns, figsize=(columns * width, rows * height), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
        ax.imshow(to_pixels(picture) if np.ndim(picture) == 4 else picture)
        ax.set_title(title)
    plt.tight_layout()
    plt.show()
