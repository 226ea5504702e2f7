"""The course's helper module: its names, and those that the lab and the lessons use beside them.

What they do stands in nst/, a file for each craft; importing this changes nothing in TensorFlow.
"""

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
from nst.lab.diagnosis import explain_failures
from nst.lab.notebook import functions_of
from nst.lab.setup import set_up
from nst.lab.training import Run, close_session, estimate
from nst.vgg.frozen import large_constant
from nst.vgg.network import choose_precision, load_vgg_model
from nst.vgg.weights import layer_names, read_vgg

__all__ = [
    # the course's
    "CONFIG",
    "generate_noise_image",
    "load_vgg_model",
    "reshape_and_normalize_image",
    "save_image",
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
