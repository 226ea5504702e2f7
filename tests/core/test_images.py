"""Pictures and weight files as people have them: every kind, every size, and all that goes wrong.

Each input either gives the right pixels or one sentence: what was found, what was expected and what
to do.
"""

import errno
import os
import struct
import sys
import zlib
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from nst.core import images
from nst.core.config import CONFIG
from nst.vgg.tiny import fake_convolutions, write_fake_vgg
from nst.vgg.weights import read_vgg
from tests.conftest import as_nobody

pytestmark = pytest.mark.filterwarnings("error")  # a warning on a student's screen is noise
repeatable = settings(deadline=None, database=None, derandomize=True, max_examples=100)

H, W = 24, 36
y, x = np.mgrid[:H, :W]
COLOURS = np.stack([7 * x, 10 * y, 255 - 3 * x - 5 * y], axis=2).astype(np.uint8)
GREY = (5 * x + 3 * y).astype(np.uint8)  # 0-244
ALPHA = (11 * y).astype(np.uint8)
TABLE = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)  # a palette


def refused(match, function, *args):
    """Expect one sentence of ours, and no library's traceback chained to it."""
    with pytest.raises((OSError, ValueError), match=match) as caught:
        function(*args)
    text = str(caught.value)
    assert "\n" not in text
    assert ": " in text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def as_rgb(grey):
    return np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)


def over_white(colours, alpha):
    share = alpha[:, :, None] / 255
    return share * colours + (1 - share) * 255


# --- every kind of picture -----------------------------------------------------------------------


def picture(pixels, mode=None):
    image = Image.fromarray(pixels)
    return image.convert(mode) if mode else image


def with_palette(mode, pixels):
    image = Image.frombytes(mode, (W, H), np.ascontiguousarray(pixels).tobytes())
    image.putpalette(TABLE.tobytes())
    return image


