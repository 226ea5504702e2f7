"""Images at any size: loaded, normalized, saved and shown."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nst.core import images
from nst.core.config import CONFIG
from tests.conftest import as_nobody
from tests.core.samples import COLORS, GRAY, HEIGHT, RGBA, WIDTH, limited, refused, save

pytestmark = pytest.mark.filterwarnings("error")  # a warning on a student's screen is noise
repeatable = settings(deadline=None, database=None, derandomize=True, max_examples=100)

MEANS = np.array([123.68, 116.779, 103.939])  # RGB, published with VGG
SIDE = st.integers(1, 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


# --- load_image and fit_size ---------------------------------------------------------------------

# all that TIFF stores, except YCbCr: Pillow 12 cannot read the one that it writes
MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "LAB", "I", "I;16", "F"]


@repeatable
@given(mode=st.sampled_from(MODES), source=st.tuples(SIDE, SIDE), target=st.tuples(SIDE, SIDE))
def test_an_image_of_any_mode_takes_any_shape(folder, mode, source, target):
    image = Image.new(mode, source)
    size = len(image.tobytes())
    image.frombytes(np.random.default_rng(size).integers(0, 127, size, np.uint8).tobytes())
    if mode in ("P", "PA"):
        image.putpalette(bytes(range(256)) * 3)
    image.save(folder / "any.tif")
    loaded = images.load_image(folder / "any.tif", *target)
    assert loaded.shape == (*target, 3)
    assert loaded.dtype == np.uint8


@pytest.mark.parametrize(("height", "width"), [(60, 200), (200, 60)])
def test_a_loaded_image_is_cropped_about_its_center_and_never_stretched(tmp_path, height, width):
    """A red square in the middle of a blue image stays a square in the middle."""
    pixels = np.full((height, width, 3), (0, 0, 255), np.uint8)
    top, left = height // 2 - 20, width // 2 - 20
    pixels[top : top + 40, left : left + 40] = 255, 0, 0
    loaded = images.load_image(save(tmp_path / "p.png", pixels), 30, 30)
    expected = np.zeros((30, 30), bool)
    expected[5:25, 5:25] = True  # at half the size
    np.testing.assert_array_equal(loaded[..., 0] > 127, expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5000, 1), (1, 5000), (2, 3)])
def test_tiny_and_thin_images_fill_the_graph(tmp_path, height, width):
    path = save(tmp_path / "p.png", np.full((height, width, 3), (10, 20, 30), np.uint8))
    loaded = images.load_image(path)
    np.testing.assert_array_equal(loaded, np.broadcast_to((10, 20, 30), (300, 400, 3)))
    fitted = images.fit_size(path)
    assert max(fitted) == 400
    assert images.load_image(path, *fitted).shape == (*fitted, 3)


def test_a_large_jpeg_keeps_its_brightness_and_its_middle(tmp_path):
    """A ramp 3000 pixels wide, decoded at an eighth of that: 20 even steps about gray."""
    ramp = np.broadcast_to(np.linspace(0, 255, 3000), (1500, 3000)).astype(np.uint8)
    loaded = images.load_image(save(tmp_path / "p.jpg", ramp, quality=95), 10, 20)
    np.testing.assert_allclose(loaded[5, :, 0], (np.arange(20) + 0.5) * 255 / 20, atol=1.5)


@repeatable
@given(source=st.tuples(st.integers(1, 999), st.integers(1, 999)), longest=st.integers(16, 999))
def test_the_fitted_size_has_the_longest_side_and_the_image_s_shape(folder, source, longest):
    Image.new("1", source).save(folder / "size.bmp")
    height, width = images.fit_size(folder / "size.bmp", longest)
    assert max(height, width) == longest
    assert (width - height) * (source[0] - source[1]) >= 0  # upright stays upright
    exact = longest * min(source) / max(source)
    assert abs(min(height, width) - max(16, exact)) <= 0.5


@pytest.mark.parametrize("size", [(0, 40), (30, -1), (30.0, 40), ("30", 40)])
def test_a_size_that_is_not_a_whole_number_is_refused(tmp_path, size):
    path = save(tmp_path / "p.png")
    refused(ValueError, "^the (height|width) is .* 1 or more$", images.load_image, path, *size)


@pytest.mark.parametrize("longest", [0, 15, -400, 400.5, "400"])
def test_a_longest_side_that_vgg_cannot_use_is_refused(tmp_path, longest):
    path = save(tmp_path / "p.png")
    refused(ValueError, "^the longest side is .* 16 or more$", images.fit_size, path, longest)


def test_a_size_beyond_all_memory_is_refused(tmp_path):
    path = save(tmp_path / "p.png")
    message = "takes 8,000,000,004 GB of memory"  # three float32 a pixel
    refused(MemoryError, message, images.fit_size, path, 10**9)
    refused(MemoryError, message, images.load_image, path, 666_666_667, 10**9)


# --- normalized images ---------------------------------------------------------------------------


def test_normalizing_subtracts_the_mean_color():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    normalized = images.reshape_and_normalize_image(pixels)
    assert CONFIG.MEANS.shape == (1, 1, 1, 3)
    assert normalized.shape == (1, 300, 400, 3)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized[0], pixels - MEANS, rtol=0, atol=1e-5)


def with_value(array, value):
    array = array.astype(np.float32)
    array.flat[5] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (GRAY, r"shape \(24, 36\)"),
        (RGBA, r"shape \(24, 36, 4\)"),
        (COLORS[None], r"shape \(1, 24, 36, 3\)"),
        (COLORS.transpose(1, 0, 2), r"shape \(36, 24, 3\)"),
        (COLORS.astype(object), "holds object"),
        (COLORS > 99, "holds bool"),
        (with_value(COLORS, np.nan), "from nan"),
        (COLORS.astype(np.uint16) * 257, "from 0 to 65535"),
        (COLORS - MEANS, "from -123.68 .* once"),
        (COLORS / 255, "by 255$"),
    ],
)
def test_only_pixels_of_the_graph_s_size_are_normalized(array, message):
    refused(ValueError, message, images.reshape_and_normalize_image, array, HEIGHT, WIDTH)


def test_noise_is_the_course_s_draw():
    """`uniform(-20, 20)` for a 300×400 image right after `seed(3)` and the two numbers of J."""
    content = np.ones((1, 300, 400, 3), np.float32)
    np.random.seed(3)
    np.random.randn(2)
    image = images.generate_noise_image(content)
    draw = np.random.RandomState(3)
    draw.randn(2)
    noise = draw.uniform(-20, 20, (1, 300, 400, 3))
    np.testing.assert_allclose(image, 0.6 * noise + 0.4, rtol=1e-4, atol=1e-5)


# --- to_pixels and save_image --------------------------------------------------------------------

IMAGE = images.reshape_and_normalize_image(COLORS, HEIGHT, WIDTH)
LEVELS = np.stack([np.arange(256).reshape(16, 16)] * 3, axis=2)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_saving_rounds_and_clips(tmp_path, dtype):
    image = np.random.default_rng(0).uniform(-300, 300, (1, 16, 16, 3)).astype(dtype)
    images.save_image(tmp_path / "p.png", image)
    exact = np.clip(image[0].astype(float) + MEANS, 0, 255)
    loaded = images.load_image(tmp_path / "p.png", 16, 16)
    np.testing.assert_allclose(loaded, exact, rtol=0, atol=0.5)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float16", "float64"])
def test_every_level_survives_normalizing_and_saving(tmp_path, dtype):
    image = images.reshape_and_normalize_image(LEVELS.astype(dtype), 16, 16)
    path = tmp_path / "new" / "p.png"
    images.save_image(path, image)
    np.testing.assert_array_equal(images.load_image(path, 16, 16), LEVELS)
    assert list(path.parent.iterdir()) == [path]  # and nothing temporary


@pytest.mark.parametrize("extension", images.PICTURE_EXTENSIONS)
def test_every_extension_is_saved_in_its_format(tmp_path, extension):
    path = tmp_path / f"p{extension}"
    images.save_image(path, IMAGE)
    with Image.open(path) as image:
        assert image.format == Image.registered_extensions()[extension]
    difference = np.abs(images.load_image(path, HEIGHT, WIDTH).astype(float) - COLORS).mean()
    assert difference <= (0 if extension in (".png", ".tif", ".tiff", ".bmp") else 8)


@pytest.mark.parametrize("name", ["strokes.jpg", "strokes.JPEG"])
def test_a_jpeg_looks_like_the_image(tmp_path, name):
    """Red and blue strokes, 2 pixels wide: Pillow's own settings give 18 dB, colors blurred."""
    strokes = np.where(np.arange(64) % 4 < 2, [[200], [60], [40]], [[40], [60], [200]]).T
    pixels = np.broadcast_to(strokes, (48, 64, 3)).astype(np.uint8)
    images.save_image(tmp_path / name, images.reshape_and_normalize_image(pixels, 48, 64))
    loaded = images.load_image(tmp_path / name, 48, 64).astype(float)
    noise = np.square(loaded - pixels).mean()
    assert 10 * np.log10(255**2 / noise) > 30


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (with_value(IMAGE, np.nan), "NaN or infinity in 1 of 2,592 values"),
        (IMAGE[0], r"shape \(24, 36, 3\)"),
        (IMAGE[..., :1], r"shape \(1, 24, 36, 1\)"),
        (np.concatenate([IMAGE, IMAGE]), r"shape \(2, 24, 36, 3\)"),
        (IMAGE[:, :0], r"shape \(1, 0, 36, 3\)"),
        (COLORS[None], "is uint8 .* reshape_and_normalize_image$"),
        ("generated_image", r"shape \(\)"),
    ],
)
def test_only_a_normalized_image_is_saved(tmp_path, array, message):
    path = tmp_path / "p.png"
    path.write_bytes(b"the old one")
    refused(ValueError, message, images.save_image, path, array)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_image(tmp_path):
    path = tmp_path / "p.tif"
    path.write_bytes(b"the old one")
    noise = np.random.default_rng(0).uniform(-99, 99, (1, 99, 99, 3))
    with limited("RLIMIT_FSIZE", 2000):
        refused(OSError, "cannot be written .* disk space", images.save_image, path, noise)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_an_image_beyond_the_format_s_limit_is_refused(tmp_path):
    """WebP's sides end at 16,383 pixels."""
    image = np.zeros((1, 1, 16384, 3), np.float32)
    refused(ValueError, "cannot hold .* as PNG", images.save_image, tmp_path / "p.webp", image)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("p.jpge", ValueError, r"unknown extension \.jpge: .* \.jpg"),
        ("p", ValueError, "has no extension"),
        ("new/p.png.", ValueError, "extension"),
        ("folder.png", IsADirectoryError, "is a folder"),
        ("file/p.png", OSError, "cannot create folder .*file "),
        ("file/new/p.png", OSError, "cannot create folder .*new "),
    ],
)
def test_a_path_that_cannot_be_saved_to_is_found_before_any_work(tmp_path, name, error, message):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("in the way")
    before = sorted(tmp_path.rglob("*"))
    refused(error, message, images.check_picture_path, tmp_path / name)
    refused(error, message, images.save_image, tmp_path / name, IMAGE)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_read_only_folder_is_found_before_any_work(folder_for_all):
    folder_for_all.chmod(0o555)
    path, message = folder_for_all / "p.png", "Permission denied"
    as_nobody(refused, OSError, message, images.check_picture_path, path)
    as_nobody(refused, OSError, message, images.save_image, path, IMAGE)
    assert list(folder_for_all.iterdir()) == []


