"""Image files as people have them: every format, from phones and scanners, sound or damaged."""

import os
import struct
import sys

import numpy as np
import psutil
import pytest
from PIL import Image, ImageCms

from nst.core.images import fit_size, load_image
from tests.conftest import as_nobody
from tests.core.samples import ALPHA, COLORS, GRAY, HEIGHT, RGBA, WIDTH, limited, refused, save

pytestmark = pytest.mark.filterwarnings("error")  # a warning on a student's screen is noise
either_function = pytest.mark.parametrize("function", [load_image, fit_size])


def load(path):
    return load_image(path, HEIGHT, WIDTH).astype(int)


# --- formats and modes ---------------------------------------------------------------------------


def as_rgb(gray):
    return np.repeat(gray[:, :, None], 3, axis=2)


def over_white(colors, alpha):
    share = alpha[:, :, None] / 255
    return share * colors + (1 - share) * 255


def frombytes(mode, pixels):
    return Image.frombytes(mode, (WIDTH, HEIGHT), pixels.tobytes())


IMAGE = Image.fromarray(COLORS)
PLAIN = as_rgb(GRAY)
ENTRIES = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
PALETTE, MAPPED = frombytes("P", GRAY), ENTRIES[GRAY]
PALETTE.putpalette(ENTRIES.tobytes())
FIRST_GONE = np.where(GRAY[:, :, None] == 0, 255, MAPPED)
BLUE_GONE = np.where((COLORS == (0, 0, 255)).all(axis=2, keepdims=True), 255, COLORS)
SIXTEEN_BITS = GRAY.astype(np.uint16) * 256 + 99  # the low byte differs from the high one
FLOATS = GRAY.astype(np.float32) / 255
STRETCHED = as_rgb(np.rint(GRAY / 244 * 255))
BEST = {"quality": 95, "subsampling": 0}
LOSSLESS = {"lossless": True, "exact": True}

# description: (file name, image or its pixels, Pillow's options, expected pixels, gray levels off)
FORMATS = {
    "JPEG": ("p.jpg", IMAGE, BEST, COLORS, 4),
    "CMYK JPEG": ("p.jpg", IMAGE.convert("CMYK"), BEST, COLORS, 8),
    "a phone's MPO": ("p.mpo", IMAGE, BEST, COLORS, 4),
    "PNG": ("naïve photo.png", IMAGE, {}, COLORS, 0),
    "PNG named .jpg": ("p.jpg", IMAGE, {"format": "PNG"}, COLORS, 0),
    "gray": ("p.png", GRAY, {}, PLAIN, 0),
    "one bit": ("p.png", GRAY > 99, {}, as_rgb(255 * (GRAY > 99)), 0),
    "alpha": ("p.png", RGBA, {}, over_white(COLORS, ALPHA), 1),
    "gray and alpha": ("p.png", np.dstack([GRAY, ALPHA]), {}, over_white(PLAIN, ALPHA), 1),
    "transparent blue": ("p.png", IMAGE, {"transparency": (0, 0, 255)}, BLUE_GONE, 0),
    "transparent entry": ("p.png", PALETTE, {"transparency": 0}, FIRST_GONE, 0),
    "16-bit PNG": ("p.png", SIXTEEN_BITS, {}, PLAIN, 1),
    "16-bit PGM": ("p.pgm", SIXTEEN_BITS.astype(np.int32), {}, PLAIN, 1),
    "16-bit TIFF": ("p.tif", SIXTEEN_BITS, {}, PLAIN, 1),
    "big-endian TIFF": ("p.tif", frombytes("I;16B", SIXTEEN_BITS.astype(">u2")), {}, PLAIN, 1),
    "32-bit TIFF": ("p.tif", GRAY.astype(np.int32) * 9000 - 10**6, {}, STRETCHED, 1),
    "float TIFF": ("p.tif", FLOATS, {}, STRETCHED, 1),
    "constant float TIFF": ("p.tif", np.ones_like(FLOATS), {}, 0 * PLAIN, 0),
    "WebP with alpha": ("p.webp", RGBA, LOSSLESS, over_white(COLORS, ALPHA), 1),
    "animated GIF": ("p.gif", PALETTE, {"append_images": [PALETTE.rotate(180)]}, MAPPED, 0),
    "transparent GIF": ("p.gif", PALETTE, {"transparency": 0}, FIRST_GONE, 0),
    "BMP": ("P.BMP", IMAGE, {}, COLORS, 0),
}


@pytest.mark.parametrize("description", FORMATS)
def test_every_format_gives_its_pixels(tmp_path, description):
    name, image, options, expected, tolerance = FORMATS[description]
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(tmp_path / name, save_all="append_images" in options, **options)
    loaded = load_image(tmp_path / name, HEIGHT, WIDTH)
    assert loaded.shape == (HEIGHT, WIDTH, 3)
    assert loaded.dtype == np.uint8
    assert loaded.flags.writeable
    np.testing.assert_allclose(loaded.astype(int), expected, rtol=0, atol=tolerance)
    assert fit_size(tmp_path / name, 72) == (48, 72)


