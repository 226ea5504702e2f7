"""The weight file: what is read, named, refused."""

import hashlib

import numpy as np
import pytest
import scipy.io
import tensorflow.compat.v1 as tf

from fake_vgg import write_fake_vgg
from nst import weights
from nst.network import load_vgg_model

# --- bad weight files ----------------------------------------------------------------------------


def bad_weights(kind, path):
    if kind == "truncated":
        write_fake_vgg(path)
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "html":
        path.write_text("<!DOCTYPE html><html><title>404</title></html>")
    elif kind == "link text":
        path.write_text("../../pretrained-model/imagenet-vgg-verydeep-19.mat")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "other network":
        layers = np.empty((1, 2), object)
        pair = np.empty((1, 2), object)
        pair[0] = [np.zeros((11, 11, 3, 96), np.float32), np.zeros((96, 1), np.float32)]
        layers[0, :] = {"name": "conv1", "type": "conv", "weights": pair}
        scipy.io.savemat(path, {"layers": layers})
    elif kind == "other .mat":
        scipy.io.savemat(path, {"x": np.arange(3)})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"is not there: run make weights$"),
        ("truncated", r"is no whole MatConvNet weight file .* 9,000 bytes\): move it away and run"),
        ("html", r"is no whole MatConvNet weight file \(it starts with b'<!DOCTYPE html>"),
        ("link text", r"is no whole MatConvNet weight file \(it starts with b'\.\./\.\./pretr"),
        ("empty", r"is no whole MatConvNet weight file .* 0 bytes\)"),
        ("other network", r"holds another network: its conv1_1 has a kernel of shape \(0,\)"),
        ("other .mat", r"is no whole MatConvNet weight file"),
    ],
)
def test_a_bad_weight_file_gets_one_sentence(tmp_path, kind, message):
    path = tmp_path / "vgg.mat"
    bad_weights(kind, path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises((FileNotFoundError, ValueError), match=message) as caught:
        load_vgg_model(path)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert (path.read_bytes() if path.exists() else None) == before


def test_unknown_weights_are_called_unknown(fake_weights, capsys):
    with tf.Graph().as_default():
        load_vgg_model(fake_weights, 8, 8)
    assert capsys.readouterr().out.startswith("VGG-19, unknown weights, computed in float32: ")


def test_original_weights_are_known_by_the_file_s_md5(fake_weights, capsys, monkeypatch):
    md5 = hashlib.md5(fake_weights.read_bytes()).hexdigest()
    monkeypatch.setitem(weights.ORIGINALS, md5, "original weights (test)")
    with tf.Graph().as_default():
        load_vgg_model(fake_weights, 8, 8)
    assert capsys.readouterr().out.startswith("VGG-19, original weights (test), computed in")
