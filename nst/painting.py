"""Paint a photograph in the manner of a painting, soon: from coarse to fine.

The lab's way (Gatys et al., 2016, with the course's Adam) starts from noise at full size. Each step
moves a pixel by a little, so large strokes never form and speckle stays. Here a small picture is
painted first, enlarged, and painted on. What each choice is for, and where it comes from:

- Levels of 87², then about twice the side each, up to the size asked for (Gatys et al., 2017,
  "Controlling perceptual factors"). The network sees the same share of a small picture whatever the
  final size, so large shapes look alike at every size; a level adds what it alone can show. The
  style picture is shrunk along, and never cropped to the content's shape: its statistics know no
  places, so all of it may speak, at the scale of the content's area.
- Costs without units (nst/costs.py), with the channels' means and deviations beside the Gram
  matrices (Galerne et al., 2024, arXiv 2212.13459).
- Start from the content picture; between levels enlarge what was painted, and put back a part of
  the detail of the photograph that a small picture cannot hold (the difference of two levels, as in
  Burt and Adelson's pyramid, 1983): all of it saves 3 of the next level's 20 evaluations, but
  leaves a photograph's lines among the strokes.
- Beyond three levels, which are 400×300, a picture is also held to what it was, shrunk: a large
  picture then is the small one with more detail, not another one. Starting from an enlargement
  that shrinks to the small one exactly (back projection) is not better.
- L-BFGS (Gatys et al., 2016), SciPy's. Pixels beyond 0-255, which would be clipped, and a clipped
  picture has other statistics, have a cost: SciPy's bounds are Python lists, slow and large.
  A new level starts with an empty memory, since its costs are other functions of other pixels.
  A level that is cut into tiles has an L-BFGS of our own, which needs half the memory.
  Tried and not better: a descent in a cosine basis that prefers smooth changes, another first step,
  a memory of 20.

Nothing is random.
"""

import math
import time
from contextlib import closing
from typing import NamedTuple

import numpy as np

from nst.budget import pixels_at_once
from nst.config import CONFIG, PROJECT
from nst.costs import STYLE_LAYERS, layout_cost, range_cost
from nst.descent import descend, descend_lean
from nst.network import choose_precision, read_weights
from nst.pictures import fit_size, load_image, to_pixels
from nst.recolouring import clip, recolour, resize
from nst.tiles import Level, cut, evaluation, measure_texture, pixels_to_see

FIRST_SIDE = 87  # pixels, root of the first level's area: 100×75; smaller ones lose the subject
EVALUATIONS = (54, 36, 26, 12, 5)  # a level; a level costs four times the one before
LAYOUT = (0.16, 0.4, 1)  # a level's share of the style's weight, the last for all that follow
HELD_FROM = 3  # the number, from 0, of the first level that is held to the one before
HOLD = 1500  # weight of the layout cost
DETAIL = 0.25  # share of the photograph's detail
PASSES = 0.7  # of the style and of the content through a network, in evaluations
OVERHEAD = 3000  # pixels: what an evaluation takes beside its pixels, measured on two cores
STYLE_PIXELS = 800 * 600  # of a style picture that large strokes would make larger than the level


class Progress(NamedTuple):
    """How far a painting is; `picture()` is what it would be if it ended now."""

    image: np.ndarray  # (1, h, w, 3) at the level's size, normalised
    size: tuple  # (height, width) of the finished picture
    level: int  # from 1
    levels: int
    done: float  # share of the work, 0-1
    seconds_left: float | None  # None until it is known, after the second evaluation
    tiles: int = 1  # into which this level is cut, to fit into memory
    start: np.ndarray | None = None  # what the level before ended with, at its size

    def full_size(self):
        """Return the picture so far at its full size: (1, height, width, 3), normalised."""
        return resize(self.image, *self.size)

    def picture(self):
        """Return the picture so far at its full size: (height, width, 3), RGB, uint8."""
        return to_pixels(self.full_size())


