"""Frozen convolutions in every way to compute them, arrays out of graphs, the choice of kernels."""

import os
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from nst.core import hardware
from nst.vgg import network
from nst.vgg.frozen import KERNEL_STRATEGIES, Activations, frozen_convolution, rotate_180

pytestmark = pytest.mark.numbers
HEIGHT, WIDTH = 21, 34  # odd once halved: SAME padding shows
RNG = np.random.default_rng(0)
X = RNG.normal(size=(1, 7, 10, 3)).astype(np.float32)
W = RNG.normal(size=(3, 3, 3, 5)).astype(np.float32)
B = RNG.normal(size=5).astype(np.float32)
UPSTREAM = RNG.normal(size=(1, 7, 10, 5)).astype(np.float32)


# --- frozen convolutions -------------------------------------------------------------------------


def layer_and_gradient(way, in_session=True):
    """Run one frozen layer, and the gradient of sum(UPSTREAM · layer) with respect to its input."""
    with tf.Graph().as_default() as graph:
        sess = tf.Session()
        with sess.as_default() if in_session else nullcontext():
            x = tf.constant(X)
            y = frozen_convolution(x, W, B, way)
            fetches = [y, tf.gradients(y, x, tf.constant(UPSTREAM))[0]]
        types = {op.type for op in graph.get_operations()}
        with sess:
            return *sess.run(fetches), types


