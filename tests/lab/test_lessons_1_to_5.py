"""The first five lessons run to their ends, and their functions agree with NumPy."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import tensorflow.compat.v1 as tf

import nst_utils
from nst.core.config import LAB
from tests.lab.lessons import LESSONS, check_a_run, evaluate, gram, solved

pytestmark = pytest.mark.numbers


@pytest.mark.parametrize("lesson", [name for name in LESSONS if re.match("Lesson_[1-5]_", name)])
def test_a_lesson_runs_from_top_to_bottom(lesson, fake_weights, tmp_path):
    check_a_run(lesson, fake_weights, tmp_path)


# --- Lesson_1_Feature_Maps -----------------------------------------------------------------------


@pytest.fixture
def maps(functions):
    return functions("Lesson_1_Feature_Maps")


def test_receptive_field_of_vgg_16_is_the_published_one(maps):
    # Araujo, Norris, Sim (2019), Computing Receptive Fields of Convolutional Neural Networks
    assert maps.receptive_field("avgpool5", nst_utils.layer_names(16)) == (212, 32, -90)


def test_most_active_channels_come_first(maps):
    a = np.zeros((5, 3, 4), np.float32)
    a[1, 2] = [15, 30, 0, 45]
    np.testing.assert_allclose(maps.mean_activation(a), [1, 2, 0, 3])
    np.testing.assert_array_equal(maps.most_active(a, 3), [3, 1, 0])


def test_varied_channels_are_not_like_each_other(maps):
    one, other = np.random.default_rng(0).uniform(0, 1, (2, 5, 3))
    a = np.zeros((5, 3, 12), np.float32)  # a quarter: the three most active
    a[..., 7], a[..., 2], a[..., 5] = 9 * one, 8 * one + 0.1, other
    a[..., 3] = 0.01 * other[::-1]
    assert maps.varied(a, 2) == [7, 5]


def test_peaked_channels_are_strong_in_few_places_inside(maps):
    maps.HEIGHT, maps.WIDTH = 6, 5
    found = np.ones((2, 6, 5, 4))
    found[1, 2, 2] = [1, 50, 90, 0]
    found[0, 0, 0, 0] = 1000  # at the border, where its field reaches beyond the image
    found[..., 2] += 10
    maps.found = [{"conv1_1": a} for a in found]
    maps.a = maps.found[0]
    assert maps.inside("conv1_1").sum() == 4 * 3
    assert maps.peaked("conv1_1", 1) == [1]


def test_style_cost_of_feature_maps_is_the_lab_s(maps, activations):
    a_S, a_G = activations
    wanted = evaluate(nst_utils.functions_of(LAB).compute_layer_style_cost, a_S, a_G)
    np.testing.assert_allclose(maps.style_cost(a_S[0], a_G[0]), wanted, rtol=1e-4)


# --- Lesson_2_Recreate_Content_and_Style ---------------------------------------------------------


@pytest.fixture
def means(functions):
    return functions("Lesson_2_Recreate_Content_and_Style")


def test_content_loss_is_the_mean_squared_difference(means, activations):
    a_C, a_G = activations
    loss = evaluate(means.content_loss, a_C, a_G)
    np.testing.assert_allclose(loss, np.mean((a_C - a_G) ** 2), rtol=1e-6)
    assert evaluate(means.content_loss, a_C, a_C) == 0


def test_mean_gram_matrix_is_a_mean_over_positions(means, activations):
    a, _ = activations
    found = evaluate(means.mean_gram_matrix, a)
    np.testing.assert_allclose(found, gram(a) / (5 * 3), rtol=1e-5)


def test_style_loss_is_the_mean_over_layers_of_mean_squares(means):
    rng = np.random.default_rng(1)
    S, G, S_2, G_2 = rng.normal(size=(4, 3, 3))
    S_2, G_2 = S_2[:2, :2], G_2[:2, :2]  # layers of different size count the same
    loss = evaluate(lambda *grams: means.style_loss(grams[:2], grams[2:]), S, S_2, G, G_2)
    np.testing.assert_allclose(loss, (np.mean((S - G) ** 2) + np.mean((S_2 - G_2) ** 2)) / 2)


def test_a_search_ends_at_the_image_of_least_cost_within_the_colors(means, eagerly, tmp_path):
    means.noise_image = np.random.default_rng(0).uniform(-20, 20, (1, 6, 8, 3)).astype(np.float32)
    means.OUTPUT_DIR = str(tmp_path)
    target = np.float32([40, 40, 900])  # white is 151 above blue's mean

    def bowl(G):
        return tf.reduce_sum(np.float32([1, 3, 9]) * (G - target) ** 2)

    pictures = means.recreate(bowl, "bowl", 12)
    assert len(pictures) >= 3  # the noise, after 5 steps, …
    np.testing.assert_array_equal(pictures[0], nst_utils.to_pixels(means.noise_image))
    found = pictures[-1].astype(float)
    np.testing.assert_allclose(found, np.broadcast_to([163.7, 156.8, 255], found.shape), atol=1)
    assert (tmp_path / "bowl.gif").stat().st_size > 0


# --- Lesson_3_Style_Is_a_Distribution ------------------------------------------------------------


@pytest.fixture
def distribution(functions):
    return functions("Lesson_3_Style_Is_a_Distribution")


@pytest.fixture
def clouds():
    rng = np.random.default_rng(3)
    return rng.normal(1, 2, (7, 4)).astype(np.float32), rng.normal(0, 3, (7, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("cost", "statistic"),
    [
        ("mean_cost", lambda X: X.mean(axis=0)),
        ("deviation_cost", lambda X: X.std(axis=0)),
        ("gram_cost", lambda X: np.einsum("pi,pj->ij", X, X) / len(X)),
    ],
)
def test_a_cost_is_the_relative_error_of_its_statistic(distribution, clouds, cost, statistic):
    G, S = map(statistic, clouds)
    found = evaluate(lambda X, Y: getattr(distribution, cost)(X, Y, None), *clouds)
    np.testing.assert_allclose(found, np.sum((G - S) ** 2) / np.sum(S**2), rtol=1e-5)


def test_sliced_wasserstein_is_the_cost_of_the_best_assignment(distribution, clouds):
    V = distribution.random_directions(4, 3, seed=0)
    np.testing.assert_allclose(np.linalg.norm(V, axis=0), 1, rtol=1e-6)
    wanted = []
    for x, y in zip(*(np.transpose(Z @ V) for Z in clouds), strict=True):
        squares = (x[:, None] - y) ** 2
        wanted.append(squares[scipy.optimize.linear_sum_assignment(squares)].mean())
    found = evaluate(distribution.sliced_wasserstein, *clouds, V)
    np.testing.assert_allclose(found, np.mean(wanted) / np.mean(clouds[1] ** 2), rtol=1e-5)


def test_adain_has_the_moments_of_the_style_and_the_order_of_the_content(distribution, clouds):
    found = evaluate(distribution.adain, *clouds)
    np.testing.assert_allclose(found.mean(axis=0), clouds[1].mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0), clouds[1].std(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(found.argsort(axis=0), clouds[0].argsort(axis=0))


def test_a_decoder_finds_the_linear_map_that_made_the_blocks(distribution):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 12, 3)).astype(np.uint8)
    blocks = distribution.blocks_of(picture, 2)
    np.testing.assert_array_equal(blocks[1].reshape(2, 2, 3), picture[:2, 2:4])
    np.testing.assert_array_equal(distribution.picture_of(blocks, 2, 8, 12), picture)
    X = rng.normal(size=(500, 5))
    made = X @ rng.normal(size=(5, 12)) + 7
    decoder = distribution.fit_decoder(X, made)
    np.testing.assert_allclose(distribution.decode(X, decoder), made, atol=0.02)


# --- Lesson_4_Optimizers_and_Starting_Images -----------------------------------------------------

TARGET = np.array([[[[3.0, -1.0, 2.0], [10.0, 5.0, -8.0]]]])  # (1, 1, 2, 3)
STEEPNESS = np.array([1.0, 10.0, 100.0])  # of the bowl, by color
START = np.zeros_like(TARGET)


def bowl(x):
    return np.sum(STEEPNESS * (x - TARGET) ** 2), 2 * STEEPNESS * (x - TARGET)


@pytest.fixture
def optimizers(functions):
    return functions("Lesson_4_Optimizers_and_Starting_Images")


def test_adam_is_that_of_tensorflow(optimizers):
    with tf.Graph().as_default(), tf.Session() as sess:
        x = tf.Variable(START)
        J = tf.reduce_sum(STEEPNESS * (x - TARGET) ** 2)
        step = tf.train.AdamOptimizer(0.5).minimize(J)
        sess.run(tf.global_variables_initializer())
        costs = [sess.run([J, step])[0] for _ in range(7)]
        image = sess.run(x)
    found, history = optimizers.adam(bowl, START, 7, 0.5)
    np.testing.assert_allclose(found, image, rtol=1e-5)
    np.testing.assert_allclose(history, costs, rtol=1e-5)


def test_lbfgs_finds_the_bottom_of_a_narrow_bowl(optimizers):
    x, costs = optimizers.lbfgs(bowl, START, 40)
    np.testing.assert_allclose(x, TARGET, atol=1e-3)
    np.testing.assert_allclose(costs[0], bowl(START)[0])


def test_lbfgs_begins_with_a_step_of_three_gray_levels(optimizers):
    steps = []

    def evaluate(x):
        steps.append(x)
        return bowl(x)

    optimizers.lbfgs(evaluate, START, 2)
    np.testing.assert_allclose(np.sqrt(np.mean(steps[1] ** 2)), 3)


def test_lbfgs_returns_the_image_of_the_lowest_cost_in_its_evaluations(optimizers):
    x, costs = optimizers.lbfgs(bowl, START, 3)
    assert len(costs) == 3
    np.testing.assert_allclose(bowl(x)[0], costs.min())


def test_normalized_descent_records_the_cost_before_each_shrinking_step(optimizers):
    x, costs = optimizers.normalized_descent(bowl, START, 2, 0.1)
    path = [START]
    for size in (0.1, 0.05):
        g = bowl(path[-1])[1]
        path.append(path[-1] - size * g / np.std(g))
    np.testing.assert_allclose(costs, [bowl(step)[0] for step in path[:2]])
    np.testing.assert_allclose(x, path[2], rtol=1e-4, atol=1e-6)


def test_the_lab_s_costs_are_the_formulas_in_numpy(optimizers, activations):
    a_S, a_G = activations
    found = evaluate(optimizers.content_cost, a_S, a_G)
    np.testing.assert_allclose(found, np.sum((a_S - a_G) ** 2) / (4 * 5 * 3 * 4), rtol=1e-5)
    found = evaluate(optimizers.layer_style_cost, gram(a_S), a_G)
    by_hand = np.sum((gram(a_S) - gram(a_G)) ** 2) / (4 * 4**2 * (5 * 3) ** 2)
    np.testing.assert_allclose(found, by_hand, rtol=1e-4)


def test_edges_are_those_of_the_negative_too_and_not_of_the_mirror_image(optimizers):
    pixels = np.random.default_rng(0).integers(60, 140, (1, 9, 7, 3))
    image, negative, mirrored = (
        x - nst_utils.CONFIG.MEANS for x in (pixels, 200 - pixels, pixels[:, :, ::-1])
    )
    np.testing.assert_allclose(optimizers.edge_similarity(negative, image), 1)
    assert optimizers.edge_similarity(mirrored, image) < 0.9


def test_recall_counts_the_steepest_tenth_and_ignores_new_edges():
    module = solved("Lesson_4_Optimizers_and_Starting_Images")
    content = np.full((1, 20, 20, 3), 50.0)
    content[:, :, 10:] = 150  # one edge, two of twenty columns: a tenth
    half, busy = content.copy(), content.copy()
    half[:, :10] = 50  # the edge in the lower half only
    busy[:, :, 3] += 100
    means = nst_utils.CONFIG.MEANS
    module.content_image = content - means
    assert module.check_edge_recall() == "edge_recall: right"
    found = [module.edge_recall(x - means, content - means) for x in (content, half, busy)]
    np.testing.assert_allclose(found, [1, 0.5, 1], atol=0.06)


# --- Lesson_5_Coarse_to_Fine ---------------------------------------------------------------------


@pytest.fixture
def coarse(functions):
    return functions("Lesson_5_Coarse_to_Fine")


def test_receptive_fields_are_those_of_the_first_lesson(coarse, maps):
    for name in nst_utils.layer_names(19):
        assert coarse.receptive_field(name) == maps.receptive_field(name)[0]


@pytest.mark.parametrize("wavelength", [12, 40])
def test_stroke_length_of_waves_is_their_length_over_two_pi(coarse, wavelength):
    wave = np.sin(2 * np.pi * np.arange(20 * wavelength) / wavelength)
    picture = np.tile(wave[:, None], (5, 1, 3))  # (5, 20 wavelengths, 3): the rows do not change
    for turned in (picture, picture.swapaxes(0, 1)):
        found = coarse.stroke_length(turned)
        np.testing.assert_allclose(found, wavelength / (2 * np.pi), rtol=0.02)
        np.testing.assert_allclose(coarse.stroke_length(100 - 7 * turned), found)


def test_mean_gram_matrix_and_relative_error_are_those_of_numpy(coarse, activations):
    a_S, a_G = activations
    np.testing.assert_allclose(evaluate(coarse.mean_gram_matrix, a_S), gram(a_S) / 15, rtol=1e-5)
    found = evaluate(lambda G: coarse.relative_error(G, a_S), a_G)
    np.testing.assert_allclose(found, np.sum((a_G - a_S) ** 2) / np.sum(a_S**2), rtol=1e-5)


def test_lbfgs_finds_the_least_cost_within_the_colors(coarse):
    target = np.float32([40, 40, 900])  # white is 151 above blue's mean
    with tf.Graph().as_default(), tf.Session() as coarse.sess:
        x = tf.placeholder(tf.float32, (1, 4, 6, 3))
        J = tf.reduce_sum(np.float32([1, 3, 9]) * (x - target) ** 2)
        level = SimpleNamespace(x=x, J=J, gradient=tf.gradients(J, x)[0])
        image, costs = coarse.lbfgs(level, np.zeros(x.shape, np.float32), 12)
        np.testing.assert_allclose(coarse.sess.run(J, {x: image}), costs.min())
    wanted = np.broadcast_to([163.7, 156.8, 255], image.shape)
    np.testing.assert_allclose(image + nst_utils.CONFIG.MEANS, wanted, atol=1)