def sixteen_bits(levels):
    """Spread 0-255 over 0-65535, with low bytes that a reader must not mix up with the high."""
    return (levels.astype(np.uint32) * 65535 // 255 // 16 * 16 + 7).clip(0, 65535).astype(np.uint16)


def png(samples):
    """Encode uint16 samples (H, W, channels) as a 16-bit PNG, which Pillow writes only in grey."""
    height, width, channels = samples.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


RGBA, LA = np.dstack([COLOURS, ALPHA]), np.dstack([GREY, ALPHA])
DEEP = sixteen_bits(GREY)
DEEP_COLOURS, DEEP_RGBA, DEEP_LA = sixteen_bits(COLOURS), sixteen_bits(RGBA), sixteen_bits(LA)
BIG_ENDIAN = DEEP.astype(">u2").tobytes()
INTEGERS = GREY.astype(np.int32)
LAB = np.dstack([GREY, GREY * 0, GREY * 0]).tobytes()  # no colour, and L* is near sRGB's curve
COLOUR_PICTURE, PALETTE = picture(COLOURS), with_palette("P", GREY)
BEST = {"quality": 95, "subsampling": 0}

# what comes out: the picture in colour, in grey or through the palette, and over white
PLAIN, MAPPED = as_rgb(GREY), TABLE[GREY]
STRETCHED = as_rgb(np.rint(GREY / 244 * 255))
OVER, GREY_OVER = over_white(COLOURS, ALPHA), over_white(PLAIN, ALPHA)
BLUE_GONE = np.where((COLOURS == (0, 0, 255)).all(axis=2, keepdims=True), 255, COLOURS)
FIRST_GONE = np.where(GREY[:, :, None] == 0, 255, MAPPED)

# kind: (file name, picture or bytes, options of Pillow's save, what comes out, grey levels off)
KINDS = {
    "JPEG": ("p.jpg", COLOUR_PICTURE, BEST, COLOURS, 4),
    "progressive JPEG": ("p.jpg", COLOUR_PICTURE, {"progressive": True}, COLOURS, 16),
    "grey JPEG": ("p.jpg", picture(GREY), BEST, PLAIN, 4),
    "CMYK JPEG": ("p.jpg", picture(COLOURS, "CMYK"), BEST, COLOURS, 8),
    "a phone's MPO": ("p.mpo", COLOUR_PICTURE, BEST, COLOURS, 4),
    "PNG": ("p.png", COLOUR_PICTURE, {}, COLOURS, 0),
    "PNG named .jpg": ("p.jpg", COLOUR_PICTURE, {"format": "PNG"}, COLOURS, 0),
    "no extension": ("naïve photo", COLOUR_PICTURE, {"format": "PNG"}, COLOURS, 0),
    "grey": ("p.png", picture(GREY), {}, PLAIN, 0),
    "one bit": ("p.png", picture(GREY > 99), {}, as_rgb(255 * (GREY > 99)), 0),
    "alpha": ("p.png", picture(RGBA), {}, OVER, 1),
    "grey with alpha": ("p.png", picture(LA), {}, GREY_OVER, 1),
    "transparent blue": ("p.png", COLOUR_PICTURE, {"transparency": (0, 0, 255)}, BLUE_GONE, 0),
    "palette": ("p.png", PALETTE, {}, MAPPED, 0),
    "transparent entry": ("p.png", PALETTE, {"transparency": 0}, FIRST_GONE, 0),
    "palette's alphas": (
        *("p.png", PALETTE, {"transparency": bytes(range(256))}, over_white(MAPPED, GREY), 1),
    ),
    "palette with alpha": ("p.tif", with_palette("PA", LA), {}, over_white(MAPPED, ALPHA), 1),
    "16-bit grey PNG": ("p.png", png(DEEP[:, :, None]), {}, PLAIN, 1),
    "16-bit colour PNG": ("p.png", png(DEEP_COLOURS), {}, COLOURS, 1),
    "16-bit alpha PNG": ("p.png", png(DEEP_RGBA), {}, OVER, 2),
    "16-bit grey and alpha PNG": ("p.png", png(DEEP_LA), {}, GREY_OVER, 2),
    "16-bit TIFF": ("p.tif", picture(DEEP), {}, PLAIN, 1),
    "big-endian TIFF": ("p.tif", Image.frombytes("I;16B", (W, H), BIG_ENDIAN), {}, PLAIN, 1),
    "16-bit PGM": ("p.pgm", b"P5 36 24 65535\n" + BIG_ENDIAN, {}, PLAIN, 1),
    "32-bit TIFF": ("p.tif", picture(INTEGERS * 9000), {}, STRETCHED, 1),
    "negative integers": ("p.tif", picture(INTEGERS - 99), {}, STRETCHED, 1),
    "float TIFF": ("p.tif", picture(GREY / np.float32(255)), {}, STRETCHED, 1),
    "wide float TIFF": ("p.tif", picture(GREY * np.float32(1e30)), {}, STRETCHED, 1),
    "constant float TIFF": ("p.tif", picture(np.ones((H, W), np.float32)), {}, 0 * PLAIN, 0),
    "TIFF": ("p.tif", COLOUR_PICTURE, {"compression": "tiff_lzw"}, COLOURS, 0),
    "CMYK TIFF": ("p.tif", picture(COLOURS, "CMYK"), {}, COLOURS, 0),
    "Lab TIFF": ("p.tif", Image.frombytes("LAB", (W, H), LAB), {}, PLAIN, 10),
    "several pages": ("p.tif", COLOUR_PICTURE, {"append_images": [picture(GREY)]}, COLOURS, 0),
    "WebP": ("p.webp", COLOUR_PICTURE, {"lossless": True}, COLOURS, 0),
    "WebP with alpha": ("p.webp", picture(RGBA), {"lossless": True, "exact": True}, OVER, 1),
    "animated WebP": (
        *("p.webp", COLOUR_PICTURE, {"lossless": True, "append_images": [picture(PLAIN)]}),
        *(COLOURS, 0),
    ),
    "GIF": ("p.gif", PALETTE, {}, MAPPED, 0),
    "animated GIF": ("p.gif", PALETTE, {"append_images": [picture(GREY)]}, MAPPED, 0),
    "transparent GIF": ("p.gif", PALETTE, {"transparency": 0}, FIRST_GONE, 0),
    "BMP, upper case": ("P.BMP", COLOUR_PICTURE, {}, COLOURS, 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_gives_its_pixels(tmp_path, kind):
    name, content, options, expected, tolerance = KINDS[kind]
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.save(path, **{"save_all": True} if "append_images" in options else {}, **options)
    loaded = images.load_image(path, H, W)
    assert loaded.shape == (H, W, 3)
    assert loaded.dtype == np.uint8
    assert loaded.flags.writeable
    np.testing.assert_allclose(loaded.astype(int), expected, rtol=0, atol=tolerance)
    assert images.fit_size(path, 72) == (48, 72)


# EXIF orientation: what a viewer does with the stored pixels
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.tif", "p.webp"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_phone_s_picture_stands_upright(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(COLOURS).save(tmp_path / name, exif=exif, quality=95)
    upright = TURNS[orientation](COLOURS)
    assert images.fit_size(tmp_path / name, 36) == upright.shape[:2]
    loaded = images.load_image(tmp_path / name, *upright.shape[:2]).astype(int)
    np.testing.assert_allclose(loaded, upright, rtol=0, atol=12)


def test_a_camera_s_odd_exif_does_no_harm(tmp_path):
    """Software (0x131) as a float: Pillow reads it and cannot write it back, as turning does."""
    entries = struct.pack("<HHII", 0x112, 3, 1, 6) + struct.pack("<HHIf", 0x131, 11, 1, 2.5)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    picture(COLOURS).save(tmp_path / "p.jpg", exif=exif, quality=95)
    loaded = images.load_image(tmp_path / "p.jpg", W, H).astype(int)
    np.testing.assert_allclose(loaded, TURNS[6](COLOURS), rtol=0, atol=12)


# --- colours --------------------------------------------------------------------------------------


def profile(space, tags, version=0x04200000):
    """Write an ICC profile: space "RGB ", "GRAY" or "CMYK", tags from name to data."""
    tags = {b"desc": mluc("made for a test"), b"cprt": mluc("CC0"), b"wtpt": xyz(WHITE)} | tags
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    kind, connection = (b"prtr", b"Lab ") if space == b"CMYK" else (b"mntr", b"XYZ ")
    head = struct.pack(">I4sI4s4s4s", 0, b"lcms", version, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(WHITE)[8:]
    data = head + bytes(128 - len(head)) + table + body
    return struct.pack(">I", len(data)) + data[4:]


def mluc(text):
    text = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"GB", len(text), 28) + text


def xyz(values):
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def para(*values):
    """Write a curve: a power, or sRGB's with its straight beginning."""
    kind = {1: 0, 5: 3}[len(values)]
    values = b"".join(struct.pack(">i", round(v * 65536)) for v in values)
    return b"para" + struct.pack(">4xHH", kind, 0) + values


WHITE = 0.9642, 1.0, 0.8249  # D50, to which every profile refers
SRGB_CURVE = para(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# Display P3, as telephones embed it: columns are its red, green and blue in XYZ under D50
P3 = np.array(
    [[0.51512, 0.29198, 0.1571], [0.2412, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
P3_PROFILE = profile(
    b"RGB ",
    {name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), P3.T, strict=True)}
    | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), SRGB_CURVE),
)
SRGB = np.array(  # the same of sRGB
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]]
)
BRIGHT_GREY = profile(b"GRAY", {b"kTRC": para(1.4)})


def mft1(corners):
    """Write a table from ink to Lab of two levels each: corners (2, 2, 2, 2, 3), uint8."""
    head = b"mft1" + struct.pack(">4xBBBx", 4, 3, 2)
    ramp = bytes(range(256))
    matrix = b"".join(struct.pack(">i", 65536 * v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return head + matrix + 4 * ramp + corners.tobytes() + 3 * ramp


def encode_srgb(linear):
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decode_srgb(levels):
    levels = levels / 255
    return np.where(levels < 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def p3_in_srgb(levels):
    return encode_srgb(decode_srgb(levels) @ P3.T @ np.linalg.inv(SRGB).T)


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.tif", "p.webp"])
def test_a_telephone_s_display_p3_becomes_srgb(tmp_path, name):
    red = np.full((H, W, 3), (200, 30, 30), np.uint8)
    options = {"lossless": True} if name == "p.webp" else BEST
    picture(red).save(tmp_path / name, icc_profile=P3_PROFILE, **options)
    loaded = images.load_image(tmp_path / name, H, W)[H // 2, W // 2].astype(int)
    np.testing.assert_allclose(loaded, (220, 0, 0), atol=7)
    np.testing.assert_allclose(loaded, p3_in_srgb(red)[0, 0], atol=3)


def test_every_colour_of_a_profile_becomes_srgb(tmp_path):
    picture(COLOURS).save(tmp_path / "p.png", icc_profile=P3_PROFILE)
    loaded = images.load_image(tmp_path / "p.png", H, W).astype(int)
    np.testing.assert_allclose(loaded, p3_in_srgb(COLOURS), rtol=0, atol=2)


def test_a_profile_leaves_transparency_alone(tmp_path):
    picture(RGBA).save(tmp_path / "p.png", icc_profile=P3_PROFILE)
    loaded = images.load_image(tmp_path / "p.png", H, W).astype(int)
    np.testing.assert_allclose(loaded, over_white(p3_in_srgb(COLOURS), ALPHA), rtol=0, atol=3)


def test_a_palette_s_profile_holds_for_its_colours(tmp_path):
    PALETTE.save(tmp_path / "p.png", icc_profile=P3_PROFILE)
    loaded = images.load_image(tmp_path / "p.png", H, W).astype(int)
    np.testing.assert_allclose(loaded, p3_in_srgb(TABLE[GREY]), rtol=0, atol=2)


def test_a_grey_profile_says_how_bright_grey_is(tmp_path):
    picture(GREY).save(tmp_path / "p.png", icc_profile=BRIGHT_GREY)
    loaded = images.load_image(tmp_path / "p.png", H, W).astype(int)
    np.testing.assert_allclose(loaded, encode_srgb((PLAIN / 255) ** 1.4), rtol=0, atol=3)


def test_a_press_s_profile_says_what_its_inks_look_like(tmp_path):
    """In this one, all that counts is magenta, and it is a grey: from L* 100 to L* 0."""
    corners = np.full((2, 2, 2, 2, 3), 128, np.uint8)  # a* = b* = 0
    corners[..., 0] = np.array([255, 0], np.uint8)[None, :, None, None]
    inks = Image.merge("CMYK", [picture(a) for a in (GREY, ALPHA, GREY, 0 * GREY)])
    inks.save(tmp_path / "p.tif", icc_profile=profile(b"CMYK", {b"A2B0": mft1(corners)}))
    loaded = images.load_image(tmp_path / "p.tif", H, W).astype(int)
    lightness = 100 * (1 - ALPHA / 255)
    luminance = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    np.testing.assert_allclose(loaded, as_rgb(encode_srgb(luminance)), rtol=0, atol=9)


@pytest.mark.parametrize(
    "data",
    [
        *(b"x", bytes(200), P3_PROFILE[:150], P3_PROFILE[:300], P3_PROFILE[:36] + bytes(500)),
        *(BRIGHT_GREY, profile(b"CMYK", {})),
    ],
    ids=["short", "zeros", "no tags", "cut off", "no colours", "grey", "inks"],
)
def test_a_profile_that_is_broken_or_does_not_fit_changes_nothing(tmp_path, data, capfd):
    picture(COLOURS).save(tmp_path / "p.png", icc_profile=data)
    np.testing.assert_array_equal(images.load_image(tmp_path / "p.png", H, W), COLOURS)
    assert capfd.readouterr() == ("", "")


def test_a_picture_in_srgb_keeps_its_pixels(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture(COLOURS).save(tmp_path / "p.png", icc_profile=srgb)
    np.testing.assert_array_equal(images.load_image(tmp_path / "p.png", H, W), COLOURS)


# --- what telephones make ------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
def test_heic_is_read_upright_and_in_srgb(tmp_path, orientation):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = heif.from_pillow(picture(COLOURS))
    file.info["icc_profile"] = P3_PROFILE
    file.save(tmp_path / "IMG_1.HEIC", quality=-1, chroma=444, exif=exif.tobytes())
    upright = TURNS[orientation](p3_in_srgb(COLOURS))
    assert images.fit_size(tmp_path / "IMG_1.HEIC", 36) == upright.shape[:2]
    loaded = images.load_image(tmp_path / "IMG_1.HEIC", *upright.shape[:2]).astype(int)
    np.testing.assert_allclose(loaded, upright, rtol=0, atol=8)


def test_without_pillow_heif_the_refusal_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    message = r"photo\.jpg is an HEIC image, which needs pillow-heif: run .* -m pip install pillow"
    refused(message, images.load_image, bad_picture("HEIC", tmp_path))
    refused(message, images.fit_size, tmp_path / "photo.jpg")


# --- every size ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5000, 1), (1, 5000), (2, 3)])
def test_tiny_and_thin_pictures_fill_the_graph(tmp_path, height, width):
    path = tmp_path / "p.png"
    Image.new("RGB", (width, height), (10, 20, 30)).save(path)
    loaded = images.load_image(path)
    np.testing.assert_array_equal(loaded, np.broadcast_to((10, 20, 30), (300, 400, 3)))
    fitted = images.fit_size(path)
    assert (max(fitted), min(fitted) >= 16) == (400, True)
    assert images.load_image(path, *fitted).shape == (*fitted, 3)


def test_a_large_jpeg_keeps_its_brightness_and_its_middle(tmp_path):
    """A ramp of 3000 pixels, decoded at an eighth of that: 20 even steps, symmetric to grey."""
    ramp = np.broadcast_to(np.linspace(0, 255, 3000), (1500, 3000)).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "p.jpg", quality=95)
    loaded = images.load_image(tmp_path / "p.jpg", 10, 20)[5, :, 0]
    np.testing.assert_allclose(loaded, (np.arange(20) + 0.5) * 255 / 20, atol=1.5)


def test_a_phone_s_200_megapixels_need_little_memory(tmp_path):
    """All its pixels are 600 MB in RGB; with 150 MB more than now it must work."""
    resource = pytest.importorskip("resource")
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs Linux's account of memory")
    path = tmp_path / "p.jpg"
    Image.new("L", (16320, 12240), 77).save(path)
    now = int(statm.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 150_000_000, hard))
    try:
        assert images.fit_size(path, 800) == (600, 800)
        loaded = images.load_image(path, 300, 400)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert loaded.shape == (300, 400, 3)
    assert np.ptp(loaded) == 0


def test_above_pillow_s_limit_a_picture_loads_and_nothing_is_printed(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", H * W - 1)
    picture(COLOURS).save(tmp_path / "p.png")
    np.testing.assert_array_equal(images.load_image(tmp_path / "p.png", H, W), COLOURS)
    assert capfd.readouterr() == ("", "")


# --- what is no picture --------------------------------------------------------------------------


def bad_picture(kind, folder):
    """Make a bad input; return the path to load."""
    path = folder / "photo.jpg"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        getattr(os, "mkfifo", lambda _: pytest.skip("needs named pipes"))(path)
    elif kind in ELSEWHERE:
        picture(COLOURS).save(folder / "Fotograph.JPEG")
        return ELSEWHERE[kind].format(folder)
    elif kind in STARTS:
        path.write_bytes(STARTS[kind])
    elif kind == "200 megapixels":
        header = png(np.zeros((1, 1, 1), np.uint16))
        size = b"IHDR" + struct.pack(">II", 20000, 10000) + header[24:29]
        path.write_bytes(header[:12] + size + struct.pack(">I", zlib.crc32(size)) + header[33:])
    elif kind in ("NaN", "infinity"):
        path = path.with_suffix(".tif")
        pixels = np.ones((H, W), np.float32)
        pixels[3, 4] = np.nan if kind == "NaN" else np.inf
        picture(pixels).save(path)
    elif kind == "truncated":
        picture(COLOURS).save(path)
        path.write_bytes(path.read_bytes()[:-20])
    elif kind == "broken PNG":
        path = path.with_suffix(".png")
        picture(COLOURS).save(path)
        path.write_bytes(path.read_bytes()[:-30])
    return path


ELSEWHERE = {
    "address": "https://example.org/photo.jpg",
    "near name": "{}/PHOTOGRAPH.JPEG",
    "no folder": "{}/holidays/photo.jpg",
}
STARTS = {
    "empty": b"",
    "zeros": bytes(1000),
    "HTML": b"<!DOCTYPE html><html><body>Not Found</body></html>",
    "text": b"the picture is on my other computer",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    "PDF": b"%PDF-1.7\n" + bytes(100),
    "only a JPEG's start": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "NumPy array": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}",
}
NO_PICTURE = (
    r"photo.jpg is not an image that can be read \(it starts with b.* bytes\): save it as JPEG"
)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        *((kind, NO_PICTURE) for kind in STARTS),
        ("missing", r"photo\.jpg not found: check the name of the image$"),
        ("near name", r"PHOTOGRAPH\.JPEG not found: did you mean .*Fotograph\.JPEG\?$"),
        ("no folder", r"holidays.photo\.jpg not found: check the folder .*holidays$"),
        ("folder", r"photo\.jpg is a folder, not an image: name an image in it$"),
        ("pipe", r"photo\.jpg is a pipe or a device, not an image: name a file$"),
        ("address", r"^https://example\.org/photo\.jpg is a web address: download the image and"),
        ("truncated", r"is a corrupt or truncated JPEG \(.+\): copy it again"),
        ("broken PNG", r"is a corrupt or truncated PNG \(.+\): copy it again"),
        (
            "NaN",
            r"is a corrupt or truncated TIFF .*\(NaN or infinity among its values\): copy it again, or save",
        ),
        ("infinity", r"is a corrupt or truncated TIFF .*\(NaN or infinity among its values\)"),
        ("200 megapixels", r"has more than 179 megapixels, .*: save it smaller or as JPEG$"),
    ],
)
@pytest.mark.parametrize("function", [images.load_image, images.fit_size])
def test_what_is_no_picture_gets_one_sentence(tmp_path, kind, message, function):
    path = bad_picture(kind, tmp_path)
    if function is images.fit_size and kind in ("truncated", "NaN", "infinity"):
        assert images.fit_size(path) == (267, 400)  # the size is well even so
    else:
        refused(message, function, path)


def test_a_name_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    picture(COLOURS).save(tmp_path / "photo.png")
    assert images.fit_size("~/photo.png", 36) == (H, W)
    np.testing.assert_array_equal(images.load_image("~/photo.png", H, W), COLOURS)
    refused(r"nowhere\.png not found: check the name", images.load_image, "~/nowhere.png")


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.gif", "p.webp", "p.tif", "p.bmp"])
def test_a_picture_cut_anywhere_never_loads_wrong(tmp_path, name):
    path = tmp_path / name
    picture(COLOURS).save(path)
    whole, data = images.load_image(path, H, W), path.read_bytes()
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(data), 20):
        path.write_bytes(data[:length])
        try:
            loaded = images.load_image(path, H, W)
        except ValueError:
            refused(
                r"p\.\w+ is (not an image|a corrupt) .*: (save it|copy it)",
                images.load_image,
                path,
            )
        else:  # only the end mark was lost
            np.testing.assert_array_equal(loaded, whole)


def test_a_picture_that_may_not_be_read_gets_one_sentence(folder_for_all):
    path = folder_for_all / "p.png"
    picture(COLOURS).save(path)
    path.chmod(0)
    message = (
        r"p\.png cannot be opened \(Permission denied\): check its name, and that you may read"
    )
    as_nobody(refused, message, images.load_image, path)


@pytest.mark.parametrize("size", [(0, 40), (30, -1), (30.0, 40), ("30", 40), (None, 40)])
def test_a_size_that_is_none_gets_one_sentence(tmp_path, size):
    picture(COLOURS).save(tmp_path / "p.png")
    message = r"^the (height|width) is .+: give a whole number of pixels, 1 or more$"
    refused(message, images.load_image, tmp_path / "p.png", *size)


def test_a_size_beyond_all_memory_is_refused_at_once(tmp_path):
    path = tmp_path / "p.png"
    picture(COLOURS).save(path)
    message = (
        r"^reading a picture at 1000000000×666666667 pixels takes 8,000,000,004 GB of memory, but"
    )
    with pytest.raises(MemoryError, match=message):
        images.fit_size(path, 10**9)
    with pytest.raises(MemoryError, match=message):
        images.load_image(path, 666_666_667, 10**9)


@pytest.mark.parametrize("longest", [0, 15, -400, 400.5, "400"])
def test_a_longest_side_that_vgg_cannot_use_gets_one_sentence(tmp_path, longest):
    picture(COLOURS).save(tmp_path / "p.png")
    message = r"^the longest side is .+: give a whole number of pixels, 16 or more$"
    refused(message, images.fit_size, tmp_path / "p.png", longest)


# --- arrays --------------------------------------------------------------------------------------


def with_value(array, value):
    array = array.astype(np.float32)
    array.flat[5] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (GREY, r"^the picture has shape \(24, 36\), the graph takes \(24, 36, 3\): read it with"),
        (RGBA, r"^the picture has shape \(24, 36, 4\), the graph takes"),
        (COLOURS[None], r"^the picture has shape \(1, 24, 36, 3\), the graph takes"),
        (COLOURS.transpose(1, 0, 2), r"^the picture has shape \(36, 24, 3\), the graph takes"),
        (None, r"^the picture has shape \(\), the graph takes"),
        (
            COLOURS.astype(complex),
            r"^the picture holds complex128, not numbers from 0 to 255: read",
        ),
        (COLOURS.astype(object), r"^the picture holds object, not"),
        (COLOURS.astype(str), r"^the picture holds <U3, not"),
        (COLOURS > 99, r"^the picture holds bool, not"),
        (with_value(COLOURS, np.nan), r"^the picture's values reach from nan to nan, not from 0"),
        (with_value(COLOURS, np.inf), r"^the picture's values reach from 0 to inf, not from 0 to"),
        (
            DEEP_COLOURS,
            r"^the picture's values reach from 7 to 65\d+, not from 0 to 255: normalise",
        ),
        (COLOURS - CONFIG.MEANS[0], r"^the picture's values reach from -123.68 to .* picture once"),
        (COLOURS / 255, r"^the picture's values end at 1, so white is 1, not 255: multiply them"),
    ],
)
def test_an_array_that_is_no_picture_gets_one_sentence(array, message):
    refused(message, images.reshape_and_normalize_image, array, H, W)


