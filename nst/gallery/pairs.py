"""Lists of pairs of images, as spreadsheets save them."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from nst.core.config import PROJECT

OWN_PAIRS = {
    "pyramid": "impressionist",
    "ruins": "starry_swirl",
    "tomb": "kashi",
    "fluid": "blue_abstract",
}


class Pair(NamedTuple):
    """A content image, a style image, and the name of the result without .jpg."""

    name: str
    content: Path
    style: Path


def default_pairs():
    """Return the pairs of the project's own images."""
    images = PROJECT / "images"
    return [
        Pair(f"{content}_{style}", images / f"{content}.jpg", images / f"{style}.jpg")
        for content, style in OWN_PAIRS.items()
    ]


def read_pairs(path):
    """Read a list of pairs: CSV in UTF-8, separated by commas or semicolons.

    Paths in the list are relative to its folder.

    Raises OSError, or ValueError that names the line.
    """
    text = _read_text(path)
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or []]
    if not {"content", "style"} <= set(rows.fieldnames):
        raise ValueError(
            f"{path} has the columns {', '.join(rows.fieldnames) or 'of an empty file'}: begin the "
            "list with a line content,style"
        )
    pairs = {}
    for row in rows:
        cells = {column: (cell or "").strip() for column, cell in row.items() if column}
        if not any(cells.values()):  # spreadsheets leave rows of separators
            continue
        try:
            pair = _pair(cells, path.parent)
            if pair.name.casefold() in pairs:
                raise ValueError(
                    f"would overwrite {pair.name}.jpg of an earlier line: give one of them a "
                    "different name, in a column called name"
                )
        except ValueError as error:
            raise ValueError(f"line {rows.line_num} of {path} {error}") from None
        pairs[pair.name.casefold()] = pair
    if not pairs:
        raise ValueError(f"{path} lists no pairs: put a content and a style image on each line")
    return list(pairs.values())


def _read_text(path):
    try:
        return path.read_text("utf-8-sig")  # Excel begins with a byte-order mark
    except OSError as error:
        raise OSError(
            f"{path} cannot be read ({error.strerror}): name a CSV file of pairs"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text: save it as CSV UTF-8") from None


def _pair(cells, folder):
    """Make a Pair of one line; ValueError messages are written to follow "line 3 of …"."""
    for column in ("content", "style"):
        if not cells[column]:
            raise ValueError(f"has no {column}: name an image there")
    content, style = folder / cells["content"], folder / cells["style"]
    name = cells.get("name") or f"{content.stem}_{style.stem}"
    if Path(name).name != name or name.casefold() == "gallery":
        raise ValueError(f"has the name {name}: choose a different one, without folders")
    return Pair(name, content, style)
