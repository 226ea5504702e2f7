"""The photograph and the style pictures, read at the scale of one level of a painting."""

import math

import numpy as np

from nst.core.config import CONFIG
from nst.core.images import fit_size, load_image
from nst.painting.image_ops import clip, recolour

STYLE_PIXELS = 800 * 600  # of a style picture that large strokes would make larger than the level


def read_photo(path, height, width, colours, styles, strokes):
    """Read the photograph as a normalised image (1, height, width, 3), in the styles' colours.

    Arguments:
    colours -- "content": the photograph stays as it is
    styles -- dict from paths to weights; of each as many pixels count as its weight says
    """
    photo = read(path, height, width)
    if colours == "content":
        return photo
    palette = []
    for style, weight in styles.items():
        pixels = read_style(style, height * width, strokes).reshape(-1, 3)
        count = round(height * width * weight / sum(styles.values()))
        palette.append(pixels[np.linspace(0, len(pixels) - 1, count).astype(int)])
    return clip(recolour(photo, np.concatenate(palette)))


def read(path, height, width):
    """Read a picture as a normalised image (1, height, width, 3), float32."""
    return (load_image(path, height, width)[None] - CONFIG.MEANS).astype(np.float32)


def read_style(path, pixels, strokes):
    """Read a style picture, whole, in its own shape, with about `pixels` · strokes² pixels.

    Where large strokes would make it too large, its middle is enough.
    """
    shape = np.array(fit_size(path, 1000))
    height, width = shape * math.sqrt(pixels / shape.prod()) * strokes
    limit = max(pixels, STYLE_PIXELS)
    part = min(1.0, math.sqrt(limit / (height * width)))
    picture = read(path, max(16, round(height)), max(16, round(width)))
    rows, columns = (max(16, round(part * side)) for side in picture.shape[1:3])
    top, left = (picture.shape[1] - rows) // 2, (picture.shape[2] - columns) // 2
    return picture[:, top : top + rows, left : left + columns]
