"""Cutting an image that does not fit into memory into tiles.

A tile owns some pixels and sees a halo around them. One position of conv5_1, the deepest layer of
the costs, has a cell of 16×16 pixels and a receptive field that reaches 70 pixels beyond it on each
side, 156×156 in all (`receptive_field`). A position belongs to the tile that owns its cell. Cuts
and halos are multiples of 16, so that pooling a tile groups the same pixels as pooling the whole
image; the halo is 80 pixels. If the deepest layer is conv4_2, cells are 8×8 and the halo is 40. At
the image's border the halo ends, as zero padding starts there for the whole image as well.
"""

import math
from itertools import pairwise, product
from typing import NamedTuple

from nst.vgg.weights import layer_names

DEEPEST = "conv5_1"  # layer of the costs
TILED_COST_FACTOR = 1.5  # two passes over a tile cost 1.5 untiled evaluations


def receptive_field(layer):
    """Return what a layer's first position sees, away from borders, in each direction.

    Returns:
    cell -- pixels from one position to the next; range(cell) are the position's own
    first, end -- range(first, end) are the pixels that it sees
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
    """Return the width of a tile's halo in pixels, a whole number of cells."""
    cell, first, _ = receptive_field(deepest)
    return -cell * (first // cell)


class Span(NamedTuple):
    """One side of a tile: it owns the pixels [begin, end) and sees [first, last)."""

    begin: int
    end: int
    first: int
    last: int

    def positions(self, cell):
        """Return the half-open range of a layer's positions that belong to the tile.

        Arguments:
        cell -- pixels from one position of the layer to the next

        Returns:
        (begin, end), counted from the first position that the tile sees
        """
        before = self.first // cell
        return self.begin // cell - before, -(-self.end // cell) - before


class Tile(NamedTuple):
    """One tile of an image."""

    rows: Span
    columns: Span

    def window(self, image):
        """Return the part of an image (1, h, w, 3) that the tile sees: a view."""
        rows, columns = (slice(span.first, span.last) for span in self)
        return image[:, rows, columns]

    def positions(self, cell):
        """Return (top, bottom, left, right), half-open: see `Span.positions`."""
        return [edge for span in self for edge in span.positions(cell)]

    def count(self, cell):
        """Return the number of positions that belong to the tile."""
        top, bottom, left, right = self.positions(cell)
        return (bottom - top) * (right - left)


def cut(height, width, limit=math.inf, deepest=DEEPEST):
    """Cut an image into tiles that see at most `limit` pixels each.

    Arguments:
    deepest -- deepest layer of the costs

    Returns:
    list of Tile that see as few pixels as possible in all; a single one if the image fits

    Raises ValueError if no tile is small enough.
    """
    choices = [
        (rows.seen * columns.seen, rows.spans, columns.spans)
        for rows, columns in product(_divisions(height, deepest), _divisions(width, deepest))
        if rows.longest * columns.longest <= limit
    ]
    if not choices:
        least = 2 * receptive_field(deepest)[0] + 2 * halo(deepest)
        raise ValueError(
            f"a tile of {limit:.0f} pixels is too small for {deepest}: allow {least}×{least} pixels"
        )
    _, rows, columns = min(choices)
    return [Tile(*spans) for spans in product(rows, columns)]


def pixels_to_see(tiles):
    """Return the work of one evaluation, in pixels of an image that is not cut."""
    seen = sum((r.last - r.first) * (c.last - c.first) for r, c in tiles)
    return seen if len(tiles) == 1 else TILED_COST_FACTOR * seen


class _Division(NamedTuple):
    spans: list
    seen: int  # pixels that all of them see
    longest: int


def _divisions(length, deepest):
    """List the ways to divide a side of an image into spans of two cells or more each."""
    cell, margin = receptive_field(deepest)[0], halo(deepest)
    cells = -(-length // cell)
    divisions = []
    for count in range(1, max(1, cells // 2) + 1):
        edges = [cell * (i * cells // count) for i in range(count)] + [length]
        spans = [
            Span(b, e, max(0, b - margin), min(length, e + margin)) for b, e in pairwise(edges)
        ]
        lengths = [span.last - span.first for span in spans]
        divisions.append(_Division(spans, sum(lengths), max(lengths)))
    return divisions
