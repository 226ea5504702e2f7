"""The last four lessons run to their ends, and their functions agree with NumPy."""

import re

import numpy as np
import pytest
import scipy.ndimage
import tensorflow.compat.v1 as tf

import nst_utils
from nst.vgg.tiny import write_fake_vgg
from tests.lab.lessons import (
    LESSONS,
    check_a_run,
    evaluate,
    gram,
    outputs_of,
    run,
    solved,
    text_of,
)

pytestmark = pytest.mark.numbers


@pytest.mark.parametrize("lesson", [name for name in LESSONS if re.match("Lesson_[6-9]_", name)])
def test_a_lesson_runs_from_top_to_bottom(lesson, fake_weights, tmp_path):
    check_a_run(lesson, fake_weights, tmp_path)


def text_with_vgg_16(lesson, folder, setting):
    """Run a lesson whose `setting` names a miniature VGG-16; return what it prints."""
    weights = folder / "imagenet-vgg-verydeep-16.mat"
    write_fake_vgg(weights, depth=16)
    values = {"VGG_MODEL": "absent.mat", setting: str(weights)}
    return text_of(outputs_of(run(lesson, folder, values)))


def test_the_content_layer_lesson_takes_vgg_16(tmp_path):
    text = text_with_vgg_16("Lesson_7_Choosing_the_Content_Layer", tmp_path, "VGG_MODEL")
    assert "VGG-16, unknown weights" in text
    assert "operations after 4 runs, as before: True" in text


def test_the_adaptive_lesson_takes_vgg_16_where_its_file_is_present(tmp_path):
    text = text_with_vgg_16("Lesson_8_Adaptive_Loss_Weights", tmp_path, "VGG_16_MODEL")
    assert "VGG-16, unknown weights" in text
    assert "13 style layers: conv1_1" in text


# --- Lesson_6_Costs_without_Units_and_Colors -----------------------------------------------------


@pytest.fixture
def unitless(functions):
    return functions("Lesson_6_Costs_without_Units_and_Colors")


def test_luminance_comes_from_one_picture_and_color_from_the_other(unitless):
    painted, photo = np.random.default_rng(0).integers(90, 160, (2, 5, 3, 3)).astype(np.uint8)
    found = unitless.with_luminance_of(painted, photo).astype(float)
    luminance = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it
    np.testing.assert_allclose(found @ luminance, painted @ luminance, atol=2)
    for channel in (0, 2):  # B - Y and R - Y are Cb and Cr but for a factor
        ours, theirs = (x[..., channel] - x @ luminance for x in (found, photo))
        np.testing.assert_allclose(ours, theirs, atol=3)


def test_gray_pictures_have_no_chroma(unitless):
    gray = np.full((5, 3, 3), 70, np.uint8)
    np.testing.assert_array_equal(unitless.chroma(gray), np.full((5, 3, 2), 128))


def test_the_lab_s_costs_in_eager_tensorflow_are_the_formulas_in_numpy(unitless, activations):
    a_S, a_G = activations
    content, style = evaluate(lambda S, G: unitless.lab_costs([S, S], [S, S], [G, G]), a_S, a_G)
    np.testing.assert_allclose(content, np.sum((a_S - a_G) ** 2) / (4 * a_S.size), rtol=1e-5)
    by_hand = np.sum((gram(a_G) - gram(a_S)) ** 2) / (4 * 4**2 * 15**2)
    np.testing.assert_allclose(style, [by_hand], rtol=1e-4)


def test_costs_without_units_are_the_formulas_in_numpy(unitless, activations):
    a_S, a_G = np.abs(activations)
    a_C = a_G[:, ::-1] + 1
    content, style = evaluate(lambda C, S, G: unitless.costs([C, C], [S, S], [G, G]), a_C, a_S, a_G)
    by_hand = 0
    for statistic in (gram, lambda a: a.mean((0, 1, 2)), lambda a: a.std((0, 1, 2))):
        G, S = statistic(a_G), statistic(a_S)
        by_hand += np.sum((G - S) ** 2) / np.sum(S**2)
    np.testing.assert_allclose(style, [by_hand], rtol=1e-3)
    pairs = [np.mean((c - s) ** 2) for c in a_C.reshape(-1, 4) for s in a_S.reshape(-1, 4)]
    np.testing.assert_allclose(content, np.mean((a_G - a_C) ** 2) / np.mean(pairs), rtol=1e-4)


def test_matched_colors_have_the_mean_and_the_covariance_of_the_target(unitless):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 7, 3))
    target = rng.normal(size=(40, 3)) @ rng.normal(0, 20, (3, 3)) + 100
    found = unitless.match_colors(image, target[None]).reshape(-1, 3)
    np.testing.assert_allclose(found.mean(axis=0), target.mean(axis=0))
    np.testing.assert_allclose(np.cov(found.T), np.cov(target.T), rtol=1e-6)


# --- Lesson_7_Choosing_the_Content_Layer ---------------------------------------------------------


