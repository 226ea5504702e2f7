"""Where a picture that is larger than the memory is cut into tiles.

A tile has pixels of its own, and about them a halo that the network sees too. One position of
conv5_1, the deepest layer of the costs, has a cell of 16×16 pixels and looks 70 pixels beyond it on
each side, at 156×156 in all (`receptive_field`). A layer's position belongs to the tile that has
its cell. Cuts and halo are multiples of 16, so that the poolings of a tile halve what those of the
picture halve: the halo is 80. Where the costs end with conv4_2, cells have 8×8 pixels and the halo
is 40. It ends at the picture's edge, where zeros are padded and the last cell is cut off as they
are for the whole picture.
"""

import math
from itertools import pairwise, product
from typing import NamedTuple

from nst.vgg.weights import layer_names

DEEPEST = "conv5_1"  # of the costs' layers
TWICE = 1.5  # what two passes over a tile take, in evaluations of a picture of its size


def receptive_field(layer):
    """Say what a layer's first position looks at, where there is no edge; in each direction.

    Returns:
    cell -- pixels from one position to the next; range(cell) are the position's own
    first, end -- range(first, end) are the pixels that it looks at
    """
    names = layer_names(19)
    cell, first, end = 1, 0, 1
    for name in reversed(names[: names.index(layer) + 1]):
        if name.startswith("conv"):
            first, end = first - 1, end + 1
        else:
            cell, first, end = 2 * cell, 2 * first, 2 * end
    return cell, first, end


def halo(deepest=DEEPEST):
    """Say how many pixels about its own a tile needs for layers down to one: whole cells."""
    cell, first, _ = receptive_field(deepest)
    return -cell * (first // cell)


class Span(NamedTuple):
    """One side of a tile: its own pixels [begin, end), and those that the network sees."""

    begin: int
    end: int
    first: int
    last: int

    def positions(self, step):
        """Count the tile's own positions in a layer with one every `step` pixels."""
        return -(-self.end // step) - self.begin // step


class Tile(NamedTuple):
    """A tile of a picture."""

    rows: Span
    columns: Span

    def window(self, image):
        """Return what the network sees of an image (1, h, w, 3): a view."""
        rows, columns = (slice(span.first, span.last) for span in self)
        return image[:, rows, columns]

    def edges(self):
        """Return top, bottom, left and right of the tile's own pixels in its window."""
        return [edge - span.first for span in self for edge in (span.begin, span.end)]

    def positions(self, step):
        """Count the tile's own positions in a layer with one every `step` pixels."""
        return self.rows.positions(step) * self.columns.positions(step)


def cut(height, width, limit=math.inf, deepest=DEEPEST):
    """Cut a picture into tiles of which the network sees at most `limit` pixels at once.

    Arguments:
    deepest -- layer that the costs have, at or behind CONTENT_LAYER

    Returns:
    list of Tile by which as few pixels as possible are seen in all; one where the picture fits

    Raises ValueError, where no tile is small enough.
    """
    choices = [
        (rows.seen * columns.seen, rows.spans, columns.spans)
        for rows, columns in product(_divisions(height, deepest), _divisions(width, deepest))
        if rows.longest * columns.longest <= limit
    ]
    if not choices:
        cell, first, end = receptive_field(deepest)
        field, least = end - first, cell + 2 * halo(deepest)
        raise ValueError(
            f"tiles of {limit:.0f} pixels are too small: {deepest} looks at {field}×{field}, so "
            f"that the least tile is {least}×{least}"
        )
    _, rows, columns = min(choices)
    return [Tile(*spans) for spans in product(rows, columns)]


def pixels_to_see(height, width, limit=math.inf, deepest=DEEPEST):
    """Say what an evaluation takes, in pixels of a picture that need not be cut; see `cut`."""
    tiles = cut(height, width, limit, deepest)
    seen = sum((r.last - r.first) * (c.last - c.first) for r, c in tiles)
    return seen if len(tiles) == 1 else TWICE * seen


class _Division(NamedTuple):
    spans: list
    seen: int  # pixels that the network sees of them all
    longest: int


def _divisions(length, deepest):
    """List the ways to divide a side of a picture: into 1 span, 2, …, one for each cell."""
    cell, margin = receptive_field(deepest)[0], halo(deepest)
    cells = -(-length // cell)
    divisions = []
    for count in range(1, cells + 1):
        edges = [cell * (i * cells // count) for i in range(count)] + [length]
        spans = [
            Span(b, e, max(0, b - margin), min(length, e + margin)) for b, e in pairwise(edges)
        ]
        lengths = [span.last - span.first for span in spans]
        divisions.append(_Division(spans, sum(lengths), max(lengths)))
    return divisions