def paint(
    content,
    style,
    size=800,
    strength=0.5,
    colours="style",
    strokes=1.0,
    precision="auto",
    model=PROJECT / CONFIG.VGG_MODEL,
    memory=None,
    resume=None,
):
    """Paint a picture; loop over what this returns and keep the last.

        for progress in paint("photo.jpg", "painting.jpg"):
            print(f"{progress.done:.0%}")
        picture = progress.picture()

    A caller that leaves the loop has the picture so far in its last `progress`; closing the
    generator ends the work after the evaluation under way.

    Arguments:
    content -- path of the photograph
    style -- path of the painting, or a dict from paths to weights (of any sum)
    size -- longest side of the result, in pixels, from 16 up
    strength -- 0 (a photograph with a touch of paint) to 1 (the subject all but dissolves)
    colours -- "style", or "content": the style picture takes the photograph's colours first
    strokes -- size of the strokes: 2 doubles, 0.5 halves them; 0.25 to 4
    precision -- "float32", "bfloat16" or "auto", see `choose_precision`
    model -- VGG's weight file
    memory -- GB that may be taken, default half of what is free; what does not fit at once is
        painted in tiles, to the same picture (nst/tiles.py)
    resume -- (level, start) of a Progress of the same painting, which goes on with that level

    Returns:
    generator of `Progress`, one for each evaluation of the costs, and one at the beginning of a
    level in tiles, where evaluations are long

    Raises OSError, ValueError or MemoryError, before any work.
    """
    styles = dict(style) if isinstance(style, dict) else {style: 1.0}
    _check("strength", strength, 0, 1)
    _check("size of the strokes", strokes, 0.25, 4)
    if colours not in ("style", "content"):
        raise ValueError(f"the colours are {colours!r}: choose 'style' or 'content'")
    if not styles or min(styles.values()) < 0 or not 0 < sum(styles.values()) < math.inf:
        raise ValueError(f"the styles' weights are {styles}: give each a number above 0")
    full = fit_size(content, size)
    limit = pixels_at_once(*full, memory)
    if resume:
        _check_resume(resume, full)
    for path in (content, *styles):
        load_image(path, 16, 16)  # damage shows now, not after a minute
    weights = read_weights(model, choose_precision(precision))
    begin, start = resume or (1, None)
    return _paint(content, styles, full, strength, colours, strokes, weights, limit, begin, start)


def _check(name, value, low, high):
    if not low <= value <= high:  # nor NaN
        raise ValueError(f"the {name} is {value!r}: give a number from {low} to {high}")


def _check_resume(resume, full):
    level, start = resume
    sizes = level_sizes(*full)
    if not 1 < level <= len(sizes) or start.shape != (1, *sizes[level - 2], 3):
        raise ValueError(
            f"level {level} cannot go on from an image of shape {start.shape}: resume with what "
            "a painting of the same size has told"
        )


def _paint(content, styles, full, strength, colours, strokes, weights, limit, begin, image):
    """Do the work of `paint`: the levels from `begin` on, one after the other."""
    sizes = level_sizes(*full)
    clock = _Clock(sizes, limit)
    photo = None if image is None else _read(content, *sizes[begin - 2])
    for number, (height, width) in enumerate(sizes[begin - 1 :], begin - 1):
        clock.begin(number)
        coarse, photo, small = photo, _read(content, height, width), image
        image = photo if small is None else _enlarge(small, coarse, photo)
        tiles = len(cut(height, width, limit))
        place = full, number + 1, len(sizes)
        if tiles > 1:
            yield Progress(image, *place, *clock.now(), tiles, small)
        targets = style_statistics(styles, photo, colours, strokes, weights, limit)
        level = Level(photo, targets, style_weight(strength, number), _pixel_cost(number, small))
        with evaluation(level, weights, limit) as evaluate:
            way = descend if tiles == 1 else descend_lean
            descent = way(evaluate, image, evaluations(number))
            with closing(descent):  # its thread ends before the session does
                for image in descent:
                    yield Progress(image, *place, *clock.tick(), tiles, small)


def _enlarge(small, coarse, photo):
    """Begin a level: the level before, larger, and a part of what its photograph could not show."""
    size = photo.shape[1:3]
    return clip(resize(small, *size) + DETAIL * (photo - resize(coarse, *size)))


def _pixel_cost(number, small):
    """Return what pixels cost by themselves at the level of that number, as a function of a tensor.

    Arguments:
    small -- what the level before ended with
    """

    def cost(image):
        terms = range_cost(image)
        if number >= HELD_FROM:
            terms += HOLD * layout_cost(image, small)
        return terms

    return cost


# --- sizes and weights ---------------------------------------------------------------------------


def level_sizes(height, width):
    """List the sizes to paint at, each (height, width), the last the given one.

    Neighbours differ by a factor of at most 2.15, so that a width of 801 needs no level more than
    one of 800; no side is below the network's 16 pixels. A picture below FIRST_SIDE² has one level.
    """
    zoom = math.sqrt(height * width) / FIRST_SIDE
    steps = max(0, math.ceil(math.log2(max(zoom, 1)) - 0.1))
    scales = [zoom ** (step / steps - 1) for step in range(steps)] + [1.0]
    return [tuple(max(16, round(scale * side)) for side in (height, width)) for scale in scales]


