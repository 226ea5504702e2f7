"""The weight file: what is read, named, refused."""

import hashlib
import os

import numpy as np
import pooch
import pytest
import scipy.io
import tensorflow.compat.v1 as tf

from nst.core.config import CONFIG, PROJECT
from nst.vgg import weights
from nst.vgg.network import load_vgg_model
from nst.vgg.tiny import fake_convolutions, write_fake_vgg


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "VERIFIED", tmp_path / "verified")


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


# --- damage --------------------------------------------------------------------------------------

HEADER = 116  # bytes of text
DAMAGED = "{} is damaged, it has a wrong checksum: run make weights"


@pytest.fixture
def small_8_bit(tmp_path, monkeypatch):
    """A miniature that plays the 8-bit file: (path, its weights)."""
    path, pairs = tmp_path / "vgg.mat", fake_convolutions()
    weights.write_mat(path, pairs, weights.EIGHT_BIT_NOTE, {})
    monkeypatch.setattr(weights, "EIGHT_BIT_CHECKSUM", weights.checksum(pairs))
    return path, pairs


def complaint(path, pairs):
    """Return what is said of a changed file; if nothing, its weights must be the right ones."""
    try:
        depth, found, name = weights.read_named_vgg(path)
    except weights.DamagedWeights as error:
        return str(error)
    assert (depth, name) == (19, weights.EIGHT_BIT)
    assert list(found) == list(pairs)
    for layer in pairs:
        for array, right in zip(found[layer], pairs[layer], strict=True):
            np.testing.assert_array_equal(array, right, strict=True)
    return None


def flip(data, bit):
    data[bit // 8] ^= 1 << bit % 8


def test_no_flipped_bit_changes_a_weight_unnoticed(small_8_bit):
    path, pairs = small_8_bit
    data = bytearray(path.read_bytes())
    anywhere = np.random.default_rng(0).choice(8 * len(data), 300, replace=False)
    for bit in (*anywhere, *range(0, 8 * HEADER, 3)):
        flip(data, bit)
        path.write_bytes(data)
        flip(data, bit)
        said = complaint(path, pairs)
        assert said == DAMAGED.format(path) or (said is None and bit < 8 * HEADER)


def test_a_flipped_bit_of_the_real_8_bit_weights_is_noticed(tmp_path):
    real = PROJECT / CONFIG.VGG_MODEL
    if not real.is_file() or weights.read_named_vgg(real)[2] != weights.EIGHT_BIT:
        pytest.skip("the 8-bit weights are not there: make weights")
    _, pairs = weights.read_vgg(real)
    path = tmp_path / "vgg.mat"
    weights.write_mat(path, pairs, weights.EIGHT_BIT_NOTE, {})
    data = bytearray(path.read_bytes())
    for bit in np.random.default_rng(0).choice(8 * len(data), 30, replace=False):
        flip(data, bit)
        path.write_bytes(data)
        flip(data, bit)
        assert complaint(path, pairs) == DAMAGED.format(path)
    path.write_bytes(data)
    assert complaint(path, pairs) is None


def test_8_bit_weights_without_a_checksum_in_their_header_are_verified_by_the_arrays(small_8_bit):
    path, pairs = small_8_bit
    data = bytearray(path.read_bytes())
    data[:HEADER] = b"MATLAB 5.0 MAT-file, 8-bit VGG-19: as it was written at first".ljust(HEADER)
    path.write_bytes(data)
    assert complaint(path, pairs) is None
    start = data.index(pairs["conv4_2"][0].tobytes(order="F"))
    flip(data, 8 * start)  # of a weight, the least
    path.write_bytes(data)
    assert complaint(path, pairs) == DAMAGED.format(path)


def set_weight(value):
    return lambda W, b: W.__setitem__((1, 2, 0, 3), value)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (set_weight(1.5e36), r"the largest weight of its conv4_2 is 1.5e\+36, the largest bias 0"),
        (set_weight(-1.5e36), r"the largest weight of its conv4_2 is 1.5e\+36, the largest bias 0"),
        (set_weight(np.nan), r"the largest weight of its conv4_2 is nan, the largest bias 0"),
        (set_weight(np.inf), r"the largest weight of its conv4_2 is inf, the largest bias 0"),
        (
            lambda W, b: b.fill(np.nan),
            r"the largest weight of its conv4_2 is 0\.\d+, the larg.* nan",
        ),
        (lambda W, b: W.fill(0), r"the largest weight of its conv4_2 is 0, the largest bias 0"),
    ],
)
def test_what_no_training_produces_is_refused_by_its_layer(tmp_path, damage, complaint):
    path, pairs = tmp_path / "vgg.mat", fake_convolutions()
    damage(*pairs["conv4_2"])
    weights.write_mat(path, pairs, "somebody's VGG-19", {})
    complaint += r".*\): move it away and run make weights$"
    with pytest.raises(ValueError, match=complaint) as caught:
        load_vgg_model(path, 8, 8)
    assert str(caught.value).startswith(f"{path} holds values that no training produces (")
    weights.write_mat(path, pairs, weights.EIGHT_BIT_NOTE, {})
    with pytest.raises(weights.DamagedWeights, match=r"a wrong checksum: run make weights$"):
        weights.read_vgg(path)


