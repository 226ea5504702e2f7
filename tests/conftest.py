"""What every test may use: graph mode, as in the lab, and a miniature VGG-19 on disk."""

from pathlib import Path

import pytest
import tensorflow.compat.v1 as tf

from fake_vgg import write_fake_vgg

ROOT = Path(__file__).resolve().parent.parent

tf.logging.set_verbosity(tf.logging.ERROR)
tf.disable_v2_behavior()


@pytest.fixture(scope="session")
def fake_weights(tmp_path_factory):
    """Path of a miniature VGG-19 in MatConvNet's current layout."""
    path = tmp_path_factory.mktemp("weights") / "imagenet-vgg-verydeep-19.mat"
    write_fake_vgg(path)
    return path
