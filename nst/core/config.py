"""The course's settings, and where things are: in a checkout of the project, or installed."""

from pathlib import Path

import numpy as np
import platformdirs

PACKAGE = Path(__file__).resolve().parent.parent  # the folder nst/
# Notebooks and pictures: installed, the package carries copies of them, in nst/project/.
IN_CHECKOUT = not (PACKAGE / "project").is_dir()
PROJECT = PACKAGE.parent if IN_CHECKOUT else PACKAGE / "project"
# Folder for results, to which relative paths refer.
WORKPLACE = PROJECT if IN_CHECKOUT else Path.cwd()

LAB = PROJECT / "notebooks" / "Art_Generation_with_Neural_Style_Transfer.ipynb"
WEIGHTS = "imagenet-vgg-verydeep-19.mat"
COURSE_WEIGHTS = f"pretrained-model/{WEIGHTS}"
OWN_WEIGHTS = (
    PROJECT / COURSE_WEIGHTS if IN_CHECKOUT else platformdirs.user_cache_path("nst") / WEIGHTS
)

# Peak memory of the lab's training run, in addition to 0.8 GB; measured from 200×150 to 1600×1200
# pixels. Style activations that enter the costs as arrays, as in the course, take half as much
# more, which does not matter at the course's 400×300.
BYTES_PER_PIXEL = 3000

SHORTEST_SIDE = 16  # pixels; VGG's four poolings before conv5 leave one


class CONFIG:
    """The course's settings; sizes in pixels, `MEANS` in RGB order on the 0-255 scale.

    A function reads them when it is called, so `CONFIG.IMAGE_WIDTH = 300` takes effect.
    """

    IMAGE_WIDTH = 400
    IMAGE_HEIGHT = 300
    COLOR_CHANNELS = 3
    NOISE_RATIO = 0.6
    # mean color of ImageNet's training images, subtracted when VGG was trained
    MEANS = np.array([123.68, 116.779, 103.939]).reshape((1, 1, 1, 3))
    VGG_MODEL = COURSE_WEIGHTS if IN_CHECKOUT else str(OWN_WEIGHTS)
    STYLE_IMAGE = "images/impressionist.jpg"
    CONTENT_IMAGE = "images/pyramid.jpg"
    OUTPUT_DIR = "output/"


def image_size(height=None, width=None):
    """Return (height, width) in pixels, `CONFIG`'s where one is None."""
    return (
        CONFIG.IMAGE_HEIGHT if height is None else height,
        CONFIG.IMAGE_WIDTH if width is None else width,
    )