# --- orientation ---------------------------------------------------------------------------------

UPRIGHT = {  # how a viewer shows the stored pixels, by EXIF's orientation
    1: COLORS,
    2: COLORS[:, ::-1],
    3: COLORS[::-1, ::-1],
    4: COLORS[::-1],
    5: COLORS.transpose(1, 0, 2),
    6: np.rot90(COLORS, -1),
    7: COLORS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(COLORS, 1),
}


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def check_upright(path, expected, tolerance=12):
    assert fit_size(path, 36) == expected.shape[:2]
    loaded = load_image(path, *expected.shape[:2]).astype(int)
    np.testing.assert_allclose(loaded, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.tif", "p.webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_phone_s_photo_is_turned_upright(tmp_path, name, orientation):
    path = save(tmp_path / name, exif=exif(orientation), quality=95)
    check_upright(path, UPRIGHT[orientation])


def test_exif_that_cannot_be_written_back_does_no_harm(tmp_path):
    """A camera's Software tag (0x131) as a float: Pillow reads it, but cannot write it."""
    tags = exif(6)
    tags[0x0131] = "abc"
    text, number = (struct.pack(">HHI", 0x0131, *kind) for kind in ((2, 4), (11, 1)))
    assert text in tags.tobytes()
    path = save(tmp_path / "p.jpg", exif=tags.tobytes().replace(text, number), quality=95)
    check_upright(path, UPRIGHT[6])


# --- color profiles: Pillow's own of sRGB, with a few bytes replaced -----------------------------

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CURVE = SRGB[SRGB.index(b"para") + 12 :][:20]  # five numbers of 16.16 bits
STRAIGHT = struct.pack(">5i", 65536, 65536, 0, 65536, 0)


def changed(*changes):
    profile = SRGB.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))
    for old, new in changes:
        assert old in profile
        profile = profile.replace(old, new)
    return profile


# red and blue primaries are swapped: red and blue of each pixel change places
SWAPPED = changed((b"rXYZ", b"____"), (b"bXYZ", b"rXYZ"), (b"____", b"bXYZ"))
LINEAR_GRAY = changed((b"RGB ", b"GRAY"), (b"rTRC", b"kTRC"), (CURVE, STRAIGHT))


@pytest.mark.parametrize(
    ("name", "image", "options", "pixels"),
    [
        ("p.jpg", IMAGE, BEST, COLORS),
        ("p.tif", IMAGE, {}, COLORS),
        ("p.webp", IMAGE, LOSSLESS, COLORS),
        ("p.png", PALETTE, {}, MAPPED),
        ("p.png", Image.fromarray(RGBA), {}, over_white(COLORS, ALPHA)),
    ],
)
def test_a_profile_s_colors_become_srgb(tmp_path, name, image, options, pixels):
    image.save(tmp_path / name, icc_profile=SWAPPED, **options)
    tolerance = 5 if name == "p.jpg" else 1
    np.testing.assert_allclose(load(tmp_path / name), pixels[..., ::-1], rtol=0, atol=tolerance)


def test_a_gray_profile_applies_to_gray(tmp_path):
    half = np.full((HEIGHT, WIDTH), 128, np.uint8)
    path = save(tmp_path / "p.png", half, icc_profile=LINEAR_GRAY)
    np.testing.assert_allclose(load(path), 188, atol=1)  # half of the light, in sRGB


UNFIT = [b"x", bytes(200), SWAPPED[:150], SWAPPED[:400], LINEAR_GRAY, SRGB]


@pytest.mark.parametrize("profile", UNFIT)
def test_a_profile_that_is_broken_or_does_not_fit_changes_nothing(tmp_path, profile, capfd):
    np.testing.assert_array_equal(load(save(tmp_path / "p.png", icc_profile=profile)), COLORS)
    assert capfd.readouterr() == ("", "")


# --- HEIC ----------------------------------------------------------------------------------------

HEIC_START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_is_read_upright_and_in_srgb(tmp_path, orientation):
    file = pytest.importorskip("pillow_heif").from_pillow(IMAGE)
    file.info["icc_profile"] = SWAPPED
    path = tmp_path / "IMG_1.HEIC"
    file.save(path, quality=-1, chroma=444, exif=exif(orientation).tobytes())
    check_upright(path, UPRIGHT[orientation][..., ::-1], tolerance=8)


@either_function
def test_without_pillow_heif_the_error_names_it(tmp_path, monkeypatch, function):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "photo.jpg").write_bytes(HEIC_START)
    refused(ValueError, "-m pip install pillow-heif", function, tmp_path / "photo.jpg")


# --- large images --------------------------------------------------------------------------------