IMAGE = images.reshape_and_normalize_image(COLOURS, H, W)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            with_value(IMAGE, np.nan),
            r"^the image holds NaN or infinity in 1 of 2,592 values, .*: low",
        ),
        (with_value(IMAGE, -np.inf), r"^the image holds NaN or infinity in 1 of 2,592 values"),
        (IMAGE[0], r"^the image is float32 of shape \(24, 36, 3\), a normalised one is float of"),
        (IMAGE[None], r"^the image is float32 of shape \(1, 1, 24, 36, 3\), a normalised"),
        (IMAGE[..., :1], r"^the image is float32 of shape \(1, 24, 36, 1\), a normalised"),
        (
            np.concatenate([IMAGE, IMAGE]),
            r"^the image is float32 of shape \(2, 24, 36, 3\), a norm",
        ),
        (IMAGE[:, :0], r"^the image is float32 of shape \(1, 0, 36, 3\), a normalised"),
        (np.zeros(()), r"^the image is float64 of shape \(\), a normalised one is float of"),
        (COLOURS[None], r"^the image is uint8 .*: make it with reshape_and_normalize_image$"),
        (IMAGE.astype(complex), r"^the image is complex64|complex128 of"),
        (IMAGE.astype(str), r"^the image is <U32 of"),
        ("generated_image", r"^the image is <U15 of shape \(\), a normalised"),
    ],
)
def test_an_array_that_is_no_image_is_not_saved(tmp_path, array, message):
    path = tmp_path / "p.png"
    path.write_bytes(b"the old one")
    refused(message, images.save_image, path, array)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


