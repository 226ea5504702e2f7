"""VGG as a graph: its layers against NumPy, its gradients, its precision."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from nst.core.config import CONFIG
from nst.core.images import load_image, reshape_and_normalize_image
from nst.vgg import network
from nst.vgg.frozen import large_constant, round_kernel
from nst.vgg.network import choose_precision, load_vgg_model
from nst.vgg.tiny import fake_convolutions, write_fake_vgg
from nst.vgg.weights import layer_names, read_vgg, write_vgg
from tests.conftest import ROOT

pytestmark = pytest.mark.numbers
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
REAL_WEIGHTS = ROOT / CONFIG.VGG_MODEL
LAYOUTS = ("filters", "beta16", "current")
HEIGHT, WIDTH = 21, 34  # odd once halved: SAME padding shows


def activations(path, image, **options):
    """Load a network in a graph of its own and run one image through all of it."""
    with tf.Graph().as_default(), tf.Session() as sess:
        model = load_vgg_model(path, *image.shape[1:3], **options)
        sess.run(model["input"].assign(image))
        return sess.run({name: model[name] for name in model if name != "input"})


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).uniform(-120, 120, (1, HEIGHT, WIDTH, 3)).astype(np.float32)


def convolve_and_rectify(x, W, b):
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x[0], ((1, 1), (1, 1), (0, 0))), (3, 3), axis=(0, 1)
    )  # (h, w, n_in, 3, 3)
    return np.maximum(np.einsum("hwiyx,yxio->hwo", windows, W) + b, 0)[None]


def average_pool(x):
    _, height, width, n_C = x.shape
    padded = np.full((height + height % 2, width + width % 2, n_C), np.nan)
    padded[:height, :width] = x[0]
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, n_C)
    return np.nanmean(blocks, axis=(1, 3))[None]  # TensorFlow leaves the padding out of the mean


# --- the network ---------------------------------------------------------------------------------


def test_every_layer_is_the_convolution_or_the_average_of_the_one_before(fake_weights, image):
    got = activations(fake_weights, image)
    weights = fake_convolutions()
    x = image.astype(np.float64)
    for name in layer_names(19):
        x = convolve_and_rectify(x, *weights[name]) if name in weights else average_pool(x)
        np.testing.assert_allclose(got[name], x, rtol=1e-4, atol=1e-3, err_msg=name)
        assert got[name].dtype == np.float32


@pytest.mark.skipif(not REAL_WEIGHTS.exists(), reason="needs the real weights: make weights")
def test_real_network_has_the_course_s_entries_and_shapes(capsys):
    with tf.Graph().as_default():
        model = load_vgg_model(REAL_WEIGHTS)
    sizes = {1: (300, 400), 2: (150, 200), 3: (75, 100), 4: (38, 50), 5: (19, 25)}
    channels = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
    expected = {"input": (1, 300, 400, 3)}
    for block, count in enumerate((2, 2, 4, 4, 4), 1):
        for i in range(1, count + 1):
            expected[f"conv{block}_{i}"] = (1, *sizes[block], channels[block])
        pooled = sizes.get(block + 1, (10, 13))
        expected[f"avgpool{block}"] = (1, *pooled, channels[block])
    assert {name: tuple(layer.shape.as_list()) for name, layer in model.items()} == expected
    assert len(model) == 22
    line = capsys.readouterr().out
    assert line.startswith(("VGG-19, 8-bit weights", "VGG-19, original weights"))
    assert line.count("\n") == 1


@pytest.mark.parametrize("depth", [19, 16])
def test_all_three_layouts_give_the_same_activations(tmp_path, image, depth):
    results = []
    for layout in LAYOUTS:
        path = tmp_path / f"{layout}.mat"
        write_fake_vgg(path, layout, depth)
        results.append(activations(path, image))
    assert len(results[0]) == depth + 2  # 16 or 13 convolutions and 5 pools
    for other in results[1:]:
        for name, value in results[0].items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_maximum_pooling_is_vgg_s_own(fake_weights, image):
    got = activations(fake_weights, image, pooling="max")
    block = got["conv1_2"][0, :20].reshape(10, 2, 17, 2, 4)
    np.testing.assert_array_equal(got["avgpool1"][0, :10], block.max(axis=(1, 3)))


def test_model_built_with_no_session_keeps_its_weights(fake_weights, image):
    with tf.Graph().as_default() as graph:
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
    with tf.Session(graph=graph) as sess:
        sess.run(model["input"].initializer)
        result = sess.run(model["conv5_4"], {model["input"]: image})
    np.testing.assert_allclose(result, activations(fake_weights, image)["conv5_4"], rtol=1e-5)


def test_each_assignment_keeps_its_own_image(fake_weights, image):
    with tf.Graph().as_default(), tf.Session() as sess:
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        given = image.copy()
        show_C = model["input"].assign(given)
        show_S = model["input"].assign(-image)
        given[:] = 0  # described is described
        for assignment, expected in ((show_C, image), (show_S, -image), (show_C, image)):
            sess.run(assignment)
            np.testing.assert_array_equal(sess.run(model["input"]), expected)
        sess.run(tf.assign(model["input"], model["input"] + 1))  # the variable's memory is its own
        sess.run(show_C)
        np.testing.assert_array_equal(sess.run(model["input"]), image)


def test_an_assigned_tensor_is_assigned_as_tensorflow_does_it(fake_weights, image):
    with tf.Graph().as_default(), tf.Session() as sess:
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        sess.run(model["input"].assign(image))
        sess.run(model["input"].assign(model["input"] * 2))
        np.testing.assert_array_equal(sess.run(model["input"]), 2 * image)


def test_assignments_add_no_array_to_the_graph(fake_weights, image):
    with tf.Graph().as_default() as graph, tf.Session() as sess:
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        for level in range(-100, 100):
            sess.run(model["input"].assign(np.full_like(image, level)))
        before = len(graph.get_operations())
        sess.run(model["input"].assign(np.full_like(image, 99)))  # once more
        assert len(graph.get_operations()) == before
        sizes = [len(op.node_def.SerializeToString()) for op in graph.get_operations()]
    assert max(sizes) < image.nbytes / 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image[0], r"^the image has shape \(21, 34, 3\), .*reshape_and_normalize_im"),
        (
            lambda image: 2 * abs(image),
            r"^the image's values range from 0\..* to 2.* CONFIG.MEANS was n",
        ),
        (lambda image: None, r"^the image has shape \(\), the network's input \(1, 21, 34, 3\): "),
        (lambda image: image.astype(str), r"^the image holds <U\d+, not numbers: make it with"),
    ],
)
def test_what_is_not_a_normalized_image_gets_one_sentence(fake_weights, image, change, message):
    with tf.Graph().as_default(), tf.Session():
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        with pytest.raises(ValueError, match=message):
            model["input"].assign(change(image))


def test_layers_have_their_names_in_the_graph(fake_weights):
    with tf.Graph().as_default():
        for precision in ("float32", "bfloat16"):
            model = load_vgg_model(fake_weights, HEIGHT, WIDTH, precision)
            for name, tensor in model.items():
                assert tensor.op.name in (name, f"{name}_1")


def test_the_network_has_the_size_that_config_has_when_it_is_built(fake_weights, monkeypatch):
    monkeypatch.setattr(CONFIG, "IMAGE_WIDTH", 30)
    monkeypatch.setattr(CONFIG, "IMAGE_HEIGHT", 20)
    with tf.Graph().as_default():
        assert load_vgg_model(fake_weights)["conv1_1"].shape.as_list()[:3] == [1, 20, 30]


def test_an_image_of_another_size_than_the_network_gets_one_sentence(fake_weights):
    with tf.Graph().as_default(), tf.Session():
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        with pytest.raises(ValueError, match=r"^the image has shape \(1, 8, 9, 3\), the network's"):
            model["input"].assign(np.zeros((1, 8, 9, 3)))


def test_no_gradient_of_a_weight_is_computed(fake_weights, image):
    with tf.Graph().as_default() as graph, tf.Session() as sess:
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        train_step = tf.train.AdamOptimizer(2.0).minimize(tf.reduce_sum(model["conv3_1"]))
        sess.run(tf.global_variables_initializer())
        sess.run(model["input"].assign(image))
        before = sess.run(model["conv3_1"])
        sess.run(train_step)
        changed = sess.run(model["input"])
        sess.run(model["input"].assign(image))
        np.testing.assert_array_equal(sess.run(model["conv3_1"]), before)  # the weights stayed
        types = {op.type for op in graph.get_operations()}
        assert [v.op.name for v in tf.trainable_variables()] == ["input"]
    assert types & {"Conv2D", "Conv2DBackpropInput"}  # whichever are fast on this processor
    assert not types & {"Conv2DBackpropFilter", "BiasAddGrad"}
    assert np.median(np.abs(changed - image)) == pytest.approx(2, abs=1e-3)  # Adam's first step


def test_the_gradient_of_the_input_is_right(fake_weights, image):
    """Uphill, the cost grows at the rate of the gradient's length: central difference."""
    with tf.Graph().as_default(), tf.Session() as sess:
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        J = tf.reduce_sum(tf.square(model["conv3_1"]))
        gradient = sess.run(tf.gradients(J, model["input"])[0], {model["input"]: image})
        length = np.linalg.norm(gradient)
        step = 0.1 * gradient / length
        up, down = (sess.run(J, {model["input"]: image + s}) for s in (step, -step))
    assert (up - down) / 0.2 == pytest.approx(length, rel=0.01)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(
    "kind",
    ["square", "two matrices", "transpose behind", "transpose before", "copy behind", "unrolled"],
)
def test_matrix_products_keep_their_gradients(fake_weights, kind, transpose_a, transpose_b):
    """The override for Gram matrices, against the graph without it, for every way to multiply."""
    rng = np.random.default_rng(0)
    A, B, upstream = rng.normal(size=(3, 4, 4))
    gradients = []
    for overridden in (True, False):
        with tf.Graph().as_default(), tf.Session() as sess:
            if overridden:
                load_vgg_model(fake_weights, 8, 8)
            a = x = tf.constant(A)
            if kind == "unrolled":  # as in the lab
                a = tf.transpose(tf.reshape(x, (4, 4)))
            b = {"square": a, "two matrices": tf.constant(B), "unrolled": a}.get(kind)
            if b is None:
                b = tf.transpose(a, (0, 1) if kind == "copy behind" else None)
            pair = (b, a) if kind == "transpose before" else (a, b)
            C = tf.matmul(*pair, transpose_a=transpose_a, transpose_b=transpose_b)
            wanted = [x, b] if kind == "two matrices" else [x]
            gradients.append(sess.run(tf.gradients(C, wanted, tf.constant(upstream))))
    np.testing.assert_allclose(*gradients, rtol=1e-12)


