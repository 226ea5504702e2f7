"""Normalised images from one size, and one set of colours, to another."""

import numpy as np
from PIL import Image

from nst.core.config import CONFIG

COLOUR_NOISE = 4  # variance, grey levels²: what JPEG leaves in a grey picture


def recolour(picture, other):
    """Give a picture the colours of another: Σo^½ Σp^-½ (p - μp) + μo.

    The linear map that keeps a picture's relief (Gatys et al., 2017; the project pastiche). Mean
    and covariance then are the other's. In a colour direction where the picture has no more than
    COLOUR_NOISE, as a grey one has, the noise is not blown up to colours.

    Arguments:
    picture, other -- images (…, 3) of any size, on one scale of 0-255

    Returns:
    image of the picture's shape; its values may leave the scale
    """
    p, o = (np.asarray(image, np.float64).reshape(-1, 3) for image in (picture, other))
    turn = _root(np.cov(o.T), 0.5) @ _root(np.cov(p.T), -0.5)
    recoloured = (p - p.mean(axis=0)) @ turn.T + o.mean(axis=0)
    return recoloured.reshape(np.shape(picture)).astype(np.float32)


def _root(covariance, power):
    """Raise a covariance matrix (3, 3) to a power; a negative one with COLOUR_NOISE as floor."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, COLOUR_NOISE if power < 0 else 0)
    return (vectors * values**power) @ vectors.T


def resize(image, height, width):
    """Resample a normalised image (1, h, w, 3) to another size by Lanczos' filter.

    What is painted over an enlarged picture keeps the grid of the old pixels that a filter leaves:
    nearest pixels are blocks, and bicubic interpolation is a weave of fine lines.
    """
    if image.shape[1:3] == (height, width):
        return np.asarray(image, np.float32)
    planes = [
        Image.fromarray(np.asarray(plane, np.float32)).resize(
            (width, height), Image.Resampling.LANCZOS
        )
        for plane in np.moveaxis(image[0], 2, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)[None]


def detail(image, scale):
    """Return what an image (1, h, w, 3) would lose if its sides shrank to `scale`, 0-1, of them."""
    height, width = image.shape[1:3]
    small = resize(image, *(max(1, round(scale * side)) for side in (height, width)))
    return image - resize(small, height, width)


def cover(image, height, width):
    """Cut an image (1, h, w, 3) to another size; where it is too small, repeat it in mirrors."""
    rows, columns = (
        np.pad(np.arange(has), (0, max(0, wanted - has)), "symmetric")[:wanted]
        for has, wanted in zip(image.shape[1:3], (height, width), strict=True)
    )
    return image[:, rows][:, :, columns]


def resampling_matrix(before, after):
    """Write the resampling of a row of pixels by Lanczos' filter as a matrix (after, before)."""
    each = Image.fromarray(np.eye(before, dtype=np.float32))  # what becomes of each pixel
    return np.asarray(each.resize((before, after), Image.Resampling.LANCZOS))


def clip(image):
    """Keep a normalised image within 0-255."""
    return np.clip(image, -CONFIG.MEANS, 255 - CONFIG.MEANS).astype(np.float32)
