"""The painter: its costs, its levels and options, on the tiny network."""

import math
import threading
from contextlib import closing
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.fft
from PIL import Image
from scipy.optimize import minimize

from nst.core.config import CONFIG, PROJECT
from nst.painting import costs, eta, image_ops, inputs, painter
from nst.painting.inputs import Sources
from nst.painting.lbfgs import MEMORY, lbfgs
from nst.painting.objective import Level, open_painter
from nst.painting.painter import level_sizes, paint
from nst.vgg.network import read_weights, tf
from tests.benchmark import painter as benchmark

REAL_WEIGHTS = PROJECT / CONFIG.VGG_MODEL
needs_weights = pytest.mark.skipif(not REAL_WEIGHTS.exists(), reason="needs the real weights")


@pytest.fixture
def photo(tmp_path):
    """A photograph: a dark disc on a bright ground that darkens to the right, (90, 120) pixels."""
    y, x = np.mgrid[:90, :120]
    ground = np.stack([220 - x, 200 - x, 230 - x / 2], axis=-1)
    ground[(x - 60) ** 2 + (y - 50) ** 2 < 900] = (90, 60, 40)
    return save(tmp_path / "photo.png", ground)


@pytest.fixture
def painted(tmp_path):
    """A painting: slanted strokes in blue, yellow and white, (96, 128) pixels."""
    y, x = np.mgrid[:96, :128]
    waves = np.sin((x + y) / 3) + np.sin((x - 2 * y) / 7)
    colours = np.array([(30, 60, 160), (240, 200, 60), (250, 250, 240)])
    return save(tmp_path / "painting.png", colours[np.digitize(waves, (-0.3, 0.8))])


@pytest.fixture
def network(fake_weights):
    with open_painter(read_weights(fake_weights, "float32")) as opened:
        yield opened


def save(path, pixels):
    Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(path)
    return path


def finish(*args, **settings):
    """Paint; return the last Progress."""
    *_, last = paint(*args, **settings)
    return last


# --- costs ---------------------------------------------------------------------------------------


def random_layer(seed, shape=(1, 3, 5, 4)):
    return np.abs(np.random.default_rng(seed).normal(1, 2, shape)).astype(np.float32)


def evaluate(tensor, feed=None):
    with tf.Session(graph=tensor.graph) as sess:
        return sess.run(tensor, feed)