# --- where to save -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "p.jpge",
            r"p\.jpge has the unknown extension \.jpge: end the picture's name in one of",
        ),
        ("p.ipynb", r"p\.ipynb has the unknown extension \.ipynb: end"),
        ("p", r"p has no extension: end the picture's name in one of \.jpg \.jpeg \.png"),
        ("new/p.png.", r"p\.png\. has .* extension.*: end"),
        ("folder.png", r"folder\.png is a folder, not a picture: choose another name$"),
        ("file/p.png", r"^cannot create folder .*file \(.+\): choose a different output folder$"),
        (
            "file/new/p.png",
            r"^cannot create folder .*new \(.+\): choose a different output folder$",
        ),
    ],
)
def test_a_path_that_cannot_be_saved_to_is_found_before_any_work(tmp_path, name, message):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("in the way")
    before = sorted(tmp_path.rglob("*"))
    refused(message, images.check_picture_path, tmp_path / name)
    refused(message, images.save_image, tmp_path / name, IMAGE)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_read_only_folder_is_found_before_any_work(folder_for_all):
    folder_for_all.chmod(0o555)
    message = r"p\.png cannot be written \(Permission denied\): free some disk space, or choose"
    as_nobody(refused, message, images.check_picture_path, folder_for_all / "p.png")
    as_nobody(refused, message, images.save_image, folder_for_all / "p.png", IMAGE)
    assert list(folder_for_all.iterdir()) == []


