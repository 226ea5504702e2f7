"""The photo and the style images, read at the size of one level of a painting."""

import math
from typing import NamedTuple

import numpy as np

from nst.core.config import CONFIG
from nst.core.image_formats import open_picture
from nst.core.images import fit_size, load_image
from nst.painting.image_ops import clip, match_colors

STYLE_PIXELS = 800 * 600  # limit for a style image that is larger than twice the level
RIM = 0.01  # share of a style image's sides that is cut off: canvas edges, a scan's white line


class Sources(NamedTuple):
    """The input images of a painting, and the settings for reading them.

    Attributes:
    content -- path of the photo
    styles -- dict from the style images' paths to their weights, of any sum
    colors -- "style": the photo takes the style's colors before it is painted; "content": the style
        images take the photo's
    strokes -- scale of the style images, 1 for the scale at which they just cover the level
    """

    content: str
    styles: dict
    colors: str = "style"
    strokes: float = 1.0

    def read(self, height, width):
        """Read all images at the size of a level.

        Returns:
        photo -- normalized image (1, height, width, 3)
        styles -- list of (share, normalized image): the shares add up to 1
        """
        photo = read(self.content, height, width)
        total = sum(self.styles.values())
        styles = [
            (weight / total, read_style(path, height, width, self.strokes))
            for path, weight in self.styles.items()
        ]
        if self.colors == "content":
            return photo, [(share, clip(match_colors(style, photo))) for share, style in styles]
        return clip(match_colors(photo, _palette(styles, height * width))), styles


def _palette(styles, count):
    """Sample about `count` pixels (count, 3) of the style images, by their shares."""
    samples = []
    for share, style in styles:
        pixels = style.reshape(-1, 3)
        samples.append(pixels[np.linspace(0, len(pixels) - 1, round(share * count)).astype(int)])
    return np.concatenate(samples)


def read(path, height, width):
    """Read an image file as a normalized image (1, height, width, 3), float32."""
    return (load_image(path, height, width)[None] - CONFIG.MEANS).astype(np.float32)


def read_style(path, height, width, strokes=1.0):
    """Read a style image, without its RIM, at `strokes` times the size that covers height × width.

    An image file with fewer pixels is not enlarged to cover them: its enlarged strokes would be
    blurred, and the picture with them. Of an image much larger than the level, for large strokes or
    of another shape, only the middle is used.
    """
    with open_picture(path) as file:
        own = file.width * file.height
    shape = np.array(fit_size(path, 1000))
    scale = strokes * min(max((height, width) / shape), math.sqrt(own / shape.prod()))
    style = read(path, *(max(16, round(scale * side)) for side in shape))
    limit = max(2 * height * width, STYLE_PIXELS)
    part = min(1 - 2 * RIM, math.sqrt(limit / (scale**2 * shape.prod())))
    rows, columns = (max(16, round(part * side)) for side in style.shape[1:3])
    top, left = (style.shape[1] - rows) // 2, (style.shape[2] - columns) // 2
    return style[:, top : top + rows, left : left + columns]