@pytest.fixture
def choosing(functions):
    return functions("Lesson_7_Choosing_the_Content_Layer")


def test_a_cost_in_its_unit_is_0_for_one_picture_and_1_for_the_other(choosing, activations):
    wanted, other = ({"a": a, "b": 100 * a[:, :2]} for a in activations)

    def squares(a, b):
        return tf.reduce_sum((a - b) ** 2)

    with tf.Graph().as_default(), tf.Session() as choosing.sess:
        layers = {name: tf.placeholder(tf.float32, a.shape) for name, a in wanted.items()}
        costs, units = choosing.costs_in_units(squares, layers, wanted, other)
        by_hand = [np.sum((wanted[name] - other[name]) ** 2) for name in "ab"]
        np.testing.assert_allclose(units, by_hand, rtol=1e-5)
        for share in (0, 0.5, 1):  # of the way; the cost goes by its square
            a_G = {layers[n]: wanted[n] + share * (other[n] - wanted[n]) for n in layers}
            found = choosing.sess.run(costs, a_G)
            np.testing.assert_allclose(found, [share**2] * 2, rtol=1e-4, atol=1e-6)


def normalized(picture):
    return (picture[None] - nst_utils.CONFIG.MEANS).astype(np.float32)


def test_shapes_detail_and_color_are_measured_apart(choosing):
    rng = np.random.default_rng(0)
    smooth = scipy.ndimage.gaussian_filter(rng.normal(0, 900, (90, 120, 3)), (9, 9, 0)) + 128
    fine = rng.normal(0, 12, (90, 120, 1))
    photo = normalized(np.clip(smooth + fine, 0, 255))
    np.testing.assert_allclose(choosing.preserved(photo, photo), [1, 1, 1])
    shapes, detail, color = choosing.preserved(normalized(np.clip(smooth - fine, 0, 255)), photo)
    assert shapes > 0.98
    assert detail < -0.5
    assert color > 0.98
    gray = np.clip(smooth + fine, 0, 255) @ np.float64([0.299, 0.587, 0.114])
    tinted = normalized(gray[..., None] + rng.normal(0, 1, (90, 120, 3)))
    shapes, detail, color = choosing.preserved(tinted, photo)
    assert min(shapes, detail) > 0.9
    assert abs(color) < 0.5


def test_enlarging_keeps_a_plain_image_and_the_mean_of_any(choosing):
    choosing.LOW, choosing.HIGH = 0 - nst_utils.CONFIG.MEANS, 255 - nst_utils.CONFIG.MEANS
    plain = np.full((1, 4, 6, 3), 20.0)
    np.testing.assert_allclose(choosing.resize(plain, 8, 12), np.full((1, 8, 12, 3), 20))
    x = np.random.default_rng(0).uniform(-20, 20, (1, 9, 12, 3))
    found = choosing.resize(x, 18, 24)
    assert found.shape == (1, 18, 24, 3)
    np.testing.assert_allclose(found.mean(), x.mean(), atol=0.5)


def test_the_answer_holds_the_content_at_the_named_layers():
    module = solved("Lesson_7_Choosing_the_Content_Layer")
    assert module.check_content_weights() == "content_weights: right"
    np.testing.assert_allclose(
        module.content_weights("conv5_2", "conv2_2", "conv4_2"), [1 / 3, 0, 1 / 3, 1 / 3]
    )


# --- Lesson_8_Adaptive_Loss_Weights --------------------------------------------------------------


@pytest.fixture
def adaptive(functions):
    return functions("Lesson_8_Adaptive_Loss_Weights")


def test_gram_matrix_of_a_layer_is_a_sum_over_positions(adaptive, activations):
    a, _ = activations
    np.testing.assert_allclose(evaluate(adaptive.gram_matrix, a), gram(a), rtol=1e-5)


def test_losses_are_mean_squared_differences(adaptive, activations):
    a_C, a_G = activations
    found = evaluate(adaptive.content_loss, a_C, a_G)
    np.testing.assert_allclose(found, np.mean((a_C - a_G) ** 2), rtol=1e-5)
    S, G = map(gram, activations)
    found = evaluate(adaptive.layer_loss, S, G)
    np.testing.assert_allclose(found, np.mean((S - G) ** 2), rtol=1e-5)


def test_steps_shrink_in_equal_parts(adaptive):
    np.testing.assert_allclose(adaptive.shrinking(10.0, 4), [10, 7.5, 5, 2.5])


def test_units_are_those_of_the_other_image(adaptive):
    adaptive.x = tf.placeholder(tf.float32, [2])
    adaptive.losses = [tf.reduce_sum(adaptive.x) + n for n in (0, 10, 20)]
    content, style = np.float32([1, 2]), np.float32([30, 40])
    with tf.Session() as adaptive.sess:
        np.testing.assert_allclose(adaptive.units_of(content, style, {}), [70, 13, 23])