def test_the_check_makes_the_folder_and_nothing_in_it(tmp_path):
    images.check_picture_path(tmp_path / "new" / "folder" / "P.PNG")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


@pytest.mark.parametrize("extension", images.PICTURE_EXTENSIONS)
def test_a_full_disk_leaves_the_old_picture(tmp_path, extension):
    """The system lets no file grow beyond 2,000 bytes; the picture needs more."""
    resource = pytest.importorskip("resource")
    path = tmp_path / f"p{extension}"
    path.write_bytes(b"the old one")
    noise = np.random.default_rng(0).uniform(-99, 99, (1, 99, 99, 3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        refused(r"cannot be written \(.*\): free some disk space", images.save_image, path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_at_the_last_moment_leaves_the_old_picture(tmp_path, monkeypatch):
    path = tmp_path / "p.png"
    path.write_bytes(b"the old one")

    def fail(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    message = r"p\.png cannot be written \(No space left on device\): free some disk space, or"
    refused(message, images.save_image, path, IMAGE)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_an_image_beyond_the_format_s_limit_gets_one_sentence(tmp_path):
    """WebP's sides end at 16,383 pixels."""
    image = np.zeros((1, 1, 16384, 3), np.float32)
    message = r"p\.webp cannot hold pixels of shape \(1, 16384, 3\) \(.+\): save them as PNG$"
    refused(message, images.save_image, tmp_path / "p.webp", image)
    assert list(tmp_path.iterdir()) == []


# --- weight files --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["filters", "beta16", "current"])
def test_weights_cut_at_20_places_never_load_wrong(tmp_path, layout):
    path = tmp_path / "vgg.mat"
    write_fake_vgg(path, layout)
    data, convolutions = path.read_bytes(), fake_convolutions()
    message = (
        r"vgg\.mat is not a complete MatConvNet weight file .* [\d,]+ bytes\): move it away and run"
    )
    refusals = 0
    for length in np.random.default_rng(0).integers(0, len(data), 20):
        path.write_bytes(data[:length])
        try:
            _, weights = read_vgg(path)
        except ValueError:
            refused(message, read_vgg, path)
            refusals += 1
        else:  # the cut is behind the layers
            for name, pair in convolutions.items():
                for got, expected in zip(weights[name], pair, strict=True):
                    np.testing.assert_array_equal(got, expected)
    assert refusals >= 18


# --- properties ----------------------------------------------------------------------------------

# mode of Pillow: the formats that store it
MODES = {
    "1": ("PNG", "TIFF", "BMP", "PPM"),
    "L": ("PNG", "TIFF", "BMP", "PPM", "JPEG", "GIF", "WEBP"),
    "LA": ("PNG", "TIFF"),
    "P": ("PNG", "TIFF", "BMP", "GIF"),
    "PA": ("TIFF",),
    "RGB": ("PNG", "TIFF", "BMP", "PPM", "JPEG", "GIF", "WEBP"),
    "RGBA": ("PNG", "TIFF", "WEBP", "GIF"),
    "CMYK": ("TIFF", "JPEG"),
    "YCbCr": ("TIFF", "JPEG"),
    "LAB": ("TIFF",),
    "I": ("TIFF",),
    "I;16": ("TIFF", "PNG"),
    "F": ("TIFF",),
}
KIND = st.sampled_from([(mode, kind) for mode, kinds in MODES.items() for kind in kinds])
SIDE = st.integers(1, 40)
SEED = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


def random_picture(mode, width, height, seed):
    rng = np.random.default_rng(seed)
    if mode == "F":
        return picture(rng.normal(0, 10.0 ** rng.integers(-3, 9), (height, width)).astype("f4"))
    if mode.startswith("I"):
        kind = np.uint16 if mode == "I;16" else np.int32
        return picture(rng.integers(0, 65536, (height, width), dtype=kind))
    length = len(Image.new(mode, (width, height)).tobytes())
    image = Image.frombytes(mode, (width, height), rng.bytes(length))
    if mode in ("P", "PA"):
        image.putpalette(rng.bytes(768))
    return image


@repeatable
@given(kind=KIND, source=st.tuples(SIDE, SIDE), target=st.tuples(SIDE, SIDE), seed=SEED)
def test_any_picture_takes_any_shape(folder, kind, source, target, seed):
    mode, extension = kind
    path = folder / f"p.{extension}"
    random_picture(mode, *source, seed).save(path, extension)
    loaded = images.load_image(path, *target)
    assert loaded.shape == (*target, 3)
    assert loaded.dtype == np.uint8
    image = images.reshape_and_normalize_image(loaded, *target)
    assert image.shape == (1, *target, 3)
    assert image.dtype == np.float32
    assert image.min() >= -124
    assert image.max() <= 255 - 103


@repeatable
@given(source=st.tuples(SIDE, SIDE), target=st.tuples(SIDE, SIDE), seed=SEED)
def test_the_crop_is_about_the_centre(folder, source, target, seed):
    """So the mirror image of a picture gives the mirror image."""
    path = folder / "mirror.png"
    original = random_picture("RGB", *source, seed)
    original.save(path)
    loaded = images.load_image(path, *target).astype(int)
    original.transpose(Image.Transpose.ROTATE_180).save(path)
    mirrored = images.load_image(path, *target)[::-1, ::-1]
    np.testing.assert_allclose(mirrored, loaded, rtol=0, atol=2)  # two passes of rounding


@repeatable
@given(source=st.tuples(st.integers(1, 999), st.integers(1, 999)), longest=st.integers(16, 999))
def test_the_fitted_size_has_the_longest_side_and_the_picture_s_shape(folder, source, longest):
    path = folder / "size.bmp"
    Image.new("1", source).save(path)
    height, width = images.fit_size(path, longest)
    assert max(height, width) == longest
    exact = longest * min(source) / max(source)
    assert abs(min(height, width) - max(16, exact)) <= 0.5


@repeatable
@given(
    shape=st.tuples(SIDE, SIDE),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    scale=st.sampled_from([1, 50, 150, 10000]),
    seed=SEED,
)
def test_a_saved_image_loads_within_one_grey_level(folder, shape, dtype, scale, seed):
    image = np.random.default_rng(seed).uniform(-scale, scale, (1, *shape, 3)).astype(dtype)
    images.save_image(folder / "image.png", image)
    loaded = images.load_image(folder / "image.png", *shape)
    exact = np.clip(image[0].astype(float) + np.array([123.68, 116.779, 103.939]), 0, 255)
    np.testing.assert_allclose(loaded, exact, rtol=0, atol=1)


@repeatable
@given(
    shape=st.tuples(SIDE, SIDE),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int64", "float16", "float32", "float64"]),
    seed=SEED,
)
def test_a_normalised_picture_is_saved_as_it_was(folder, shape, dtype, seed):
    pixels = np.random.default_rng(seed).integers(2, 256, (*shape, 3)).astype(dtype)
    image = images.reshape_and_normalize_image(pixels, *shape)
    images.save_image(folder / "pixels.png", image)
    np.testing.assert_array_equal(images.load_image(folder / "pixels.png", *shape), pixels)


@pytest.mark.parametrize("name", ["strokes.jpg", "strokes.JPEG"])
def test_a_jpeg_looks_like_the_image(tmp_path, name):
    """Red and blue strokes, 2 pixels wide: Pillow's own settings give 18 dB, colours blurred."""
    strokes = np.where(np.arange(64) % 4 < 2, [[200], [60], [40]], [[40], [60], [200]]).T
    pixels = np.broadcast_to(strokes, (48, 64, 3)).astype(np.uint8)
    image = images.reshape_and_normalize_image(pixels, 48, 64)
    images.save_image(tmp_path / name, image)
    loaded = images.load_image(tmp_path / name, 48, 64).astype(float)
    noise = np.square(loaded - pixels).mean()
    assert 10 * np.log10(255**2 / noise) > 30


# --- the course's helpers ---------------------------------------------------------------------


def test_means_are_rgb_in_vgg_s_order():
    assert CONFIG.MEANS.shape == (1, 1, 1, 3)
    np.testing.assert_array_equal(CONFIG.MEANS.ravel(), [123.68, 116.779, 103.939])


def test_normalising_subtracts_the_mean_colour():
    picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    image = images.reshape_and_normalize_image(picture)
    assert image.shape == (1, 300, 400, 3)
    np.testing.assert_allclose(image[0, :, :, 1], picture[:, :, 1] - 116.779, rtol=1e-5)
    np.testing.assert_array_equal(images.to_pixels(image), picture)


def test_a_picture_of_another_size_than_the_graph_gets_one_sentence():
    with pytest.raises(ValueError, match=r"^the picture has shape \(30, 40, 3\), the graph takes"):
        images.reshape_and_normalize_image(np.zeros((30, 40, 3)))
    assert images.reshape_and_normalize_image(np.zeros((30, 40, 3)), 30, 40).shape[1] == 30


def test_noise_is_the_course_s_draw():
    """`uniform(-20, 20)` for a 300x400 image right after `seed(3)` and the two numbers of J."""
    content = np.ones((1, 300, 400, 3), np.float32)
    np.random.seed(3)
    np.random.randn(2)
    image = images.generate_noise_image(content)
    draw = np.random.RandomState(3)
    draw.randn(2)
    noise = draw.uniform(-20, 20, (1, 300, 400, 3))
    np.testing.assert_allclose(image, 0.6 * noise + 0.4, rtol=1e-4, atol=1e-5)


def test_saving_and_loading_keeps_the_pixels(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image = images.reshape_and_normalize_image(picture, 30, 40)
    images.save_image(tmp_path / "new" / "picture.png", image)
    loaded = images.load_image(tmp_path / "new" / "picture.png", 30, 40)
    np.testing.assert_array_equal(loaded, picture)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["picture.png"]  # no leftovers


def test_saving_clips_and_rounds():
    image = np.array([-500.0, 0.6, 500.0]).reshape(1, 1, 1, 3) - CONFIG.MEANS
    np.testing.assert_array_equal(images.to_pixels(image), [[[0, 1, 255]]])


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"the old one")
    with pytest.raises(ValueError, match=r"^the image is float64 of shape \(\), a normalised"):
        images.save_image(path, np.zeros(()))
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_loaded_picture_is_cropped_and_never_stretched(tmp_path):
    """A red square in the middle of a wide blue picture stays a square."""
    picture = np.zeros((60, 200, 3), np.uint8)
    picture[..., 2] = 255
    picture[10:50, 80:120] = 255, 0, 0
    Image.fromarray(picture).save(tmp_path / "wide.png")
    loaded = images.load_image(tmp_path / "wide.png", 30, 40)
    assert loaded.shape == (30, 40, 3)
    red = np.argwhere(loaded[..., 0] > 127)
    assert np.ptp(red, axis=0).tolist() == [19, 19]  # 40 of 200x60 -> 20 of 40x30 (scale 1/2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"picture\.jpg not found: check the name of the image$"),
        (b"", r"picture\.jpg is not an image that can be read .* 0 bytes\): save it as JPEG"),
        (b"<!DOCTYPE html><html></html>", r"is not an image that can be read"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", r"is not an image that can be read"),
    ],
)
def test_a_bad_picture_gets_one_sentence(tmp_path, content, message):
    path = tmp_path / "picture.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((FileNotFoundError, ValueError), match=message) as caught:
        images.load_image(path)
    assert caught.value.__suppress_context__


def test_an_animation_holds_every_picture(tmp_path):
    levels = [np.full((6, 8, 3), level, np.uint8) for level in (0, 128, 255)]
    images.save_animation(tmp_path / "a.gif", levels)
    frames = imageio.imread(tmp_path / "a.gif")
    assert frames.shape == (3, 6, 8, 3)
    assert np.abs(frames[:, 0, 0, 0].astype(int) - [0, 128, 255]).max() <= 2
