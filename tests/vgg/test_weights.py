"""Weight files: read, identified, refused."""

import numpy as np
import pytest
import scipy.io
import tensorflow.compat.v1 as tf

from nst.vgg import weights
from nst.vgg.network import load_vgg_model
from nst.vgg.tiny import fake_convolutions, write_fake_vgg
from nst.vgg.weights import EIGHT_BIT, KERAS, ORIGINAL, UNKNOWN, DamagedWeights, read_named_vgg

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
        ("missing", r"not found: run make weights$"),
        (
            "truncated",
            r"is not a complete MatConvNet weight file .* 9,000 bytes\): move it away and run",
        ),
        ("html", r"is not a complete MatConvNet weight file \(it starts with b'<!DOCTYPE html>"),
        (
            "link text",
            r"is not a complete MatConvNet weight file \(it starts with b'\.\./\.\./pretr",
        ),
        ("empty", r"is not a complete MatConvNet weight file .* 0 bytes\)"),
        ("other network", r"holds another network: its conv1_1 has a kernel of shape \(0,\)"),
        ("other .mat", r"is not a complete MatConvNet weight file"),
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


@pytest.mark.parametrize("layout", ["filters", "beta16", "current"])
def test_a_weight_file_truncated_anywhere_never_loads_wrong(tmp_path, layout):
    path, pairs = tmp_path / "vgg.mat", fake_convolutions()
    write_fake_vgg(path, layout)
    data, refusals = path.read_bytes(), 0
    for length in np.random.default_rng(0).integers(0, len(data), 20):
        path.write_bytes(data[:length])
        try:
            _, found = weights.read_vgg(path)
        except ValueError:
            with pytest.raises(ValueError, match="is not a complete MatConvNet weight file"):
                weights.read_vgg(path)
            refusals += 1
        else:  # only what follows the layers is missing
            for layer in pairs:
                for array, right in zip(found[layer], pairs[layer], strict=True):
                    np.testing.assert_array_equal(array, right)
    assert refusals >= 18


def test_the_description_names_the_weights(fake_weights, capsys):
    with tf.Graph().as_default():
        load_vgg_model(fake_weights, 8, 8)
    assert capsys.readouterr().out.startswith("VGG-19, unknown weights, computed in float32: ")


@pytest.mark.parametrize("depth", [16, 19])
def test_what_is_written_is_read_again(tmp_path, depth):
    path, pairs = tmp_path / "vgg.mat", fake_convolutions(depth)
    weights.write_vgg(path, pairs, KERAS, "a test")
    found_depth, found, name = read_named_vgg(path)
    assert (found_depth, name, list(found)) == (depth, KERAS, list(pairs))
    for layer in pairs:
        for array, right in zip(found[layer], pairs[layer], strict=True):
            np.testing.assert_array_equal(array, right, strict=True)


def test_the_original_is_known_by_its_size(fake_weights, monkeypatch):
    assert read_named_vgg(fake_weights)[2] == UNKNOWN
    monkeypatch.setattr(weights, "ORIGINAL_BYTES", fake_weights.stat().st_size)
    assert read_named_vgg(fake_weights)[2] == ORIGINAL


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [EIGHT_BIT, KERAS])
def test_no_flipped_bit_changes_a_weight_unnoticed(tmp_path, name):
    path = tmp_path / "vgg.mat"
    weights.write_vgg(path, fake_convolutions(), name, "a test")
    assert read_named_vgg(path)[2] == name
    data = bytearray(path.read_bytes())
    for bit in np.random.default_rng(0).choice(8 * (len(data) - 116), 100, replace=False):
        data[116 + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        data[116 + bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedWeights, match="is damaged"):
            read_named_vgg(path)


def test_truncated_8_bit_weights_are_damaged_ones(tmp_path):
    path = tmp_path / "vgg.mat"
    weights.write_vgg(path, fake_convolutions(), EIGHT_BIT, "a test")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(DamagedWeights, match=r"is damaged, .*: run make weights$"):
        read_named_vgg(path)


def test_8_bit_weights_without_a_checksum_are_read(tmp_path):
    """The first files of this project had none."""
    path = tmp_path / "vgg.mat"
    weights.write_vgg(path, fake_convolutions(), EIGHT_BIT, "a test")
    data = path.read_bytes()
    path.write_bytes(b"MATLAB 5.0 MAT-file, 8-bit VGG-19: a test".ljust(116) + data[116:])
    assert read_named_vgg(path)[2] == EIGHT_BIT


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("index", [0, 1])
def test_numbers_that_are_not_finite_are_refused_by_their_layer(tmp_path, value, index):
    path, pairs = tmp_path / "vgg.mat", fake_convolutions()
    pairs["conv4_2"][index].flat[3] = value
    weights.write_vgg(path, pairs, KERAS, "a test")
    with pytest.raises(ValueError, match=r"NaN or infinity in its conv4_2: move it away and run "):
        load_vgg_model(path, 8, 8)