def test_adjusted_losses_have_the_gradient_of_their_logarithms(adaptive):
    def gradient(x):
        losses = [tf.reduce_sum(x**2), 1e9 * tf.reduce_sum(x**4)]
        w = adaptive.adjustments(losses)
        adjusted = [w_i * L_i for w_i, L_i in zip(w, losses, strict=True)]
        return tf.gradients(adaptive.weighted_sum([3.0, 5.0], adjusted), x)[0]

    x = np.array([1.0, -2.0, 3.0])
    by_hand = 3 * 2 * x / np.sum(x**2) + 5 * 4 * x**3 / np.sum(x**4)
    np.testing.assert_allclose(evaluate(gradient, x), by_hand)


def test_a_loss_of_zero_is_not_divided_by(adaptive):
    (w,) = evaluate(lambda L: adaptive.adjustments([L]), np.float64(0))
    np.testing.assert_allclose(w, 1e10)


@pytest.mark.parametrize("scale", [1e-3, 1e12])
def test_a_normalized_step_has_the_step_size_as_its_deviation(adaptive, scale):
    g = scale * np.random.default_rng(0).normal(size=(1, 30, 40, 3))
    x = np.zeros(g.shape, np.float32)
    moved = adaptive.normalized_step(x, g, step_size=10.0)
    np.testing.assert_allclose(np.std(moved), 10, rtol=1e-4)
    assert np.sum(moved * g) < 0


def test_a_normalized_step_stays_among_the_colors(adaptive):
    g = np.random.default_rng(0).normal(size=(1, 30, 40, 3))
    moved = adaptive.normalized_step(np.zeros(g.shape), g, step_size=1000.0)
    pixels = moved + nst_utils.CONFIG.MEANS
    np.testing.assert_allclose([pixels.min(), pixels.max()], [0, 255], atol=1e-4)


def test_the_answer_is_the_cost_whose_gradient_is_followed(adaptive):
    module = solved("Lesson_8_Adaptive_Loss_Weights")
    module.WEIGHTS, module.STYLE_WEIGHT, module.runs = [1.5, 10.0, 0.3], 10.0, {}
    assert module.check_log_cost().startswith("log_cost: right")
    x, direction, step = np.array([1.0, -2.0, 3.0]), np.array([2.0, 1.0, -1.0]), 1e-6

    def losses(x):
        return [np.sum(x**2), 1e9 * np.sum(x**4)]

    by_hand = 3 * 2 * x / np.sum(x**2) + 5 * 4 * x**3 / np.sum(x**4)
    after, before = (
        module.log_cost([3, 5], losses(x + sign * step * direction)) for sign in (1, -1)
    )
    np.testing.assert_allclose((after - before) / (2 * step), by_hand @ direction, rtol=1e-5)


# --- Lesson_9_Eager_Style_Transfer ---------------------------------------------------------------


@pytest.fixture
def eager(functions):
    return functions("Lesson_9_Eager_Style_Transfer")


def test_keras_knows_the_layers_by_the_translated_names(eager):
    assert eager.keras_name("conv1_1") == "block1_conv1"
    assert eager.keras_name("conv5_4") == "block5_conv4"


def test_eager_costs_are_means(eager, activations):
    a_S, a_G = activations
    found = evaluate(eager.content_cost, a_S, a_G)
    np.testing.assert_allclose(found, np.mean((a_S - a_G) ** 2), rtol=1e-5)
    np.testing.assert_allclose(evaluate(eager.gram_matrix, a_S), gram(a_S) / 15, rtol=1e-5)
    S, G, S_2, G_2 = np.random.default_rng(1).normal(size=(4, 3, 3))
    S_2, G_2 = S_2[:2, :2], G_2[:2, :2]  # layers of different size count the same
    found = evaluate(lambda *grams: eager.style_cost(grams[:2], grams[2:]), S, S_2, G, G_2)
    np.testing.assert_allclose(found, (np.mean((S - G) ** 2) + np.mean((S_2 - G_2) ** 2)) / 2)


def test_variation_cost_is_the_mean_absolute_step(eager, activations):
    G = activations[0][..., :3]
    steps = np.abs(np.diff(G, axis=1)).sum() + np.abs(np.diff(G, axis=2)).sum()
    np.testing.assert_allclose(evaluate(eager.variation_cost, G), steps / G.size, rtol=1e-5)


def test_running_roots_are_those_of_formula_8(eager):
    sizes = np.array([4.0, 1.0, 3.0])
    found = eager.root_mean_squares(sizes, beta_2=0.9)
    by_hand = [4, np.sqrt((0.9 * 16 + 1) / 1.9), np.sqrt((0.81 * 16 + 0.9 + 9) / 2.71)]
    np.testing.assert_allclose(found, by_hand)


def test_the_answer_is_the_mean_gram_matrix(activations):
    module = solved("Lesson_9_Eager_Style_Transfer")
    found = evaluate(module.gram_einsum, activations[0])
    np.testing.assert_allclose(found, gram(activations[0]) / 15, rtol=1e-5)