def test_statistics_are_numpy_s():
    a = random_layer(0)
    with tf.Graph().as_default(), tf.Session() as sess:
        gram, mean, deviation = sess.run(costs.statistics(tf.constant(a)))
    np.testing.assert_allclose(gram, np.einsum("bhwi,bhwj->ij", a, a) / 15, rtol=1e-5)
    np.testing.assert_allclose(mean, a.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(deviation, np.sqrt(a.var(axis=(0, 1, 2)) + 1e-3), rtol=1e-4)


def test_style_distance_is_the_sum_of_three_relative_distances():
    ours, theirs = ([random_layer(i, (4, 4)), random_layer(i + 1, (4,))] for i in (0, 2))
    expected = sum(np.sum((a - b) ** 2) / np.sum(b**2) for a, b in zip(ours, theirs, strict=True))
    with tf.Graph().as_default():
        constants = list(map(tf.constant, ours))
        assert evaluate(costs.style_distance(constants, theirs)) == pytest.approx(
            expected, rel=1e-4
        )
        assert evaluate(costs.style_distance(constants, ours)) == 0


def test_the_content_unit_is_the_distance_of_an_unrelated_image_of_the_style():
    a_C, a_S = random_layer(1, (2000, 8)), 3 * random_layer(2, (1800, 8)) + 1
    unrelated = a_S[np.random.default_rng(3).integers(len(a_S), size=2000)]
    moments = [(np.mean(a**2), a.mean(axis=0)) for a in (a_C, a_S)]
    expected = np.mean((unrelated - a_C) ** 2)
    assert costs.content_unit(*moments) == pytest.approx(expected, rel=0.05)


def test_layout_cost_ignores_detail_that_shrinking_removes(photo):
    large = np.asarray(Image.open(photo).convert("RGB"), np.float32)
    small = np.asarray(Image.open(photo).convert("RGB").resize((60, 45), Image.LANCZOS), np.float32)
    moved = small + 10
    with tf.Graph().as_default():
        image = tf.constant(large[None])
        same = evaluate(costs.layout_cost(image, small[None]))
        assert same < 1e-4
        unit = small.var(axis=(0, 1)).mean()
        other = evaluate(costs.layout_cost(image, moved[None]))
        assert other == pytest.approx(100 / unit, rel=0.1)  # Pillow rounds to whole levels


def test_first_levels_are_held_to_the_photo_and_last_ones_to_the_third():
    rng = np.random.default_rng(0)
    photo = np.float32(image_ops.resize(rng.normal(0, 60, (1, 6, 8, 3)), 72, 96))
    grain = np.float32(40 * (np.indices((72, 96)).sum(axis=0) % 2 - 0.5)[None, ..., None])
    for index in (0, 1):
        with tf.Graph().as_default():
            held = [
                evaluate(painter.layout(tf.constant(image), index, photo, None))
                for image in (photo, photo + grain, photo[:, ::-1].copy())
            ]
        assert max(held[:2]) < 0.01 * painter.LAYOUT_WEIGHT_PHOTO  # grain is not seen from afar
        assert held[2] > painter.LAYOUT_WEIGHT_PHOTO / 2**index
    small = image_ops.resize(rng.normal(0, 50, (1, 9, 12, 3)), 36, 48)
    unit = np.var(small, axis=(1, 2)).mean()
    with tf.Graph().as_default():
        same, lines, lighter = [
            evaluate(painter.layout(tf.constant(image), index + 2, None, small))
            for image in (small, small + grain[:, :36, :48], small + 20)
        ]
    assert same < 1
    assert lines == pytest.approx(500 * 20**2 / unit, rel=0.05)  # its finest detail counts less
    assert lighter == pytest.approx(3500 * 20**2 / unit, rel=0.05)


def test_spectrum_is_scipy_s_cosine_transform_in_bands(photo):
    image = inputs.read(photo, 45, 60)
    red, green, blue = np.moveaxis(image[0].astype(np.float64), 2, 0)
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = brightness, 0.564 * (blue - brightness), 0.713 * (red - brightness)
    squares = scipy.fft.dctn(planes, axes=(1, 2), norm="ortho") ** 2
    rows, columns = (np.arange(side) * costs.BANDS // side for side in (45, 60))
    found = costs.measure_spectrum(image)
    for plane, down, across in np.ndindex(found.shape):
        expected = squares[plane][rows == down][:, columns == across].mean()
        np.testing.assert_allclose(found[plane, down, across], expected, rtol=0.02, atol=0.01)


def test_detail_of_twice_the_style_s_costs_the_square_of_log_2():
    rng = np.random.default_rng(0)
    style, other = rng.normal(0, 80, (2, 1, 64, 96, 3)).astype(np.float32)
    wave = 500 * np.cos(np.pi * (np.arange(96) + 0.5) / 96).astype(np.float32)[:, None]
    target = costs.measure_spectrum(style)
    with tf.Graph().as_default():
        same, brighter, double, unlike = (
            evaluate(costs.spectrum_cost(tf.constant(image), target))
            for image in (style, style + wave + 20, 2 * style, other)
        )
    assert same < 1e-9
    assert brighter < 1e-6  # half a wave across the picture is left to the network
    assert double == pytest.approx(math.log(2) ** 2, rel=0.01)
    assert unlike < 0.02  # of the same grain: with 96 waves in a band, 0.01 is expected


def test_a_flat_style_has_a_spectrum_cost_with_a_slope():
    flat = np.full((1, 16, 20, 3), 50, np.float32)
    with tf.Graph().as_default():
        image = tf.constant(flat)
        cost = costs.spectrum_cost(image, costs.measure_spectrum(flat))
        assert evaluate(cost) == pytest.approx(0, abs=1e-6)
        assert np.all(np.isfinite(evaluate(tf.gradients(cost, image)[0])))


def test_a_painting_has_the_detail_of_its_style(
    photo, painted, fake_weights, few_evaluations, monkeypatch
):
    def distance():
        progress = finish(photo, painted, size=100, precision="float32", model=fake_weights)
        style = costs.measure_spectrum(inputs.read_style(painted, 75, 100))
        with tf.Graph().as_default():
            return evaluate(costs.spectrum_cost(tf.constant(progress.image), style))

    held = distance()
    monkeypatch.setattr(painter, "SPECTRUM_SHARE", 0)
    assert held < 0.8 * distance()


def test_only_pixels_out_of_range_have_a_range_cost():
    picture = np.array([[[(0, 255, 7), (0, 275, -10)]]], np.float32)
    with tf.Graph().as_default():
        cost = costs.range_cost(tf.constant(np.float32(picture - CONFIG.MEANS)))
        assert evaluate(cost) == pytest.approx((400 + 100) / 6 / costs.RANGE_UNIT**2, rel=1e-3)


@pytest.mark.numbers
def test_gradient_is_that_of_finite_differences(photo, painted, network):
    small, image = inputs.read(photo, 12, 16), inputs.read(photo, 24, 32)
    weights = {"conv1_1": 3.0, "conv3_1": 2.0, "conv5_1": 1.0}
    target = network.measure(inputs.read_style(painted, 24, 32), names=tuple(weights))

    def pixel_cost(tensor):
        return 2 * costs.layout_cost(tensor, small) + costs.range_cost(tensor)

    with network.evaluation(Level(image, target, weights, pixel_cost)) as evaluate_at:
        rng = np.random.default_rng(0)
        start = image + rng.normal(0, 10, image.shape).astype(np.float32)
        _, gradient = evaluate_at(start)
        for seed in range(3):
            along = np.random.default_rng(seed).normal(0, 1, image.shape).astype(np.float32)
            along += gradient / np.abs(gradient).mean()
            up, down = (evaluate_at(start + step * along)[0] for step in (0.05, -0.05))
            expected = float(np.sum(gradient * along))
            assert (up - down) / 0.1 == pytest.approx(expected, rel=0.03)


def test_the_margin_is_a_mirror_image_of_what_is_inside():
    image = np.random.default_rng(0).normal(0, 1, (1, 7, 9, 3))
    wide = image_ops.add_margin(image)
    np.testing.assert_array_equal(image_ops.cut_margin(wide), image)
    inner = image_ops.MARGIN, 5  # a row of the margin and its mirror image
    np.testing.assert_array_equal(wide[0, 0, 4:-4], image[0, inner[0]])
    np.testing.assert_array_equal(wide[0, 4:-4, -1], image[0, :, -inner[1]])


def test_enlarging_leaves_little_of_the_grid():
    noise = np.random.default_rng(0).normal(0, 40, (1, 60, 80, 3)).astype(np.float32)
    slopes = np.abs(np.diff(image_ops.resize(noise, 120, 160), axis=2)).mean(axis=(0, 1, 3))
    within, between = slopes[10:-9:2].mean(), slopes[11:-9:2].mean()  # the old pixels
    assert within > 0.6 * between  # bicubic: 0.47


@pytest.mark.parametrize(("dtype", "slack"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_moments_and_their_gradient_are_numpy_s(dtype, slack):
    rng = np.random.default_rng(0)
    A = rng.normal(1, 2, (15, 4)).astype(tf.as_dtype(dtype).as_numpy_dtype)
    of_gram, of_mean = rng.normal(size=(4, 4)), rng.normal(size=4)
    with tf.Graph().as_default(), tf.Session() as sess:
        a = tf.constant(A)
        found = costs.moments(a)
        slopes = [tf.constant(slope, tf.float32) for slope in (of_gram, of_mean)]
        (slope,) = tf.gradients(found, a, slopes)
        assert slope.dtype == a.dtype
        gram, mean, gradient = sess.run([*found, tf.cast(slope, tf.float32)])
    A = A.astype(np.float64)
    np.testing.assert_allclose(gram, A.T @ A / 15, rtol=1e-5)
    np.testing.assert_allclose(mean, A.mean(axis=0), rtol=1e-5)
    expected = (A @ (of_gram + of_gram.T) + of_mean) / 15
    np.testing.assert_allclose(gradient, expected, rtol=slack, atol=slack)


# --- L-BFGS --------------------------------------------------------------------------------------


def test_descent_finds_the_minimum():
    goal = np.linspace(-20, 20, 12).reshape(1, 2, 2, 3).astype(np.float32)

    def valley(image):
        slopes = np.arange(1, 13).reshape(goal.shape)
        return np.sum(slopes * (image - goal) ** 2), 2 * slopes * (image - goal)

    *_, last = lbfgs(valley, np.zeros_like(goal), 40)
    np.testing.assert_allclose(last, goal, atol=1e-2)


def test_a_step_too_long_is_shortened():
    """The first step, of 3 gray levels, is 100 times too long here."""
    costs_seen = []

    def narrow_valley(image):
        costs_seen.append(float(np.sum(np.float64(image - 0.02) ** 2)) * 1e6)
        return costs_seen[-1], 2e6 * (image - 0.02)

    images = list(lbfgs(narrow_valley, np.zeros((1, 3, 4, 3), np.float32), 12))
    assert 3 <= len(images) <= len(costs_seen) <= 12
    assert costs_seen[1] > 1000 * costs_seen[0]
    reached = [float(np.sum(np.float64(image - 0.02) ** 2)) * 1e6 for image in images]
    np.testing.assert_allclose(reached, np.minimum.accumulate(costs_seen)[: len(reached)])
    assert reached[-1] < 1e-3 * reached[0]


def test_lbfgs_gets_as_far_as_scipy_s():
    """On a long bent valley the gradient alone would not get far."""
    scales = np.geomspace(1, 300, 48).reshape(1, 4, 4, 3)

    def valley(image):
        x = np.float64(image)
        bent = x - 0.01 * np.roll(x, 1, axis=2) ** 2
        cost = float(np.sum(scales * bent**2))
        gradient = 2 * scales * bent
        gradient -= np.roll(gradient * 0.02 * np.roll(x, 1, axis=2), -1, axis=2)
        return cost, np.float32(gradient)

    start = np.random.default_rng(0).normal(0, 10, scales.shape).astype(np.float32)
    *_, ours = lbfgs(valley, start, 40, MEMORY)

    def of_vector(x):
        cost, gradient = valley(x.reshape(start.shape))
        return cost, gradient.ravel().astype(float)

    options = {"maxcor": MEMORY, "maxfun": 40, "ftol": 0, "gtol": 0}
    found = minimize(of_vector, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    assert valley(ours)[0] < 3 * found.fun < 1e-3 * valley(start)[0]


def test_a_cost_that_is_not_finite_is_an_error():
    with pytest.raises(FloatingPointError, match="nan: use --precision float32"):
        list(lbfgs(lambda x: (np.nan, x), np.zeros((1, 2, 2, 3), np.float32), 3))


# --- levels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(300, 400), (203, 301), (900, 64), (1200, 1600), (600, 801)])
def test_levels_double_up_to_the_final_size(size):
    sizes = level_sizes(*size)
    assert sizes[-1] == size
    areas = [height * width for height, width in sizes]
    assert all(1.4**2 < b / a <= 2.15**2 for a, b in pairwise(areas))
    assert min(map(min, sizes)) >= 16


@pytest.mark.parametrize("width", [440, 800, 900, 1600, 4000])
def test_a_larger_picture_passes_through_the_levels_of_400_by_300(width):
    sizes = level_sizes(width * 3 // 4, width)
    assert sizes[:3] == level_sizes(300, 400) == [(75, 100), (150, 200), (300, 400)]
    assert all(b[1] / a[1] < 2.15 for a, b in pairwise(sizes))


def test_levels_double_exactly_if_possible():
    assert level_sizes(1200, 1600)[3:] == [(600, 800), (1200, 1600)]
    assert len(level_sizes(600, 801)) == 4


@pytest.mark.parametrize("size", [(40, 50), (75, 100), (78, 105)])
def test_a_small_picture_has_one_level(size):
    assert level_sizes(*size) == [size]


@pytest.mark.parametrize(("height", "width"), [(301, 203), (64, 900), (16, 16), (40, 24)])
def test_odd_sizes_are_painted(tmp_path, painted, fake_weights, monkeypatch, height, width):
    monkeypatch.setattr(painter, "EVALUATIONS", (4, 3, 2))
    rng = np.random.default_rng(0)
    photo = save(tmp_path / "odd.png", rng.integers(0, 255, (height, width, 3)))
    last = finish(photo, painted, size=max(height, width), model=fake_weights)
    assert last.picture().shape == (height, width, 3)
    assert last.done == pytest.approx(1)
    assert last.seconds_left == pytest.approx(0)


def test_deep_layers_count_little_and_gain_with_the_strength():
    weak, medium, strong = ([painter.layer_weights(s, i) for i in range(4)] for s in (0, 0.5, 1))
    names = [list(weights) for weights in medium]
    shallow = ["conv1_1", "conv2_1", "conv3_1"]
    assert names == [
        shallow,
        [*shallow, "conv4_1"],
        [*shallow, "conv4_1", "conv5_1"],
        [*shallow, "conv4_1"],
    ]
    assert medium[2]["conv4_1"] == pytest.approx(0.3 * medium[2]["conv1_1"])
    assert medium[0]["conv1_1"] == pytest.approx(0.3 * medium[2]["conv1_1"])
    assert strong[2]["conv1_1"] == pytest.approx(100 * weak[2]["conv1_1"])
    assert strong[2]["conv5_1"] == pytest.approx(2500 * weak[2]["conv5_1"])


@pytest.mark.parametrize("size", [(75, 100), (300, 400), (1200, 1600)])
@pytest.mark.parametrize(("pixel", "overhead"), [(1.6, 0.01), (10, 0.03)])
def test_the_time_left_is_estimated_within_a_third(monkeypatch, pixel, overhead, size):
    """On machines of some µs per pixel and some seconds of overhead per evaluation."""
    now = 0.0
    monkeypatch.setattr(eta, "time", SimpleNamespace(perf_counter=lambda: now))
    plans = painter.plan_levels(*size)
    watch = eta.Eta(plans)
    rng = np.random.default_rng(0)
    ends, estimates = [], []
    for plan in plans:
        watch.begin(plan.index)
        evaluation = 1e-6 * pixel * plan.work + overhead
        now += 1.2 * evaluation + 0.3  # set-up passes and graphs
        for _ in range(plan.evaluations):
            now += evaluation * rng.uniform(0.95, 1.05)
            ends.append(now)
            done, left = watch.tick()
            estimates.append(left)
    assert done == pytest.approx(1)
    assert estimates[:3] == [None] * 3
    known = list(zip(ends, estimates, strict=True))[len(plans) > 1 and 30 :]
    for end, left in known[3:]:
        assert left == pytest.approx(now - end, rel=0.34, abs=1.5)


# --- the start of a level ------------------------------------------------------------------------


def test_detail_is_what_a_smaller_picture_cannot_hold():
    checks = np.indices((40, 60)).sum(axis=0) % 2 * 2.0 - 1  # a pixel each
    slope = np.linspace(-50, 50, 60)
    image = np.float32(np.stack([checks, checks + slope, slope + 0 * checks], axis=-1)[None])
    found = image_ops.detail(image, 0.5)[0, 8:-8, 8:-8]  # less the border, where a slope ends
    inside = checks[8:-8, 8:-8]
    expected = np.stack([inside, inside, 0 * inside], axis=-1)
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_soft_edge_becomes_hard_and_keeps_its_place_and_colors():
    soft = np.clip(10 * np.arange(-6, 7), -15, 15)  # -15, …, -15, -10, 0, 10, 15, …, 15
    hard = 15 * np.sign(np.arange(-6, 7))
    gray, expected = (np.ones((1, 9, 13, 3)) * edge[:, None] for edge in (soft, hard))
    np.testing.assert_allclose(image_ops.sharpen(np.float32(gray)), expected, atol=1.5)
    red = np.float32(gray * (1, 0, 0))
    changes = image_ops.sharpen(red) - red
    np.testing.assert_allclose(changes[..., 0], changes[..., 2], atol=1e-4)  # no colored fringe


def test_a_level_starts_with_some_of_the_photo_s_detail(monkeypatch):
    monkeypatch.setattr(painter, "DETAIL", 0.5)
    checks = np.indices((40, 60)).sum(axis=0) % 2 * 2.0 - 1
    small, photo = np.zeros((1, 20, 30, 3), np.float32), np.zeros((1, 40, 60, 3), np.float32)
    photo[0, ..., 0] = 4 * checks  # red
    found = painter.enlarge(small, photo)
    expected = np.stack([2 * checks, 0 * checks, 0 * checks], axis=-1)
    np.testing.assert_allclose(found[0, 8:-8, 8:-8], expected[8:-8, 8:-8], atol=0.05)


def test_levels_beyond_the_third_start_sharpened(monkeypatch, photo, painted, fake_weights):
    monkeypatch.setattr(painter, "EVALUATIONS", (2,))
    widths = []
    monkeypatch.setattr(painter, "sharpen", lambda image: widths.append(image.shape[2]) or image)
    finish(photo, painted, size=800, model=fake_weights)
    assert widths == [800]


# --- options -------------------------------------------------------------------------------------


@pytest.fixture
def few_evaluations(monkeypatch):
    monkeypatch.setattr(painter, "EVALUATIONS", (12, 8, 6, 4))


def test_progress_names_level_and_share_and_time(photo, painted, fake_weights, few_evaluations):
    states = list(paint(photo, painted, size=400, model=fake_weights))
    assert [s.level for s in states] == [1] * 12 + [2] * 8 + [3] * 6
    assert {s.levels for s in states} == {3}
    assert np.all(np.diff([s.done for s in states]) > 0)
    assert [s.seconds_left for s in states[:3]] == [None] * 3
    assert all(s.seconds_left >= 0 for s in states[3:])
    assert states[3].picture().shape == (300, 400, 3)  # of a level of (75, 100)
    assert states[-1].done == pytest.approx(1)


def test_painting_is_repeatable_and_changes_the_picture(
    photo, painted, fake_weights, few_evaluations
):
    one, two = (
        finish(photo, painted, size=100, precision="float32", model=fake_weights).picture()
        for _ in range(2)
    )
    assert np.abs(one.astype(int) - two).mean() < 1  # threads add numbers up in any order
    original = np.asarray(Image.open(photo).convert("RGB").resize((100, 75)), int)
    assert np.abs(one - original).mean() > 5


@pytest.mark.numbers
def test_several_styles_mix_by_their_weights(photo, painted, tmp_path, network):
    red = save(tmp_path / "red.png", np.full((90, 120, 3), (200, 30, 20)))
    plan = painter.plan_levels(75, 100)[-1]

    def measure(styles):
        _, images = Sources(photo, styles).read(30, 40)
        return painter.measure_styles(network, images, plan)

    one, other, mixed = measure({red: 1}), measure({painted: 5}), measure({red: 1, painted: 3})
    for name in plan.layer_weights:
        for x, y, z in zip(*(t.textures[name] for t in (one, other, mixed)), strict=True):
            np.testing.assert_allclose(z, 0.25 * x + 0.75 * y, rtol=1e-4, atol=1e-4)
    for x, y, z in zip(one.content, other.content, mixed.content, strict=True):
        np.testing.assert_allclose(z, 0.25 * x + 0.75 * y, rtol=1e-4, atol=1e-4)


def distances(paintings, photo, style, model):
    """Return the content and the style distance of each picture: two arrays.

    Content is compared with the photo in the style's colors, style in the shallow layers.

    Arguments:
    paintings -- list of the last Progress of each
    model -- weight file of the network that measures
    """
    weights = dict.fromkeys(painter.TEXTURE_LAYERS, 1.0)
    found = []
    with open_painter(read_weights(model, "float32")) as network:
        image, ((_, painted),) = Sources(photo, {style: 1}).read(*paintings[0].size)
        target = network.measure(painted, names=painter.TEXTURE_LAYERS)
        for terms in ({n: 0.0 for n in weights}, weights):
            level = Level(image, target, terms, lambda x: 0 * tf.reduce_sum(x))
            with network.evaluation(level) as evaluate_at:
                found.append(np.array([evaluate_at(p.image)[0] for p in paintings]))
    return found[0], found[1] - found[0]


def test_strength_moves_the_picture_from_content_to_style(
    photo, painted, fake_weights, few_evaluations
):
    settings = {"size": 64, "precision": "float32", "model": fake_weights}
    paintings = [finish(photo, painted, strength=s, **settings) for s in (0, 0.5, 1)]
    content, style = distances(paintings, photo, painted, fake_weights)
    assert content[0] < content[1] < content[2]
    assert style[0] > style[1] > style[2]


@needs_weights
@pytest.mark.numbers
def test_strength_is_monotone_with_the_real_network(monkeypatch):
    # enough for a strong style to be reached: after 20, rounding decides between 0.75 and 1
    monkeypatch.setattr(painter, "EVALUATIONS", (48,))
    pair = [PROJECT / "images" / f"{name}.jpg" for name in ("pyramid", "impressionist")]
    paintings = [
        finish(*pair, size=48, strength=s, precision="float32") for s in (0, 0.25, 0.5, 0.75, 1)
    ]
    content, style = distances(paintings, *pair, REAL_WEIGHTS)
    assert np.all(np.diff(content) > 0.005)
    assert np.all(np.diff(style) < 0)


def correlation_length(image):
    """Count the pixels after which the brightness of a row no longer resembles itself."""
    gray = image.astype(np.float64).mean(axis=-1)
    gray -= gray.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(gray, 2 * gray.shape[1], axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, : gray.shape[1] // 2].sum(axis=0)
    below = np.flatnonzero(correlation < 0.5 * correlation[0])
    return np.interp(
        -0.5 * correlation[0],
        [-correlation[below[0] - 1], -correlation[below[0]]],
        [below[0] - 1, below[0]],
    )


@needs_weights
@pytest.mark.numbers
def test_strokes_grow(tmp_path, painted, monkeypatch):
    monkeypatch.setattr(painter, "EVALUATIONS", (30, 12))
    flat = save(tmp_path / "flat.png", np.full((120, 160, 3), (140, 140, 120)) + ramp(120, 160))
    settings = {"size": 120, "strength": 0.8, "precision": "float32"}
    lengths = [
        correlation_length(finish(flat, painted, strokes=s, **settings).picture()) for s in (0.5, 2)
    ]
    assert lengths[1] > 1.2 * lengths[0]


def ramp(height, width):
    """Make a gentle slope with a little grain: flat ground to paint on."""
    grain = np.random.default_rng(0).normal(0, 4, (height, width, 1))
    return np.linspace(-10, 10, width)[None, :, None] + grain


def test_a_style_image_covers_the_level_but_is_not_enlarged_beyond_its_own_pixels(tmp_path):
    small = save(tmp_path / "small.png", np.zeros((60, 80, 3)))
    assert inputs.read_style(small, 30, 30).shape == (1, 29, 39, 3)  # 30×40 less its rim
    assert inputs.read_style(small, 20, 40).shape == (1, 29, 39, 3)
    assert inputs.read_style(small, 300, 300).shape == (1, 59, 78, 3)
    assert inputs.read_style(small, 300, 300, strokes=2).shape == (1, 118, 157, 3)


def test_only_the_middle_of_a_much_enlarged_style_image_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "STYLE_PIXELS", 300)
    y, x = np.mgrid[:60, :80]
    style = save(tmp_path / "style.png", np.stack([x, y, 0 * x], axis=-1))
    middle = inputs.read_style(style, 60, 40, strokes=2)
    assert middle.shape == (1, 60, 80, 3)
    assert np.abs((middle + CONFIG.MEANS)[0].mean(axis=(0, 1)) - (39.5, 29.5, 0)).max() < 0.5


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"strength": 1.5}, "strength"),
        ({"strength": math.nan}, "strength"),
        ({"strokes": 0}, "strokes"),
        ({"colors": "gray"}, "colors"),
        ({"size": 15}, "longest side"),
        ({"precision": "half"}, "precision"),
    ],
)
def test_settings_out_of_range_are_refused(photo, painted, fake_weights, settings, name):
    (value,) = settings.values()
    with pytest.raises(ValueError, match=rf"^the .*{name}.* {value!r}: (give|choose) "):
        paint(photo, painted, model=fake_weights, **settings)


def test_styles_need_a_weight(photo, painted, fake_weights):
    with pytest.raises(ValueError, match=r"^the weights of the styles are .*: give each"):
        paint(photo, {painted: 0.0}, model=fake_weights)


def test_a_picture_that_would_not_fit_into_memory_is_refused(photo, painted, fake_weights):
    with pytest.raises(
        MemoryError, match=r"20000×15000 pixels takes [\d.,]+ GB .* \d+×\d+, the larg"
    ):
        paint(photo, painted, size=20000, model=fake_weights)


def test_closing_ends_the_work(photo, painted, fake_weights):
    before = threading.active_count()
    painting_under_way = paint(photo, painted, size=200, model=fake_weights)
    first = next(painting_under_way)
    painting_under_way.close()
    assert threading.active_count() <= before + 1
    assert first.picture().shape == (150, 200, 3)


def test_the_caller_keeps_its_own_session(photo, painted, fake_weights):
    with tf.Graph().as_default() as graph, tf.Session() as sess:
        with closing(paint(photo, painted, size=32, model=fake_weights)) as under_way:
            next(under_way)
            assert tf.get_default_session() is sess
            assert tf.get_default_graph() is graph
        assert tf.get_default_session() is sess
        assert not graph.get_operations()


# --- colors --------------------------------------------------------------------------------------


def test_a_recolored_style_has_the_content_s_mean_and_covariance(photo, painted):
    content, style = (
        np.asarray(Image.open(p).convert("RGB"), float)[None] for p in (photo, painted)
    )
    new = image_ops.match_colors(style, content)
    assert new.shape == style.shape
    for measure in (lambda a: a.mean(axis=0), lambda a: np.cov(a.T)):
        got, wanted = measure(new.reshape(-1, 3)), measure(content.reshape(-1, 3))
        np.testing.assert_allclose(got, wanted, rtol=0.01, atol=0.01 * np.abs(wanted).max())


@pytest.mark.parametrize("weights", [(1, 0), (1, 3)])
def test_the_photo_takes_the_styles_colors_by_their_weights(tmp_path, weights):
    rng = np.random.default_rng(0)
    photo = save(tmp_path / "photo.png", rng.normal((90, 130, 110), 30, (60, 80, 3)))
    means, pictures = np.array([(150, 110, 90), (80, 120, 140)]), []
    for i, mean in enumerate(means):
        pictures.append(save(tmp_path / f"{i}.png", mean + rng.normal(0, 12, (60, 80, 3))))
    styles = dict(zip(pictures, weights, strict=True))
    read = Sources(photo, styles).read(60, 80)[0] + CONFIG.MEANS
    share = weights[0] / sum(weights)
    mean = share * means[0] + (1 - share) * means[1]
    covariance = 12**2 * np.eye(3)  # within a style, and between the two
    covariance = covariance + share * (1 - share) * np.outer(means[0] - means[1], [70, -10, -50])
    np.testing.assert_allclose(read.mean(axis=(0, 1, 2)), mean, atol=1.5)
    np.testing.assert_allclose(np.cov(read.reshape(-1, 3).T), covariance, atol=25, rtol=0.1)
    own = Sources(photo, styles, "content").read(60, 80)[0]
    np.testing.assert_array_equal(own, inputs.read(photo, 60, 80))


def test_a_picture_recolored_by_itself_stays(painted):
    style = np.asarray(Image.open(painted).convert("RGB"), float)[None]
    np.testing.assert_allclose(image_ops.match_colors(style, style), style, atol=1e-3)


def test_the_noise_of_a_gray_style_does_not_become_color(photo):
    rng = np.random.default_rng(0)
    gray = np.repeat(rng.normal(128, 40, (1, 60, 80, 1)), 3, axis=3) + rng.normal(
        0, 0.5, (1, 60, 80, 3)
    )
    content = np.asarray(Image.open(photo).convert("RGB"), float)[None]
    new = image_ops.match_colors(gray, content)
    chroma = new[..., 0] - new[..., 2]
    smooth = chroma - np.polyval(
        np.polyfit(gray.mean(-1).ravel(), chroma.ravel(), 1), gray.mean(-1)
    )
    assert smooth.std() < 0.3 * (content[..., 0] - content[..., 2]).std()


@pytest.mark.parametrize("colors", ["style", "content"])
@pytest.mark.parametrize("which", ["gray photo", "gray style", "plain photo", "plain style"])
def test_gray_and_one_color_pictures_survive(
    photo, painted, tmp_path, fake_weights, few_evaluations, colors, which
):
    kind, role = which.split()
    source = Image.open(photo if role == "photo" else painted).convert("L")
    picture = tmp_path / "odd.png"
    (source if kind == "gray" else Image.new("RGB", (120, 90), (200, 40, 30))).save(picture)
    pair = (picture, painted) if role == "photo" else (photo, picture)
    last = finish(*pair, size=100, colors=colors, model=fake_weights)
    assert last.picture().shape[1] == 100
    assert np.isfinite(last.image).all()


# --- the benchmark's measures --------------------------------------------------------------------


def test_speckle_is_the_mean_laplacian_of_color(tmp_path):
    gray = np.full((300, 400, 3), 128, np.uint8)
    board = np.indices((300, 400)).sum(axis=0) % 2
    assert benchmark.speckle(save(tmp_path / "gray.png", gray + 100 * board[..., None])) == (0, 0)
    colored = np.stack([np.full_like(board, 128), 128 + 40 * board, np.full_like(board, 128)], -1)
    path = save(tmp_path / "colored.png", colored)
    chroma = np.asarray(Image.open(path).convert("YCbCr"), float)[:2, :2, 1:]
    steps = np.abs(chroma[0, 0] - chroma[0, 1]).mean()  # to each of four neighbours
    inside, border = benchmark.speckle(path)
    assert inside == pytest.approx(4 * steps)
    assert 3 * steps < border < inside  # the outermost pixels have three neighbours, or two


def test_gram_distance_has_no_unit():
    a = random_layer(0)[0]
    assert benchmark.gram_distance(a, a) == 0
    assert benchmark.gram_distance(2 * a, a) == pytest.approx(9)  # (4 - 1)²
    assert benchmark.gram_distance(np.tile(a, (2, 3, 1)), a) == pytest.approx(0, abs=1e-9)