def test_the_check_makes_the_folder_and_nothing_in_it(tmp_path):
    images.check_picture_path(tmp_path / "new" / "folder" / "P.PNG")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


# --- save_animation and show_pictures ------------------------------------------------------------


def test_an_animation_holds_every_image_and_repeats(tmp_path):
    frames = [np.full((6, 8, 3), level, np.uint8) for level in (0, 128, 255)]
    images.save_animation(tmp_path / "a.gif", frames, seconds=0.3)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 3
        assert animation.info["loop"] == 0  # forever
        for index, frame in enumerate(frames):
            animation.seek(index)
            assert animation.info["duration"] == 300  # milliseconds
            shown = np.array(animation.convert("RGB")).astype(int)
            np.testing.assert_allclose(shown, frame, atol=2)


def test_images_are_shown_in_rows_under_their_titles(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    images.show_pictures({"pixels": COLORS, "normalized": IMAGE, "third": COLORS}, columns=2)
    axes = plt.gcf().axes
    plt.close()
    assert [ax.get_title() for ax in axes] == ["pixels", "normalized", "third", ""]
    assert [ax.get_subplotspec().rowspan.start for ax in axes] == [0, 0, 1, 1]
    for ax in axes[:3]:
        np.testing.assert_array_equal(ax.images[0].get_array(), COLORS)
    assert not axes[3].images


def test_config_is_read_when_a_function_is_called(monkeypatch, tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (36, 24), "teal").save(path)
    monkeypatch.setattr(CONFIG, "IMAGE_WIDTH", 30)
    monkeypatch.setattr(CONFIG, "IMAGE_HEIGHT", 20)
    monkeypatch.setattr(CONFIG, "NOISE_RATIO", 0)
    assert images.fit_size(path) == (20, 30)
    image = images.reshape_and_normalize_image(images.load_image(path))
    assert image.shape == (1, 20, 30, 3)
    np.testing.assert_array_equal(images.generate_noise_image(image), image)