def test_biases_may_be_zero(tmp_path):
    path, pairs = tmp_path / "vgg.mat", fake_convolutions()
    for _, b in pairs.values():
        b.fill(0)
    weights.write_mat(path, pairs, "a network without biases", {})
    assert weights.read_named_vgg(path)[2] == weights.UNKNOWN


def test_any_flipped_bit_of_the_original_is_noticed(fake_weights, tmp_path, monkeypatch):
    data, path = bytearray(fake_weights.read_bytes()), tmp_path / "vgg.mat"
    monkeypatch.setitem(weights.ORIGINALS, hashlib.md5(data).hexdigest(), "original weights")
    monkeypatch.setattr(weights, "ORIGINAL_BYTES", len(data))
    path.write_bytes(data)
    assert weights.read_named_vgg(path)[2] == "original weights"
    for bit in np.random.default_rng(0).choice(8 * len(data), 100, replace=False):
        flip(data, bit)
        path.write_bytes(data)
        flip(data, bit)
        message = r"vgg\.mat is damaged, it .*: run make weights SOURCE=vlfeat$"
        with pytest.raises(weights.DamagedWeights, match=message):
            weights.read_vgg(path)


@pytest.fixture
def known_original(fake_weights, tmp_path, monkeypatch):
    """A miniature that plays an original: its path."""
    path = tmp_path / "vgg.mat"
    path.write_bytes(fake_weights.read_bytes())
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(weights.ORIGINALS, md5, "original weights (test)")
    return path


def test_an_original_is_hashed_once_and_again_when_it_is_written_to(known_original, monkeypatch):
    hashed = []

    def file_hash(path, algorithm):
        hashed.append(path)
        return hashlib.new(algorithm, path.read_bytes()).hexdigest()

    monkeypatch.setattr(pooch, "file_hash", file_hash)
    monkeypatch.setattr(weights, "JUST_NOW", -1)
    for _ in range(3):
        assert weights.read_named_vgg(known_original)[2] == "original weights (test)"
    assert len(hashed) == 1

    before, data = known_original.stat(), bytearray(known_original.read_bytes())
    flip(data, 8 * (len(data) - 1))
    while known_original.stat().st_ctime_ns == before.st_ctime_ns:  # the clock has steps
        known_original.write_bytes(data)
        os.utime(known_original, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.read_named_vgg(known_original)[2] == weights.UNKNOWN


def test_an_original_written_just_now_is_not_remembered(known_original):
    assert weights.read_named_vgg(known_original)[2] == "original weights (test)"
    assert not weights.VERIFIED.exists()


def test_without_a_cache_folder_an_original_is_hashed_each_time(known_original, monkeypatch):
    monkeypatch.setattr(weights, "JUST_NOW", -1)
    weights.VERIFIED.write_text("a file in its place")
    for _ in range(2):
        assert weights.read_named_vgg(known_original)[2] == "original weights (test)"


def test_the_largest_of_the_real_weights_is_far_below_the_bound():
    real = PROJECT / CONFIG.VGG_MODEL
    if not real.is_file():
        pytest.skip("the weights are not there: make weights")
    _, pairs = weights.read_vgg(real)
    largest = {name: max(np.abs(W).max(), np.abs(b).max()) for name, (W, b) in pairs.items()}
    assert max(largest, key=largest.get) == "conv5_4"
    assert largest["conv5_4"] == pairs["conv5_4"][1].max() == pytest.approx(9.6113, abs=1e-4)
    assert largest["conv5_4"] < weights.LARGEST_WEIGHT / 1000