def memory_limit(size):
    """Let this process allocate at most `size` bytes more than now."""
    if sys.platform != "linux":
        pytest.skip("other systems do not enforce RLIMIT_AS")
    return limited("RLIMIT_AS", psutil.Process().memory_info().vms + size)


def test_a_jpeg_of_200_megapixels_needs_little_memory(tmp_path):
    path = tmp_path / "p.jpg"
    Image.new("L", (16320, 12240), 77).save(path)
    with memory_limit(150_000_000):  # all its pixels are 600 MB in RGB
        assert fit_size(path, 800) == (600, 800)
        loaded = load_image(path, 300, 400)
    assert loaded.shape == (300, 400, 3)
    assert np.ptp(loaded) == 0


def test_an_image_that_does_not_fit_into_memory_is_refused(tmp_path):
    path = tmp_path / "p.bmp"
    Image.new("1", (13000, 13000)).save(path)
    with memory_limit(50_000_000):  # it is decoded to 169 MB
        refused(MemoryError, "does not fit into the free memory", load_image, path)


def test_pillow_s_warning_about_many_pixels_is_not_shown(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    np.testing.assert_array_equal(load(save(tmp_path / "p.png")), COLORS)
    assert capfd.readouterr() == ("", "")


@either_function
def test_beyond_pillow_s_limit_only_jpeg_is_read(tmp_path, monkeypatch, function):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 2 - 1)
    refused(ValueError, "too many .* but JPEG", function, save(tmp_path / "p.png"))
    function(save(tmp_path / "p.jpg"))


# --- refused files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><html>", b"%PDF-1.7\n", b"\xff\xd8\xff\xe0\x00\x10JFIF", HEIC_START],
    ids=["empty", "web page", "PDF", "JPEG's first bytes", "HEIC's first bytes"],
)
@either_function
def test_a_file_that_is_not_an_image_is_refused(tmp_path, content, function):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    refused(ValueError, rf"photo\.jpg is not an image .* {len(content)} bytes", function, path)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("photo.jpg", FileNotFoundError, r"photo\.jpg not found: check the name"),
        ("SUNFLOWER.JPEG", FileNotFoundError, r"not found: did you mean .*Sunflowers\.JPEG\?"),
        ("holidays/photo.jpg", FileNotFoundError, "not found: check the folder .*holidays$"),
        ("folder.jpg", IsADirectoryError, "is a folder"),
        ("pipe.jpg", ValueError, "is a pipe"),
        ("https://example.org/photo.jpg", ValueError, "^https://.* is a web address: download"),
    ],
)
@either_function
def test_a_path_that_is_not_an_image_file_is_refused(tmp_path, name, error, message, function):
    save(tmp_path / "Sunflowers.JPEG")
    (tmp_path / "folder.jpg").mkdir()
    if name == "pipe.jpg":
        getattr(os, "mkfifo", lambda _: pytest.skip("needs named pipes"))(tmp_path / name)
    refused(error, message, function, name if "://" in name else tmp_path / name)


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(tmp_path / "photo.png")
    assert fit_size("~/photo.png", 36) == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(load("~/photo.png"), COLORS)
    refused(FileNotFoundError, "check the name", load_image, "~/nowhere.png")


def test_a_file_that_may_not_be_read_is_refused(folder_for_all):
    path = save(folder_for_all / "p.png")
    path.chmod(0)
    as_nobody(refused, OSError, "Permission denied.*: check", load_image, path)


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.gif", "p.webp", "p.tif", "p.bmp"])
def test_an_image_truncated_anywhere_never_loads_wrong(tmp_path, name):
    path = save(tmp_path / name)
    whole, data = load(path), path.read_bytes()
    refusals = 0
    for length in np.random.default_rng(0).integers(0, len(data), 20):
        path.write_bytes(data[:length])
        try:
            loaded = load(path)
        except ValueError:
            refused(ValueError, "not an image|corrupt or truncated", load, path)
            refusals += 1
        else:  # only the end mark is missing
            np.testing.assert_array_equal(loaded, whole)
    assert refusals > 10


def test_a_truncated_image_is_called_by_its_format(tmp_path):
    jpeg, png = save(tmp_path / "p.jpg"), save(tmp_path / "p.png")
    for path in (jpeg, png):
        path.write_bytes(path.read_bytes()[:-30])
    refused(ValueError, "corrupt or truncated JPEG", load_image, jpeg)
    refused(ValueError, "corrupt or truncated PNG", load_image, png)
    refused(ValueError, "corrupt or truncated PNG", fit_size, png)
    assert fit_size(jpeg) == (267, 400)  # its header is sound


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_float_image_with_values_that_are_not_finite_is_refused(tmp_path, value):
    pixels = FLOATS.copy()
    pixels[3, 4] = value
    path = save(tmp_path / "p.tif", pixels)
    refused(ValueError, "TIFF .*NaN or infinity", load_image, path)
    assert fit_size(path) == (267, 400)