def layer_and_gradient_in_numpy():
    """The same by definition: each output passes its share back to its window."""
    padded = np.pad(X[0].astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    y, dx = np.zeros(UPSTREAM.shape[1:]), np.zeros(padded.shape)
    for h, w in np.ndindex(y.shape[:2]):
        window = np.s_[h : h + 3, w : w + 3]
        y[h, w] = np.maximum(np.einsum("yxi,yxio->o", padded[window], W) + B, 0)
        dx[window] += np.einsum("o,yxio->yxi", UPSTREAM[0, h, w] * (y[h, w] > 0), W)
    return y[None], dx[None, 1:-1, 1:-1]


@pytest.mark.parametrize("in_session", [True, False])
@pytest.mark.parametrize("way", KERNEL_STRATEGIES)
def test_each_way_computes_the_layer_and_its_gradient(way, in_session):
    y, gradient, _ = layer_and_gradient(way, in_session)
    expected_y, expected_gradient = layer_and_gradient_in_numpy()
    np.testing.assert_allclose(y, expected_y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


def test_each_way_uses_the_convolutions_that_it_is_named_for():
    both = {"Conv2D", "Conv2DBackpropInput"}
    used = {way: layer_and_gradient(way)[2] & both for way in KERNEL_STRATEGIES}
    assert used == {
        "plain": both,
        "transposed": {"Conv2DBackpropInput"},
        "rotated": {"Conv2D"},
    }


def test_turning_a_kernel_twice_gives_it_back():
    assert rotate_180(W).shape == (3, 3, 5, 3)
    assert rotate_180(W)[0, 2, 4, 1] == W[2, 0, 1, 4]
    np.testing.assert_array_equal(rotate_180(rotate_180(W)), W)


@pytest.fixture
def image():
    return np.random.default_rng(1).uniform(-120, 120, (1, HEIGHT, WIDTH, 3)).astype(np.float32)


def cost_and_gradient(path, image, way, monkeypatch):
    """Return a cost of the whole network, computed in one way, and its gradient."""
    monkeypatch.setattr(network, "choose_kernels", lambda precision: way)
    with tf.Graph().as_default(), tf.Session() as sess:
        model = network.load_vgg_model(path, HEIGHT, WIDTH)
        J = tf.reduce_sum(tf.square(model["conv3_1"])) + tf.reduce_sum(model["conv5_4"])
        gradient = tf.gradients(J, model["input"])[0]
        return sess.run([J, gradient], {model["input"]: image})


def test_all_strategies_agree_on_the_network_s_cost_and_gradient(fake_weights, image, monkeypatch):
    results = [
        cost_and_gradient(fake_weights, image, way, monkeypatch) for way in KERNEL_STRATEGIES
    ]
    for J, gradient in results[1:]:
        assert pytest.approx(results[0][0], rel=1e-5) == J
        scale = np.abs(results[0][1]).max()
        np.testing.assert_allclose(gradient, results[0][1], rtol=1e-3, atol=1e-5 * scale)


@pytest.mark.parametrize("way", KERNEL_STRATEGIES)
def test_no_way_computes_the_gradient_of_a_weight(fake_weights, way, monkeypatch):
    monkeypatch.setattr(network, "choose_kernels", lambda precision: way)
    with tf.Graph().as_default() as graph, tf.Session():
        model = network.load_vgg_model(fake_weights, HEIGHT, WIDTH)
        tf.train.AdamOptimizer(2.0).minimize(tf.reduce_sum(model["conv3_1"]))
        types = {op.type for op in graph.get_operations()}
        assert [v.op.name for v in tf.trainable_variables()] == ["input"]
    assert not types & {"Conv2DBackpropFilter", "BiasAddGrad"}


# --- the choice ----------------------------------------------------------------------------------

AVX2 = {"sse4_1", "avx", "avx2"}
AVX512 = AVX2 | {"avx512f", "avx512bw"}
BF16 = AVX512 | {"avx512_vnni", "avx512_bf16"}
AMX = BF16 | {"amx_bf16", "amx_tile"}
AMD = {hardware.AMD}


@pytest.mark.parametrize(
    ("flags", "onednn", "limit", "way"),
    [
        (AVX2, "1", None, "transposed"),
        (AVX2 | AMD, "1", None, "transposed"),
        (AVX512, "1", None, "transposed"),
        (AVX512 | AMD, "1", None, "transposed"),
        (BF16 | AMD, "1", None, "transposed"),
        (BF16 | AMD, "1", "AVX2", "transposed"),  # plays AVX2
        (BF16 | AMD, "1", "AVX512_CORE", "transposed"),
        (BF16 | AMD, "0", None, "rotated"),  # the user's wish
        (AVX2, None, None, "rotated"),  # TensorFlow was imported first, and left oneDNN off
        (AVX512, None, None, "rotated"),
        (BF16 | AMD, None, None, "transposed"),
        (set(), "1", None, "transposed"),  # Windows, which does not say
    ],
)
def test_the_way_follows_from_what_the_processor_has(
    monkeypatch, tmp_path, flags, onednn, limit, way
):
    play(monkeypatch, tmp_path, flags, onednn, limit)
    assert hardware.choose_kernels() == way


@pytest.mark.parametrize(
    "system", [("Darwin", "arm64"), ("Darwin", "x86_64"), ("Linux", "aarch64")]
)
def test_without_onednn_kernels_are_turned(monkeypatch, tmp_path, system):
    play(monkeypatch, tmp_path, BF16, "1", None, *system)
    assert hardware.choose_kernels() == "rotated"


@pytest.mark.parametrize(
    ("flags", "onednn", "limit", "faster"),
    [
        (AMX, "1", None, True),
        (AMX, "1", "AVX512_CORE_AMX", True),
        (AMX, "1", "AVX512_CORE_BF16", False),  # Intel's, whose AVX512-BF16 is slow
        (AMX, "0", None, False),
        (BF16, "1", None, False),
        (BF16 | AMD, "1", None, True),
        (BF16 | AMD, "1", "AVX512_CORE", False),
        (AVX512 | AMD, "1", None, False),
        (AVX2, "1", None, False),
    ],
)
def test_bfloat16_is_offered_where_it_is_faster(
    monkeypatch, tmp_path, flags, onednn, limit, faster
):
    play(monkeypatch, tmp_path, flags, onednn, limit)
    assert hardware.computes_bfloat16() is faster


def test_a_gpu_chooses_its_own_kernels(monkeypatch, tmp_path):
    play(monkeypatch, tmp_path, AVX2, "1", None)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU"])
    assert hardware.choose_kernels() == "plain"


def test_bfloat16_is_not_rounded_before_the_bias(monkeypatch, tmp_path):
    play(monkeypatch, tmp_path, AVX2, "1", None)
    assert hardware.choose_kernels("bfloat16") == "plain"


def play(monkeypatch, tmp_path, flags, onednn, limit, system="Linux", machine="x86_64"):
    """Let `hardware` see a different machine."""
    info = tmp_path / "cpuinfo"
    info.write_text(f"flags : {' '.join(flags)}\n")
    monkeypatch.setattr(hardware, "Path", lambda _: info)
    monkeypatch.setattr(hardware.platform, "system", lambda: system)
    monkeypatch.setattr(hardware.platform, "machine", lambda: machine)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    for name, value in {"TF_ENABLE_ONEDNN_OPTS": onednn, "ONEDNN_MAX_CPU_ISA": limit}.items():
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)


@pytest.mark.parametrize(("asked", "expected"), [(None, "1"), ("0", "0")])
def test_onednn_is_preferred_unless_the_user_says_otherwise(monkeypatch, tmp_path, asked, expected):
    play(monkeypatch, tmp_path, AVX2, asked, None)
    monkeypatch.delitem(sys.modules, "tensorflow")
    hardware.prefer_onednn()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected


def test_after_tensorflow_s_import_it_is_too_late_for_onednn(monkeypatch, tmp_path):
    play(monkeypatch, tmp_path, AVX2, None, None)
    hardware.prefer_onednn()
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ


@pytest.mark.parametrize(("asked", "expected"), [(None, "true"), ("false", "false")])
def test_a_gpu_is_shared_unless_the_user_says_otherwise(monkeypatch, asked, expected):
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", asked or "")
    if asked is None:
        monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH")
    hardware.share_gpu()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == expected


# --- activations as arrays -----------------------------------------------------------------------


@pytest.fixture
def large(monkeypatch):
    """Let every array count as large: the miniature's layers are small."""
    monkeypatch.setattr("nst.vgg.frozen.LARGE", 0)


def course_style_cost(a_S, a_G):
    """One layer's style cost, as the course writes it."""
    _, n_H, n_W, n_C = a_G.get_shape().as_list()
    a_S = tf.transpose(tf.reshape(a_S, [n_H * n_W, n_C]))
    a_G = tf.transpose(tf.reshape(a_G, [n_H * n_W, n_C]))
    GS, GG = tf.matmul(a_S, tf.transpose(a_S)), tf.matmul(a_G, tf.transpose(a_G))
    distance = tf.reduce_sum(tf.square(tf.subtract(GS, GG)))
    return distance / (4 * n_C**2 * (n_H * n_W) ** 2)


def test_activations_as_arrays_stay_out_of_the_graph_s_definition(fake_weights, image, large):
    tf.reset_default_graph()
    sess = tf.InteractiveSession()  # opened first, as in the course
    model = network.load_vgg_model(fake_weights, HEIGHT, WIDTH)
    sess.run(model["input"].assign(image))
    out = model["conv2_1"]
    before = len(sess.graph.as_graph_def().SerializeToString())
    a_S, a_G = sess.run(out), out
    J_content = tf.reduce_sum(tf.square(a_S - a_G)) + tf.reduce_sum(tf.square(a_G - a_S))
    J_style = course_style_cost(a_S, a_G)
    assert len(sess.graph.as_graph_def().SerializeToString()) - before < a_S.nbytes
    assert sess.run([J_content, J_style]) == [0, 0]  # equal images cost nothing
    other = sess.run([J_content, J_style], {model["input"]: image[:, ::-1]})
    a_O = sess.run(out, {model["input"]: image[:, ::-1]})
    sess.close()
    assert other[0] == pytest.approx(2 * np.square(np.float64(a_S) - a_O).sum(), rel=1e-4)
    GS, GO = (np.einsum("nyxi,nyxj->ij", a, a) for a in (np.float64(a_S), np.float64(a_O)))
    size = a_S[0].size
    assert other[1] == pytest.approx(np.square(GS - GO).sum() / (4 * size**2), rel=1e-3)


def test_activations_are_arrays_to_all_but_tensorflow(fake_weights, image, large):
    with tf.Graph().as_default(), tf.Session() as sess:
        model = network.load_vgg_model(fake_weights, HEIGHT, WIDTH)
        sess.run(model["input"].assign(image))
        a = sess.run(model["conv1_1"])
        pair = sess.run([model["conv1_1"], model["input"].initializer])
        layers = sess.run({"first": model["conv1_1"]})
    assert isinstance(a, np.ndarray)
    assert type(2 * a - a.mean()) is np.ndarray
    assert isinstance(a.sum(), np.float32)
    assert isinstance(a[0, 0, 0, 0], np.float32)
    assert type(pair[0]) is type(a) is Activations
    assert pair[1] is None
    assert type(a.__array_wrap__(a)) is np.ndarray  # NumPy 1 hands over an array of this class
    assert layers["first"].shape == a.shape


def test_an_array_is_cast_to_the_type_that_an_operation_asks_for():
    with tf.Graph().as_default(), tf.Session() as sess:
        array = np.arange(6.0, dtype=np.float32).reshape(2, 3).view(Activations)
        assert sess.run(tf.convert_to_tensor(array, tf.float64)).dtype == np.float64
        np.testing.assert_array_equal(sess.run(tf.constant(array)), array)
        np.testing.assert_array_equal(sess.run(array + tf.ones([2, 3])), array + 1)