def evaluations(number):
    """Say how often the level of that number, from 0, may evaluate its costs."""
    return EVALUATIONS[min(number, len(EVALUATIONS) - 1)]


def work(height, width, limit=math.inf):
    """Say what a painting takes: pixels through the network in evaluations, and what goes beside.

    Arguments:
    limit -- pixels that the network may see at once
    """
    units = [pixels_to_see(*size, limit) + OVERHEAD for size in level_sizes(height, width)]
    return sum((evaluations(number) + PASSES) * unit for number, unit in enumerate(units))


def style_weight(strength, number):
    """Turn a strength of 0-1 into the style cost's weight beside the content cost: 1.6-160.

    Equal steps in strength multiply the weight equally; at 16, the middle, the subject stays and
    the strokes are the style's. The first levels, which lay out the picture, get a part of it:
    they keep the subject's shape, and later levels fill it with strokes.

    Arguments:
    number -- of the level, from 0
    """
    return 16 * 100 ** (strength - 0.5) * LAYOUT[min(number, len(LAYOUT) - 1)]


# --- the style ------------------------------------------------------------------------------------


def style_statistics(styles, photo, colours, strokes, weights, limit=math.inf):
    """Measure the style pictures at the scale of one level, and mix them by their weights.

    The sum of weighted squared distances from several targets has its least value at their
    weighted mean, so several styles cost no more than one.

    Arguments:
    limit -- pixels that the network may see at once

    Returns:
    for each of STYLE_LAYERS a list of the three arrays of `statistics`
    """
    mixed = [[0, 0, 0] for _ in STYLE_LAYERS]
    total = sum(styles.values())
    for style, weight in styles.items():
        picture = _read_style(style, photo[0, ..., 0].size, strokes)
        if colours == "content":
            picture = clip(recolour(picture, photo))
        mixed = [
            [old + weight / total * new for old, new in zip(*pair, strict=True)]
            for pair in zip(mixed, measure_texture(picture, weights, limit), strict=True)
        ]
    return mixed


# --- pictures ------------------------------------------------------------------------------------


def _read(path, height, width):
    """Read a picture as a normalised image (1, height, width, 3), float32."""
    return (load_image(path, height, width)[None] - CONFIG.MEANS).astype(np.float32)


def _read_style(path, pixels, strokes):
    """Read a style picture, whole, in its own shape, with about `pixels` · strokes² pixels.

    Where large strokes would make it too large, its middle is enough.
    """
    shape = np.array(fit_size(path, 1000))
    height, width = shape * math.sqrt(pixels / shape.prod()) * strokes
    limit = max(pixels, STYLE_PIXELS)
    part = min(1.0, math.sqrt(limit / (height * width)))
    picture = _read(path, max(16, round(height)), max(16, round(width)))
    rows, columns = (max(16, round(part * side)) for side in picture.shape[1:3])
    top, left = (picture.shape[1] - rows) // 2, (picture.shape[2] - columns) // 2
    return picture[:, top : top + rows, left : left + columns]


# --- time ----------------------------------------------------------------------------------------


class _Clock:
    """Estimates the time left: work is pixels times evaluations, and every level has to begin."""

    def __init__(self, sizes, limit=math.inf):
        self._unit = [pixels_to_see(*size, limit) + OVERHEAD for size in sizes]  # an evaluation
        self._counts = [evaluations(number) for number in range(len(sizes))]
        self._whole = work(*sizes[-1], limit)
        self._rate = None  # seconds a unit
        self._build = 0.0  # seconds a level

    def begin(self, number):
        """Note that a level begins."""
        self._number, self._ticks = number, [time.perf_counter()]

    def tick(self):
        """Note an evaluation; return `now`."""
        self._ticks.append(time.perf_counter())
        return self.now()

    def now(self):
        """Return the share of the work that is done and the seconds left."""
        taken = np.diff(self._ticks)  # the first one with the building of the graphs
        unit = self._unit[self._number]
        if len(taken) > 1:
            self._rate = float(np.median(taken[1:])) / unit  # some are slow
        later = range(self._number + (len(taken) > 0), len(self._unit))
        left = sum((self._counts[n] + PASSES) * self._unit[n] for n in later)
        if len(taken):
            left += (self._counts[self._number] - len(taken)) * unit
        done = 1 - left / self._whole
        if self._rate is None:
            return done, None
        if len(taken):  # building a graph takes the same for every size
            self._build = max(0.0, taken[0] - self._rate * (1 + PASSES) * unit)
        return done, float(left * self._rate + self._build * len(later))
