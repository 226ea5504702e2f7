"""The contact sheet."""

import numpy as np
from PIL import Image

from nst.gallery import contact_sheet
from nst.gallery.pairs import Pair


def test_the_contact_sheet_shows_content_style_and_result_in_a_row(tmp_path):
    for name in ("red", "lime"):
        Image.new("RGB", (60, 90), name).save(tmp_path / f"{name}.png")
    Image.new("RGB", (60, 90), "blue").save(tmp_path / "one.jpg")
    Image.new("RGB", (90, 45), "red").save(tmp_path / "two.jpg")
    red, green = tmp_path / "red.png", tmp_path / "lime.png"
    pairs = [Pair("one", red, green), Pair("failed", red, red), Pair("two", green, red)]
    contact_sheet.contact_sheet(pairs, tmp_path)

    width, height = contact_sheet.TILE
    with Image.open(tmp_path / "gallery.jpg") as sheet:
        assert sheet.size == (3 * width, 2 * height)
        colours = [
            [round(v / 255) for v in sheet.getpixel(((k + 0.5) * width, (row + 0.6) * height))]
            for row in range(2)
            for k in range(3)
        ]
        pixels = np.asarray(sheet)
    assert np.sum(pixels[height // 2, :width, 1] < 128) == 120  # a portrait keeps its shape
    title = pixels[: height - contact_sheet.LARGEST[1]]
    assert (title.min(), title.max()) == (0, 255)
    red, green, blue = [1, 0, 0], [0, 1, 0], [0, 0, 1]
    assert colours == [red, green, blue, green, red, red]
