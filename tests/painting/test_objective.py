"""Images larger than the memory: tiles give the whole image's cost and gradient, exactly."""

import math

import numpy as np
import pytest
from PIL import Image

from nst.lab.notebook import functions_of
from nst.painting import memory, objective, painter, tiling
from nst.painting.costs import CONTENT_LAYER, STYLE_LAYERS, layout_cost, range_cost
from nst.painting.inputs import Sources, read_style
from nst.vgg.network import open_network, read_weights
from nst.vgg.weights import layer_names
from tests.conftest import ROOT

# pixels that the network may see at once, of a picture of (height, width)
CUTS = {(600, 800): 190_000, (389, 517): 80_000, (203, 901): 70_000, (176, 640): 60_000}
SIZES = pytest.mark.parametrize(("size", "limit"), CUTS.items())


@pytest.fixture(scope="module")
def weights(fake_weights):
    return read_weights(fake_weights, "float32")


@pytest.fixture(scope="module")
def network(weights):
    with objective.open_painter(weights) as opened:
        yield opened


def random_picture(height, width, seed=0):
    """Draw a normalized image (1, height, width, 3) with structure of every size."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for zoom in (1, 8, 60):
        small = rng.integers(0, 255, (-(-height // zoom), -(-width // zoom), 3), np.uint8)
        picture += np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))
    return picture[None] / 3 - 115


# --- where tiles are cut -------------------------------------------------------------------------


def test_the_receptive_field_is_the_lesson_s():
    lesson = functions_of(ROOT / "notebooks" / "Lesson_1_Feature_Maps.ipynb")
    lesson.model = dict.fromkeys(["input", *layer_names(19)])
    for layer in layer_names(19):
        length, step, first = lesson.receptive_field(layer)
        assert tiling.receptive_field(layer) == (step, first, first + length)


def test_the_halo_covers_what_conv5_1_looks_at():
    cell, first, end = tiling.receptive_field("conv5_1")
    assert (cell, end - first) == (16, 156)
    assert -first == end - cell == 70
    assert tiling.halo() == 80  # the next multiple of 16


def test_the_halo_is_half_as_wide_without_conv5_1():
    cell, first, _ = tiling.receptive_field("conv4_2")
    assert (cell, -first) == (8, 38)
    assert tiling.halo("conv4_2") == 40
    seen = [
        tiling.pixels_to_see(tiling.cut(3000, 4000, 344**2, name))
        for name in ("conv4_2", "conv5_1")
    ]
    assert seen[0] < 0.6 * seen[1]


@SIZES
@pytest.mark.parametrize(("deepest", "cell", "margin"), [("conv5_1", 16, 80), ("conv4_2", 8, 40)])
def test_every_pixel_belongs_to_one_tile_that_sees_its_surroundings(
    size, limit, deepest, cell, margin
):
    owners = np.zeros(size, int)
    for tile in tiling.cut(*size, limit, deepest):
        rows, columns = (slice(span.begin, span.end) for span in tile)
        owners[rows, columns] += 1
        for span, length in zip(tile, size, strict=True):
            assert span.begin % cell == span.first % cell == 0
            assert span.first == max(0, span.begin - margin)
            assert span.last == min(length, span.end + margin)
        seen = owners[None, ..., None]
        assert tile.window(seen).size <= limit
    assert np.all(owners == 1)


def test_an_image_that_fits_is_one_tile():
    (tile,) = tiles = tiling.cut(301, 203)
    assert tile == ((0, 301, 0, 301), (0, 203, 0, 203))
    assert tiling.pixels_to_see(tiles) == 301 * 203


def test_a_tile_smaller_than_its_halo_is_refused():
    with pytest.raises(
        ValueError, match=r"tile of 30000 pixels is too small for conv5_1: .*192×192"
    ):
        tiling.cut(600, 800, 30_000)
    assert len(tiling.cut(600, 800, 192**2)) > 400
    with pytest.raises(ValueError, match="conv4_2: allow 96×96 pixels"):
        tiling.cut(600, 800, 5_000, "conv4_2")


@SIZES
@pytest.mark.parametrize("cell", [1, 2, 4, 8, 16])
def test_every_position_belongs_to_one_tile(size, limit, cell):
    owners = np.zeros([-(-side // cell) for side in size], int)
    for tile in tiling.cut(*size, limit):
        top, bottom, left, right = tile.positions(cell)
        row, column = (span.first // cell for span in tile)
        owners[row + top : row + bottom, column + left : column + right] += 1
        assert tile.count(cell) == (bottom - top) * (right - left) > 0
    np.testing.assert_array_equal(owners, 1)


# --- the same as the whole -----------------------------------------------------------------------


@pytest.mark.numbers
@SIZES
@pytest.mark.parametrize("deepest", ["conv5_1", "conv4_2"])
def test_the_network_sees_on_a_tile_what_it_sees_on_the_whole(size, limit, deepest, weights):
    names = [n for n in layer_names(19) if n in objective.CELLS and n <= deepest]
    image = random_picture(*size)
    with open_network(weights) as (sess, layers):
        whole = sess.run([layers[name] for name in names], {layers["input"]: image})
        for tile in tiling.cut(*size, limit, deepest):
            window = tile.window(image)
            parts = sess.run([layers[name] for name in names], {layers["input"]: window})
            for name, a, part in zip(names, whole, parts, strict=True):
                cell = objective.CELLS[name]
                top, bottom, left, right = tile.positions(cell)
                rows, columns = (slice(span.begin // cell, -(-span.end // cell)) for span in tile)
                np.testing.assert_allclose(
                    part[:, top:bottom, left:right],
                    a[:, rows, columns],
                    rtol=1e-4,
                    atol=1e-5 * np.abs(a).max(),
                )


@pytest.fixture
def level(network):
    """Return a function that makes a Level of one size with all the painter's costs."""

    def make(height, width):
        photo = random_picture(height, width, 1)
        small = random_picture(height // 2, width // 2, 2)
        # large levels do without conv5_1
        weights = {n: 10.0 / i for i, n in enumerate(STYLE_LAYERS[: 5 if width % 2 else 4], 1)}
        target = network.measure(random_picture(150, 210, 3), names=tuple(weights))

        def pixel_cost(image):
            return range_cost(image) + 30 * layout_cost(image, small)

        return objective.Level(photo, target, weights, pixel_cost)

    return make


@pytest.mark.numbers
@SIZES
def test_tiles_cost_what_the_whole_costs_and_have_its_gradient(size, limit, level, network):
    described, image = level(*size), random_picture(*size)
    assert len(tiling.cut(*size, limit, described.deepest)) >= 2
    found = []
    for pixels in (math.inf, limit):
        with network.evaluation(described, pixels) as evaluate:
            found.append(evaluate(image))
    (cost, gradient), (tiled_cost, tiled_gradient) = found
    assert tiled_cost == pytest.approx(cost, rel=1e-5)
    assert tiled_gradient.dtype == np.float32
    difference = tiled_gradient - gradient
    assert np.linalg.norm(difference) < 1e-4 * np.linalg.norm(gradient)
    assert np.abs(difference).max() < 1e-4 * np.abs(gradient).max()


@pytest.mark.numbers
def test_the_cost_is_numpy_s_of_the_network_s_activations(level, network, weights):
    size = 100, 131
    described, image = level(*size), random_picture(*size)
    names = [*described.weights, CONTENT_LAYER]
    with open_network(weights) as (sess, layers):
        tensors = [layers[name] for name in names]
        *style, a_G = sess.run(tensors, {layers["input"]: image})
        *_, a_C = sess.run(tensors, {layers["input"]: described.photo})
    expected = 0
    for name, a in zip(described.weights, style, strict=True):
        a = a.reshape(-1, a.shape[-1]).astype(np.float64)
        ours = a.T @ a / len(a), a.mean(axis=0), np.sqrt(a.var(axis=0) + 1e-3)
        pairs = zip(ours, described.target.textures[name], strict=True)
        distance = sum(np.sum((x - y) ** 2) / np.sum(np.float64(y) ** 2) for x, y in pairs)
        expected += described.weights[name] * distance
    square, mean = described.target.content
    unit = np.mean(a_C**2) + square - 2 * np.mean(a_C.mean(axis=(0, 1, 2)) * mean)
    expected += np.mean((a_G - a_C) ** 2) / unit
    with network.evaluation(described._replace(pixel_cost=lambda x: 0 * tf_sum(x))) as evaluate:
        cost, _ = evaluate(image)
    assert cost == pytest.approx(expected, rel=1e-4)


def tf_sum(tensor):
    return objective.tf.reduce_sum(tensor)


@pytest.mark.numbers
@pytest.mark.parametrize("colors", ["style", "content"])
def test_styles_larger_than_the_memory_are_measured_as_the_whole(
    tmp_path, network, monkeypatch, colors
):
    styles = {}
    for seed, size in enumerate([(233, 301), (400, 300)]):
        path = tmp_path / f"{seed}.png"
        pixels = random_picture(*size, seed)[0] + 115
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(path)
        styles[path] = 1 + seed
    monkeypatch.setattr(memory, "MIN_TILE_PIXELS", 60_000)
    assert len(tiling.cut(*read_style(path, 300, 420, 1.5).shape[1:3], 60_000)) > 1
    _, images = Sources(path, styles, colors, 1.5).read(300, 420)
    plan = painter.plan_levels(300, 420)[-1]
    whole, tiled = (
        painter.measure_styles(network, images, plan._replace(memory_limit=limit))
        for limit in (math.inf, 0)
    )
    for name in plan.layer_weights:
        for array, tiled_array in zip(whole.textures[name], tiled.textures[name], strict=True):
            np.testing.assert_allclose(
                tiled_array, array, rtol=1e-4, atol=1e-5 * np.abs(array).max()
            )
    np.testing.assert_allclose(tiled.content[0], whole.content[0], rtol=1e-4)
    np.testing.assert_allclose(tiled.content[1], whole.content[1], rtol=1e-3, atol=1e-4)


# --- within the memory ---------------------------------------------------------------------------


def save_pictures(folder):
    """Save a photo, (90, 120) pixels, and a painting; return their paths."""
    paths = folder / "photo.png", folder / "painting.png"
    for seed, path in enumerate(paths):
        pixels = random_picture(90, 120, seed)[0] + 115
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(path)
    return paths


@pytest.fixture
def pictures(tmp_path):
    return save_pictures(tmp_path)


def test_an_image_that_fits_into_memory_is_not_cut():
    need = memory.BASE_BYTES + memory.BYTES_PER_NETWORK_PIXEL * 600 * 800
    assert memory.pixels_at_once(600, 800, 1.01 * need) == math.inf
    less = memory.pixels_at_once(600, 800, 0.99 * need)
    assert len(tiling.cut(600, 800, less)) > 1
    # all that is allowed is used, and no more
    used = memory.BASE_BYTES + memory.BYTES_PER_TILED_PIXEL * 600 * 800
    used += memory.BYTES_PER_NETWORK_PIXEL * less
    assert used == pytest.approx(0.99 * need)


def test_half_of_the_free_memory_is_the_default(monkeypatch):
    monkeypatch.setattr(memory.psutil, "Process", lambda: Resident)
    monkeypatch.setattr(memory, "free_memory", lambda: 15e9)
    assert memory.memory_limit(3000, 4000) == 8e9
    assert memory.memory_limit(3000, 4000, 6.0) == 6e9
    assert memory.memory_limit(3000, 4000, 40.0) == 16e9
    monkeypatch.setattr(memory, "free_memory", lambda: 6e9)
    assert 5e9 < memory.memory_limit(3000, 4000) < 7e9  # half would be too little


class Resident:
    """A process of 1 GB."""

    @staticmethod
    def memory_info():
        return Resident

    rss = 1e9


def test_a_small_level_of_a_large_picture_is_not_cut():
    limit = memory.memory_limit(3000, 4000, 6.5)
    tiles = [plan.tiles for plan in painter.plan_levels(3000, 4000, memory_limit=limit)]
    assert tiles[:5] == [1] * 5
    assert 1 < tiles[5] < tiles[6]


@pytest.mark.parametrize(
    ("limit", "kind", "message"),
    [
        (0, ValueError, "the memory is 0: give a number of GB above 0"),
        (math.nan, ValueError, "the memory is nan: give a number of GB above 0"),
        (
            1.5,
            MemoryError,
            r"painting on 4000×3000 pixels takes \d\.\d GB of memory or more, and 1.5 GB are "
            r"allowed: allow more memory, or choose \d+×\d+, the largest size",
        ),
    ],
)
def test_too_little_memory_is_refused(pictures, fake_weights, limit, kind, message):
    with pytest.raises(kind, match=f"^{message}"):
        painter.paint(*pictures, size=4000, model=fake_weights, memory=limit)


def test_the_memory_that_the_error_names_suffices(pictures, fake_weights):
    with pytest.raises(MemoryError) as refused:
        painter.paint(*pictures, size=4000, model=fake_weights, memory=1.5)
    least = float(str(refused.value).split(" takes ")[1].split(" GB")[0])
    limit = memory.pixels_at_once(3000, 4000, 1e9 * least)
    assert len(tiling.cut(3000, 4000, limit)) > 100


# --- painting in tiles ---------------------------------------------------------------------------

SIZE = 400  # pixels, of which the last of three levels needs tiles
MEMORY = (
    memory.BASE_BYTES
    + memory.BYTES_PER_TILED_PIXEL * 400 * 300
    + memory.BYTES_PER_NETWORK_PIXEL * 70_000
) / 1e9  # GB


@pytest.fixture
def settings(fake_weights, monkeypatch):
    monkeypatch.setattr(painter, "EVALUATIONS", (6, 4, 3, 1))
    return {"size": SIZE, "model": fake_weights, "memory": MEMORY, "precision": "float32"}


def test_a_tiled_level_yields_progress_as_it_begins(pictures, settings):
    states = list(painter.paint(*pictures, **settings))
    assert [s.level for s in states] == [1] * 6 + [2] * 4 + [3] * 4
    assert [s.tiles for s in states] == [1] * 10 + [4] * 4
    before, begun = states[9:11]
    assert begun.image.shape == (1, 300, 400, 3)
    assert begun.done == before.done
    assert begun.seconds_left > 0
    assert np.abs(begun.picture().astype(int) - before.picture()).mean() < 10
    assert states[-1].done == pytest.approx(1)


def test_tiles_paint_the_picture_of_the_whole(pictures, settings):
    *_, tiled = painter.paint(*pictures, **settings)
    *_, whole = painter.paint(*pictures, **settings | {"memory": 3})
    assert (tiled.tiles, whole.tiles) == (4, 1)
    assert np.abs(tiled.picture().astype(int) - whole.picture()).mean() < 1


def test_each_level_is_cut_as_its_size_requires(pictures, settings):
    """Of 800×600 pixels 100,000 fit at once, besides the image's own; 400×300 fit whole."""
    tiled, network = memory.BYTES_PER_TILED_PIXEL, memory.BYTES_PER_NETWORK_PIXEL
    limit = (memory.BASE_BYTES + tiled * 800 * 600 + network * 100_000) / 1e9
    states = list(painter.paint(*pictures, **settings | {"size": 800, "memory": limit}))
    assert {s.level: s.tiles == 1 for s in states} == {1: True, 2: True, 3: True, 4: False}
