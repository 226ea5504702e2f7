"""The picture functions of `scipy.misc`, which SciPy 1.2 was the last to have.

They follow SciPy's documentation of that version: arrays of uint8 are taken as they are, all others
are stretched from their own range to 0-255.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from nst.core.image_formats import open_picture

INTERPOLATIONS = {"cubic": "BICUBIC"}  # all others have Pillow's names


def imread(name, flatten=False, mode=None):
    """Read a picture: uint8 of shape (H, W, 3) for RGB; `flatten` gives gray, float32."""
    try:
        with open_picture(name) as image:
            return fromimage(image, flatten, mode)
    except FileNotFoundError as error:
        if Path(name).parent.name != "images":
            raise
        # the course's pictures are not part of this project
        raise FileNotFoundError(f"{error}, or put your copy of it into images/") from None


def fromimage(im, flatten=False, mode=None):
    """Return the pixels of a Pillow image as an array."""
    if flatten:
        mode = "F"
    elif mode is None:
        mode = {"1": "L", "P": "RGB"}.get(im.mode, im.mode)
    return np.array(im.convert(mode))


def toimage(arr, high=255, low=0, cmin=None, cmax=None, pal=None, mode=None, channel_axis=None):
    """Return an array (H, W), (H, W, 3 or 4) or (3 or 4, H, W) as a Pillow image.

    Arguments:
    high, low -- range of the pixels
    cmin, cmax -- values that become low and high; by default the array's own least and largest
    mode -- Pillow's name of the pixels; "F" and "I" keep the values of an array (H, W)
    channel_axis -- axis of the channels; by default the last one that has 3 or 4 entries
    """
    arr = np.asarray(arr)
    if arr.ndim == 2 and mode in ("F", "I"):
        return Image.fromarray(arr.astype(np.float32 if mode == "F" else np.int32))
    if arr.ndim == 3:
        axes = [axis for axis in (2, 0, 1) if arr.shape[axis] in (3, 4)]
        channel_axis = next(iter(axes), None) if channel_axis is None else channel_axis
        arr = arr if channel_axis is None else np.moveaxis(arr, channel_axis, 2)
    if arr.ndim != 2 and arr.shape[2:] not in ((3,), (4,)):
        raise ValueError(
            f"a picture has the shape (H, W), (H, W, 3) or (H, W, 4), this array has {arr.shape}:"
            " take one image out of a batch with image[0]"
        )
    if arr.dtype != np.uint8:
        least = arr.min() if cmin is None else cmin
        largest = arr.max() if cmax is None else cmax
        scaled = (arr - least) * ((high - low) / (largest - least or 1)) + low
        arr = (scaled.clip(low, high) + 0.5).astype(np.uint8)
    image = Image.fromarray(arr)
    if pal is not None and image.mode == "L":
        image.putpalette(np.asarray(pal, np.uint8).tobytes())
    return image if mode is None else image.convert(mode)


def imsave(name, arr, format=None):
    """Write an array (H, W), (H, W, 3) or (H, W, 4) as a picture file."""
    toimage(arr, channel_axis=2).save(name, format)


def imresize(arr, size, interp="bilinear", mode=None):
    """Resize an array; `size` is (H, W), a percentage (int) or a factor (float)."""
    image = toimage(arr, mode=mode)
    if np.ndim(size) == 0:
        factor = size / 100 if isinstance(size, int) else size
        size = image.height * factor, image.width * factor
    height, width = map(int, size[:2])
    filter_name = INTERPOLATIONS.get(interp, interp.upper())
    return fromimage(image.resize((width, height), Image.Resampling[filter_name]))