@pytest.mark.parametrize("axes", [(1, 0), (0, 1), (2, 0, 1), (0, 2, 1), (2, 1, 0)])
def test_transposes_keep_their_gradients(fake_weights, axes):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(2, 3, 4)[: len(axes)])
    upstream = rng.normal(size=A.shape)  # goes through a transpose as well
    with tf.Graph().as_default(), tf.Session() as sess:
        load_vgg_model(fake_weights, 8, 8)
        a = tf.constant(A)
        gradient = tf.gradients(tf.transpose(a, axes), a, tf.transpose(tf.constant(upstream), axes))
        np.testing.assert_array_equal(sess.run(gradient)[0], upstream)


def test_a_gram_matrix_has_a_gradient_of_one_product(fake_weights):
    products = {}
    for write in (lambda A: tf.matmul(A, A, transpose_b=True), lambda A: A @ tf.transpose(A)):
        with tf.Graph().as_default() as graph:
            load_vgg_model(fake_weights, 8, 8)
            X = tf.constant(np.ones((5, 3)))
            gradient = tf.gradients(write(tf.transpose(X)), X)[0]
            products[write] = sum(op.type == "MatMul" for op in graph.get_operations())
            assert gradient.op.type == "MatMul"  # and no transpose behind it
    assert list(products.values()) == [2, 2]  # the Gram matrix itself, and one


