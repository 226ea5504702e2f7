"""Pictures larger than the memory: tiles give the whole picture's cost and gradient, exactly."""

import math
import os
import signal

import numpy as np
import pytest
from PIL import Image

from nst.core.images import save_image
from nst.lab.notebook import functions_of
from nst.painting import command as paint_command
from nst.painting import inputs, memory, objective, options, painter, tiling
from nst.painting.checkpoint import hashes, save_state, state_path
from nst.painting.costs import STYLE_LAYERS, layout_cost, range_cost
from nst.vgg.network import open_network, read_weights
from nst.vgg.weights import layer_names
from tests.conftest import ROOT
from tests.painting.test_command import start, wait_for

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
    """Draw a normalised picture (1, height, width, 3) with structure of every size."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for zoom in (1, 8, 60):
        small = rng.integers(0, 255, (-(-height // zoom), -(-width // zoom), 3), np.uint8)
        picture += np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC))
    return picture[None] / 3 - 115


# --- where tiles are cut -------------------------------------------------------------------------


def test_the_receptive_field_is_that_of_the_lesson():
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
    seen = [tiling.pixels_to_see(3000, 4000, 344**2, name) for name in ("conv4_2", "conv5_1")]
    assert seen[0] < 0.6 * seen[1]


@SIZES
@pytest.mark.parametrize(("deepest", "cell", "margin"), [("conv5_1", 16, 80), ("conv4_2", 8, 40)])
def test_every_pixel_belongs_to_one_tile_that_sees_all_about_it(size, limit, deepest, cell, margin):
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


def test_a_picture_that_fits_is_one_tile():
    ((rows, columns),) = tiling.cut(301, 203)
    assert rows == (0, 301, 0, 301)
    assert columns == (0, 203, 0, 203)
    assert tiling.pixels_to_see(301, 203) == 301 * 203


def test_a_tile_smaller_than_the_receptive_field_is_refused():
    message = "tiles of 30000 pixels are too small: conv5_1 looks at 156×156, so that the least "
    with pytest.raises(ValueError, match=rf"^{message}tile is 176×176$"):
        tiling.cut(600, 800, 30_000)
    assert len(tiling.cut(600, 800, 176**2)) > 1000
    with pytest.raises(ValueError, match="conv4_2 looks at 84×84, so that the least tile is 88×88"):
        tiling.cut(600, 800, 5_000, "conv4_2")


# --- the same as the whole -----------------------------------------------------------------------


@pytest.mark.numbers
@SIZES
@pytest.mark.parametrize("names", [STYLE_LAYERS, STYLE_LAYERS[:-1]])
def test_the_network_sees_on_a_tile_what_it_sees_on_the_whole(size, limit, names, weights):
    image = random_picture(*size)
    with open_network(weights) as (sess, layers):
        whole = sess.run([layers[name] for name in names], {layers["input"]: image})
        for tile in tiling.cut(*size, limit, names[-1]):
            window = tile.window(image)
            parts = sess.run([layers[name] for name in names], {layers["input"]: window})
            for name, a, part in zip(names, whole, parts, strict=True):
                step = objective.STEPS[name]
                inside, own = (
                    tuple(
                        slice((span.begin - off) // step, -(-(span.end - off) // step))
                        for span, off in zip(tile, offsets, strict=True)
                    )
                    for offsets in ((0, 0), (tile.rows.first, tile.columns.first))
                )
                np.testing.assert_allclose(
                    part[0][own], a[0][inside], rtol=1e-4, atol=1e-5 * np.abs(a).max()
                )


@pytest.fixture
def level(network):
    """Return a function that makes a Level of one size with all the painter's costs."""

    def make(height, width):
        photo = random_picture(height, width, 1)
        small = random_picture(height // 2, width // 2, 2)
        targets = network.measure(random_picture(150, 210, 3))

        def pixel_cost(image):
            return range_cost(image) + 30 * layout_cost(image, small)

        layers = 6 if width % 2 else 5  # large levels do without conv5_1
        return objective.Level(photo, targets[:layers], 16.0, pixel_cost)

    return make


@pytest.mark.numbers
@SIZES
def test_tiles_cost_what_the_whole_costs_and_have_its_gradient(size, limit, level, network):
    assert len(tiling.cut(*size, limit)) >= 4
    described, image = level(*size), random_picture(*size)
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
@pytest.mark.parametrize("colours", ["style", "content"])
def test_styles_larger_than_the_memory_are_measured_as_the_whole(
    tmp_path, network, monkeypatch, colours
):
    photo = random_picture(300, 420)
    styles = {}
    for seed, size in enumerate([(233, 301), (400, 300)]):
        path = tmp_path / f"{seed}.png"
        pixels = random_picture(*size, seed)[0] + 115
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(path)
        styles[path] = 1 + seed
    monkeypatch.setattr(memory, "SMALLEST", 60_000)  # what is left where less is allowed
    assert len(tiling.cut(*inputs.read_style(path, 300 * 420, 1.5).shape[1:3], 60_000)) > 1
    whole, in_tiles = (
        painter.style_statistics(styles, photo, colours, 1.5, network, allowed=allowed)
        for allowed in (math.inf, 0)
    )
    for layer, tiled_layer in zip(whole, in_tiles, strict=True):
        for array, tiled_array in zip(layer, tiled_layer, strict=True):
            np.testing.assert_allclose(
                tiled_array, array, rtol=1e-4, atol=1e-5 * np.abs(array).max()
            )


# --- within the memory ---------------------------------------------------------------------------


def save_pictures(folder):
    """Save a photograph, (90, 120) pixels, and a painting; return their paths."""
    paths = folder / "photo.png", folder / "painting.png"
    for seed, path in enumerate(paths):
        pixels = random_picture(90, 120, seed)[0] + 115
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(path)
    return paths


@pytest.fixture
def pictures(tmp_path):
    return save_pictures(tmp_path)


def test_what_fits_into_memory_is_not_cut():
    need = memory.BASE + memory.SEEN * 600 * 800
    assert memory.pixels_at_once(600, 800, 1.01 * need) == math.inf
    less = memory.pixels_at_once(600, 800, 0.99 * need)
    assert len(tiling.cut(600, 800, less)) > 1
    # all that is allowed is used, and no more
    used = memory.BASE + memory.KEPT * 600 * 800 + memory.SEEN * less
    assert used == pytest.approx(0.99 * need)


def test_half_of_what_is_free_is_the_default(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 16e9)
    assert memory.bytes_to_take(3000, 4000) == 8e9
    assert memory.bytes_to_take(3000, 4000, 6.0) == 6e9
    assert memory.bytes_to_take(3000, 4000, 40.0) == 16e9
    monkeypatch.setattr(memory, "free_memory", lambda: 6.5e9)
    assert 5e9 < memory.bytes_to_take(3000, 4000) < 6.5e9  # half would be too little


def test_a_small_level_of_a_large_picture_is_not_cut():
    allowed = memory.bytes_to_take(3000, 4000, 6.0)
    tiles_of = [
        len(tiling.cut(*size, memory.pixels_at_once(*size, allowed)))
        for size in painter.level_sizes(3000, 4000)
    ]
    assert tiles_of[:5] == [1] * 5
    assert 1 < tiles_of[5] < tiles_of[6]


@pytest.mark.parametrize(
    ("memory", "kind", "message"),
    [
        (0, ValueError, "the memory is 0: give a number of GB above 0"),
        (math.nan, ValueError, "the memory is nan: give a number of GB above 0"),
        (
            1.5,
            MemoryError,
            r"painting on 4000×3000 pixels takes \d\.\d GB of memory or more, and 1.5 GB are "
            "allowed: allow more, or choose a smaller size",
        ),
    ],
)
def test_too_little_memory_is_refused(pictures, fake_weights, memory, kind, message):
    with pytest.raises(kind, match=f"^{message}$"):
        painter.paint(*pictures, size=4000, model=fake_weights, memory=memory)


def test_the_least_that_is_told_is_enough(pictures, fake_weights):
    with pytest.raises(MemoryError) as refused:
        painter.paint(*pictures, size=4000, model=fake_weights, memory=1.5)
    least = float(str(refused.value).split(" takes ")[1].split(" GB")[0])
    limit = memory.pixels_at_once(3000, 4000, 1e9 * least)
    assert len(tiling.cut(3000, 4000, limit)) > 100


# --- painting in tiles ---------------------------------------------------------------------------

SIZE = 400  # pixels, of which the last of three levels needs tiles
MEMORY = (memory.BASE + memory.KEPT * 400 * 300 + memory.SEEN * 70_000) / 1e9  # GB
FEW = 6, 4, 3  # evaluations of its levels


@pytest.fixture
def few_evaluations(monkeypatch):
    monkeypatch.setattr(painter, "EVALUATIONS", FEW)


@pytest.fixture(scope="module")
def settings(fake_weights):
    return {"size": SIZE, "model": fake_weights, "memory": MEMORY, "precision": "float32"}


@pytest.fixture(scope="module")
def states(settings, tmp_path_factory):
    """All that a painting of FEW evaluations tells of itself."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(painter, "EVALUATIONS", FEW)
        return list(painter.paint(*save_pictures(tmp_path_factory.mktemp("tiles")), **settings))


def test_a_level_in_tiles_tells_of_itself_as_it_begins(states):
    assert [s.level for s in states] == [1] * 6 + [2] * 4 + [3] * 4
    assert [s.tiles for s in states] == [1] * 10 + [4] * 4
    before, begun = states[9:11]
    assert begun.image.shape == (1, 300, 400, 3)
    assert begun.done == before.done
    assert begun.seconds_left > 0
    np.testing.assert_array_equal(begun.start, before.image)
    assert np.abs(begun.picture().astype(int) - before.picture()).mean() < 10
    assert states[-1].done == 1


def test_each_level_takes_what_it_may(pictures, settings, monkeypatch):
    """Of 800×600 pixels 100,000 fit at once, beside what the picture takes; 400×300 fit whole."""
    monkeypatch.setattr(painter, "EVALUATIONS", (1, 1, 1, 1))
    allowed = (memory.BASE + memory.KEPT * 800 * 600 + memory.SEEN * 100_000) / 1e9
    told = list(painter.paint(*pictures, **settings | {"size": 800, "memory": allowed}))
    assert {s.level: s.tiles == 1 for s in told} == {1: True, 2: True, 3: True, 4: False}


def test_a_painting_goes_on_with_the_level_that_it_was_left_in(
    states, pictures, settings, few_evaluations
):
    *_, begun, _, _, last = states
    resumed = list(painter.paint(*pictures, **settings, resume=(begun.level, begun.start)))
    assert [s.level for s in resumed] == [3] * 4
    np.testing.assert_array_equal(resumed[0].image, begun.image)
    assert resumed[0].done == begun.done
    assert np.abs(resumed[-1].picture().astype(int) - last.picture()).mean() < 1


def test_a_painting_of_another_size_is_not_gone_on_with(pictures, settings):
    message = r"level 3 cannot go on from an image of shape \(1, 75, 100, 3\): resume with what a "
    with pytest.raises(ValueError, match=f"^{message}painting of the same size has told$"):
        painter.paint(*pictures, **settings, resume=(3, random_picture(75, 100)))


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def command(pictures, tmp_path, fake_weights):
    """Return the arguments of `nst paint` for a picture in tiles, and where it will be."""
    made = tmp_path / "made" / "picture.jpg"
    arguments = [*pictures, f"--size={SIZE}", f"--memory={MEMORY}", "--precision=float32"]
    return [*arguments, f"--weights={fake_weights}", f"--output={made}"], made


def run(arguments, capsys):
    """Run `nst paint` in this process; return what it printed, or its last sentence."""
    capsys.readouterr()
    try:
        paint_command.main(list(map(str, arguments)))
    except SystemExit as ended:
        return ended.code
    return capsys.readouterr().out


def test_a_killed_painting_goes_on_where_its_last_level_began(
    command, capsys, pictures, settings, few_evaluations
):
    arguments, made = command
    state = state_path(made)
    with start(*arguments) as process:
        wait_for(state.exists, process)
        process.kill()
        printed, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, printed
    assert Image.open(made).size == (400, 300)
    with np.load(state) as file:
        left = int(file["level"]), file["start"]
    *_, last = painter.paint(*pictures, **settings, resume=left)
    save_image(expected := made.parent.parent / "expected.jpg", last.full_size())

    printed = run([*arguments, "--resume"], capsys)
    assert "level 3 of 3, 400×300 pixels in 4 tiles" in printed
    assert "level 1 of" not in printed
    assert printed.splitlines()[-1].startswith("Finished in ")
    difference = np.asarray(Image.open(made), int) - np.asarray(Image.open(expected))
    assert np.abs(difference).mean() < 1
    assert list(made.parent.iterdir()) == [made]  # the state is gone, and no scrap is left


def test_ctrl_c_in_a_level_in_tiles_tells_how_to_go_on(
    command, capsys, monkeypatch, few_evaluations
):
    def save_state_and_stop(*arguments):
        save_state(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(paint_command, "save_state", save_state_and_stop)
    monkeypatch.delenv("MAKELEVEL", raising=False)
    arguments, made = command
    stopped, again = run(arguments, capsys).splitlines()[-2:]
    assert stopped.startswith("Stopped when ")
    assert again == "The same command with --resume goes on with level 3"
    assert sorted(made.parent.iterdir()) == [made, state_path(made)]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such limit")
def test_a_disk_too_full_for_the_state_stops_no_painting(command, capsys, few_evaluations):
    import resource

    arguments, made = command
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))  # the state has 360,000 bytes
    try:
        printed = run(arguments, capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"{state_path(made)} cannot be written (File too large): free some" in printed
    assert printed.splitlines()[-1].startswith("Finished in ")
    assert list(made.parent.iterdir()) == [made]


@pytest.fixture
def stopped(command, pictures, fake_weights):
    """Leave the state of a painting with the settings of `command`; return what `command` does."""
    arguments, made = command
    settings = {"size": SIZE, "strength": 0.5, "colours": "style", "strokes": 1.0}
    settings |= {"precision": "float32", "model": str(fake_weights), "memory": 3.0}
    photo, painted = map(str, pictures)
    image = random_picture(*painter.level_sizes(300, 400)[-2])
    progress = painter.Progress(image, (300, 400), 3, 3, 0.5, None, 4, image)
    save_state(made, hashes(photo, {painted: 1.0}, settings), progress)
    return arguments, made


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (["--strength=light"], "strength"),
        (["--strokes=2", "--colours=content"], "colours and strokes"),
        (["--size=390"], "size"),
    ],
)
def test_a_painting_with_other_settings_is_not_gone_on_with(stopped, capsys, change, names):
    arguments, made = stopped
    said = run([*arguments, *change, "--resume"], capsys)
    assert said == (
        f"{state_path(made)} is of a painting with another {names}: give the same again, or leave "
        "RESUME out, to begin from the start"
    )


def test_a_painting_of_other_pictures_is_not_gone_on_with(stopped, capsys, pictures):
    arguments, made = stopped
    photo, painted = pictures
    photo.write_bytes(painted.read_bytes())
    said = run([*arguments, "--resume"], capsys)
    assert said.startswith(f"{state_path(made)} is of a painting with another content picture: ")
    said = run([*arguments[:1], f"{painted}:2", photo, *arguments[2:], "--resume"], capsys)
    assert " with another content picture and style pictures: give the same again" in said


def test_a_damaged_state_is_told(stopped, capsys):
    arguments, made = stopped
    whole = state_path(made).read_bytes()
    for part in (b"", whole[:5000], whole[:90_000] + b"x" + whole[90_001:]):
        state_path(made).write_bytes(part)
        said = run([*arguments, "--resume"], capsys)
        assert said == (f"{state_path(made)} is corrupt: leave RESUME out, to begin from the start")


def test_without_a_state_nothing_is_gone_on_with(command, capsys):
    arguments, made = command
    assert run([*arguments, "--resume"], capsys) == (
        f"{state_path(made)} not found, so there is no run to continue: leave RESUME out, to begin "
        "from the start"
    )


def test_the_last_result_that_has_a_state_is_gone_on_with(monkeypatch, tmp_path):
    monkeypatch.setattr(options, "WORKPLACE", tmp_path)
    arguments = ("a/photo.jpg", {"b/one.png": 1})
    first = paint_command.unused_output_path(*arguments)
    first.parent.mkdir()
    assert paint_command.unused_output_path(*arguments, resume=True) == first
    second, third = (first.with_stem(f"photo_one_{n}") for n in (2, 3))
    for path in (first, second, third, state_path(second)):
        path.touch()
    assert paint_command.unused_output_path(*arguments, resume=True) == second
    assert paint_command.unused_output_path(*arguments).stem == "photo_one_4"
