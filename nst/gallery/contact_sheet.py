"""A contact sheet: one row of content, style and result for each pair."""

import io
import os
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont, ImageOps

from nst.core.files import whole_file
from nst.core.images import load_image

LARGEST = (240, 180)  # width and height of an image on the sheet, in pixels
TILE = (248, 212)  # the same with title and margin
ROWS = 50  # pairs in a column: the height of a JPEG is limited


def contact_sheet(pairs, output):
    """Write output/gallery.jpg, with a row for each pair that has a result."""
    rows = [(pair.content, pair.style, output / f"{pair.name}.jpg") for pair in pairs]
    rows = [row for row in rows if all(map(os.path.isfile, row))]
    if not rows:
        return
    width, height = 3 * TILE[0], TILE[1]
    columns = -(-len(rows) // ROWS)
    sheet = Image.new("RGB", (columns * width, min(len(rows), ROWS) * height), "white")
    for i, row in enumerate(rows):
        with Image.open(row[-1]) as result:
            size = ImageOps.contain(result, LARGEST).size
        x, y = i // ROWS * width, i % ROWS * height
        for k, path in enumerate(row):
            sheet.paste(_tile(path, size), (x + k * TILE[0], y))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=90)
    with whole_file(output / "gallery.jpg") as file:
        file.write_bytes(buffer.getvalue())


def _tile(path, size):
    """Draw an image, cropped as the lab crops it, in the middle of a tile under its name."""
    tile = Image.new("RGB", TILE, "white")
    title = TILE[1] - LARGEST[1]
    picture = Image.fromarray(load_image(path, height=size[1], width=size[0]))
    tile.paste(picture, ((TILE[0] - size[0]) // 2, title + (LARGEST[1] - size[1]) // 2))
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 13)
    name = path.stem.replace("_", " ")
    ImageDraw.Draw(tile).text((TILE[0] / 2, title - 10), name, "black", font, anchor="mm")
    return tile
