"""The course's helper module: its names, and more that the lab and the lessons use.

All of them are defined in nst/. Importing this module changes nothing in TensorFlow.
"""

import os
import sys

import matplotlib.pyplot as plt
import numpy as np
import scipy.io
from matplotlib.pyplot import imshow
from PIL import Image

from nst.core.config import CONFIG
from nst.core.images import (
    check_picture_path,
    fit_size,
    generate_noise_image,
    load_image,
    reshape_and_normalize_image,
    save_animation,
    save_image,
    show_pictures,
    to_pixels,
)
from nst.core.tensorflow import import_tensorflow
from nst.lab.diagnosis import explain_failures
from nst.lab.notebook import functions_of
from nst.lab.setup import set_up
from nst.lab.training import Run, close_session, estimate
from nst.vgg.frozen import large_constant
from nst.vgg.network import choose_precision, load_vgg_model
from nst.vgg.weights import layer_names, read_vgg

tf = import_tensorflow()

__all__ = [
    # the course's
    "CONFIG",
    "generate_noise_image",
    "load_vgg_model",
    "reshape_and_normalize_image",
    "save_image",
    # what the course's module imports, and notebooks and scripts then use
    "Image",
    "imshow",
    "np",
    "os",
    "plt",
    "scipy",
    "sys",
    "tf",
    # ours: the network
    "choose_precision",
    "large_constant",
    "layer_names",
    "read_vgg",
    # pictures
    "check_picture_path",
    "fit_size",
    "load_image",
    "save_animation",
    "show_pictures",
    "to_pixels",
    # a run, a notebook
    "Run",
    "close_session",
    "estimate",
    "explain_failures",
    "functions_of",
    "set_up",
]