def test_a_large_constant_is_not_in_the_graph_and_is_folded():
    array = np.random.default_rng(0).normal(0, 1, (1, 30, 40, 50)).astype(np.float32)
    with tf.Graph().as_default() as graph, tf.device("/CPU:0"):  # a GPU folds nothing of it
        tensor = large_constant(array)
        assert tensor.shape == array.shape
        flat = tf.reshape(tensor, (-1, 50))
        gram = tf.matmul(flat, flat, transpose_a=True)
        x = tf.Variable(2.0)
        total = tf.reduce_sum(x * gram)
        assert len(graph.as_graph_def().SerializeToString()) < 10_000
        sess = tf.InteractiveSession()  # the course's
        sess.run(x.initializer)
        options, ran = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), tf.RunMetadata()
        got = sess.run([tensor, gram, total], options=options, run_metadata=ran)
        sess.close()
    np.testing.assert_array_equal(got[0], array)
    expected = np.einsum("nyxi,nyxj->ij", array, array)
    np.testing.assert_allclose(got[1], expected, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(got[2], 2 * expected.sum(), rtol=1e-3)
    ran = {node.node_name for device in ran.step_stats.dev_stats for node in device.node_stats}
    assert total.op.name in ran
    assert not ran & {tensor.op.name, gram.op.name}, "they were folded into constants"


def test_a_gpu_gets_a_large_constant_once(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU"])
    array = np.random.default_rng(0).normal(0, 1, (1, 30, 40, 50)).astype(np.float32)
    with tf.Graph().as_default() as graph, tf.Session() as sess:
        tensor = large_constant(array)
        assert len(graph.as_graph_def().SerializeToString()) < 10_000
        assert not {"PyFunc", "PyFuncStateless"} & {op.type for op in graph.get_operations()}
        sess.run(tf.global_variables_initializer())  # as `model_nn` does
        assert tf.trainable_variables() == []
        np.testing.assert_array_equal(sess.run(tensor), array)


@pytest.mark.skipif(
    os.environ.get("ONEDNN_MAX_CPU_ISA") == "AVX2" and os.environ.get(ONEDNN) != "0",
    reason="where oneDNN alone plays AVX2, TensorFlow asks it for a bfloat16 that it has not",
)
def test_bfloat16_is_near_float32_and_leaves_conv1_1_exact(fake_weights, image):
    exact = activations(fake_weights, image)
    near = activations(fake_weights, image, precision="bfloat16")
    for name, value in near.items():
        assert value.dtype == np.float32
        error = np.linalg.norm(value - exact[name]) / np.linalg.norm(exact[name])
        assert error < 0.03, name
    assert np.any(near["conv5_4"] != exact["conv5_4"])


@pytest.mark.skipif(not REAL_WEIGHTS.exists(), reason="needs the real weights: make weights")
def test_rounding_the_real_weights_keeps_their_gram_matrices(tmp_path):
    """conv4_1 makes most of the style cost; rounding weights one by one loses 0.4 % of it.

    The rounded kernels are computed with in float32, so that no processor's arithmetic counts.
    """
    _, weights = read_vgg(REAL_WEIGHTS)
    rounded = {
        name: (round_kernel(W, tf.bfloat16).astype(np.float32), b)
        for name, (W, b) in weights.items()
    }
    rounded["conv1_1"] = weights["conv1_1"]  # never rounded
    write_vgg(tmp_path / "rounded.mat", rounded, "rounded", "a test")
    picture = load_image(ROOT / "images" / "impressionist.jpg", 96, 128)
    image = reshape_and_normalize_image(picture, 96, 128)
    exact, near = (
        np.square(activations(path, image)["conv4_1"]).sum()
        for path in (REAL_WEIGHTS, tmp_path / "rounded.mat")
    )
    assert near == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("variable", "value"), [("TF_ENABLE_ONEDNN_OPTS", "0"), ("ONEDNN_MAX_CPU_ISA", "AVX2")]
)
def test_bfloat16_is_not_offered_where_it_is_slower(
    fake_weights, monkeypatch, capsys, variable, value
):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert choose_precision("auto") == "float32"
    with tf.Graph().as_default():
        load_vgg_model(fake_weights, 8, 8, precision="bfloat16")
    assert "(on this processor float32 is faster)\n" in capsys.readouterr().out


def test_rounding_a_kernel_keeps_the_sum_of_its_taps():
    bfloat16 = tf.bfloat16
    W = np.random.default_rng(0).normal(0, 1, (3, 3, 5, 7)).astype(np.float32)
    rounded = round_kernel(W, bfloat16)
    assert rounded.dtype == bfloat16.as_numpy_dtype
    exact = rounded.astype(np.float64)
    # 8 significant bits: half a unit in the last place of the last tap is all that the sum is off
    last = np.abs(exact[2, 2]) * 2.0**-8
    assert np.all(np.abs(exact.sum((0, 1)) - W.sum((0, 1), dtype=np.float64)) <= last + 1e-6)
    np.testing.assert_allclose(exact, W, rtol=2**-8, atol=2**-8 * np.abs(W).max())
    np.testing.assert_array_equal(round_kernel(W, tf.float32), W)


def test_float32_is_not_tf32(fake_weights):
    tf.config.experimental.enable_tensor_float_32_execution(True)
    with tf.Graph().as_default():
        load_vgg_model(fake_weights, 8, 8)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_a_picture_too_large_for_the_gpu_is_refused_with_the_size_that_fits(monkeypatch):
    monkeypatch.setattr(network, "_free_on_gpu", lambda: (6e9, "the GPU's memory"))
    with pytest.raises(MemoryError) as caught:
        network.check_memory(3000, 4000, bytes_per_pixel=2000)
    assert str(caught.value) == (
        "training at 4000×3000 pixels takes 24 GB of the GPU's memory, but only 6.0 GB are free: "
        "choose 2000×1500, the largest size of this shape that fits"
    )


def test_precision_has_three_names():
    assert choose_precision("auto") in ("float32", "bfloat16")
    with pytest.raises(ValueError, match=r"^the precision is 'half': choose 'float32'"):
        choose_precision("half")


def test_without_graph_mode_the_kernel_and_the_line_to_put_first_are_named():
    code = "from nst_utils import *\nload_vgg_model('x.mat')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "RuntimeError: TensorFlow is in eager mode, but VGG is built as a graph: choose the kernel "
        "“Course (TensorFlow 1)”, or put %load_ext nst before the imports"
    )
