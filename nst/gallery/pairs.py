"""Lists of pairs of pictures, as spreadsheets write them."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from nst.core.config import PROJECT


class Pair(NamedTuple):
    name: str  # of the result, without .jpg
    content: Path
    style: Path


def own_pairs():
    """Return the pairs of the project's own pictures."""
    pairs = {
        "pyramid": "impressionist",
        "ruins": "starry_swirl",
        "tomb": "kashi",
        "fluid": "blue_abstract",
    }
    images = PROJECT / "images"
    return [
        Pair(f"{content}_{style}", images / f"{content}.jpg", images / f"{style}.jpg")
        for content, style in pairs.items()
    ]


def read_pairs(path):
    """Read a list of pairs: CSV in UTF-8, separated by commas, semicolons (Excel) or tabs.

    Raises OSError or ValueError; the message names the line.
    """
    text = _read_text(path)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    pairs, lines = [], {}
    try:
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or []]
        for column in ("content", "style"):
            if column not in rows.fieldnames:
                raise ValueError(f"has no column {column}: begin the list with content,style")
        for row in rows:
            cells = {column: (cell or "").strip() for column, cell in row.items() if column}
            if any(cells.values()):  # spreadsheets leave rows of separators
                pair = _pair(cells, path.parent)
                line = lines.setdefault(pair.name.casefold(), rows.line_num)
                if line != rows.line_num:
                    raise ValueError(
                        f"would make {pair.name}.jpg, as line {line} does: "
                        "give one of them another name, in a column called name"
                    )
                pairs.append(pair)
    except ValueError as error:
        raise ValueError(f"line {max(rows.line_num, 1)} of {path} {error}") from None
    except csv.Error as error:
        raise ValueError(
            f"line {rows.reader.line_num} of {path} is not CSV ({error}): check its quotes"
        ) from None
    if not pairs:
        raise ValueError(f"{path} lists no pairs: put a content and a style on each line")
    return pairs


def _read_text(path):
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig")  # Excel begins with a byte-order mark
    except OSError as error:
        raise OSError(
            f"{path} cannot be read ({error.strerror}): name a CSV file of pairs"
        ) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} of {path} is not UTF-8: save it as CSV UTF-8") from None


def _pair(cells, folder):
    """Make a Pair of one line of a list; what a ValueError says continues "line 3 of …"."""
    for column in ("content", "style"):
        if not cells[column]:
            raise ValueError(f"has no {column}: name a picture there")
    content, style = folder / cells["content"], folder / cells["style"]
    name = cells.get("name") or f"{content.stem}_{style.stem}"
    if Path(name).name != name or name.casefold() == "gallery":
        raise ValueError(f"has the name {name}: choose another, without folders")
    return Pair(name, content, style)
