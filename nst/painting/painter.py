"""Paint a photograph in the manner of a painting, soon: from coarse to fine.

The lab's way (Gatys et al., 2016, with the course's Adam) starts from noise at full size. Each step
moves a pixel by a little, so large strokes never form and speckle stays. Here a small picture is
painted first, enlarged, and painted on. What each choice is for, and where it comes from:

- Levels of 100×75, 200×150 and 400×300 pixels or that area, then about twice the side each, up to
  the size asked for (Gatys et al., 2017, "Controlling perceptual factors"). The first three are the
  same whatever the final size, so every size shows the same picture; a level adds what it alone can
  show. The style picture is shrunk along, and never cropped to the content's shape: its statistics
  know no places, so all of it may speak, at the scale of the content's area.
- Costs without units (see costs.py), with the channels' means and deviations beside the Gram
  matrices (Galerne et al., 2024, arXiv 2212.13459).
- The spectrum of the fine detail beside these (Liu et al., 2016): without it a weave of fine lines
  lies over the picture, and strokes and edges are blurred. It takes a twentieth of an evaluation.
- The photograph takes the style's colours first (the linear map of Gatys et al., 2017, the other
  way round): its own would pull against the style cost, in the start image and in what the content
  cost asks for. A face keeps its shape in a pen drawing that way.
- Start from the photograph; between levels enlarge what was painted, and add a part of the detail
  that a small picture cannot hold (the difference of two levels, as in Burt and Adelson's pyramid,
  1983): the photograph's, and up to 400×300 the brightness of the style picture's. It saves an
  eighth of the work, and strokes are sharper. More of it leaves the photograph's lines among the
  strokes; the style picture's at larger levels, its outlines; and its colours, specks.
- The first two levels are held, loosely, to the photograph's light and colours, shrunk to a quarter
  of the first level: Gram matrices know no places, so without it a mosaic or a starry sky covers
  heaven and earth alike. The third level, where the strokes get their shape, is free.
- Beyond three levels, which are 400×300, a picture is held to what it was, shrunk: a large
  picture then is the small one with more detail, not another one. What conv5_1 sees there was
  painted before, so it is left out, and with it a quarter of the work; at 400×300 the style's large
  shapes would fade without it. Starting from an enlargement that shrinks to the small one exactly
  (back projection) is not better.
- L-BFGS (Gatys et al., 2016); lbfgs.py says why not SciPy's. Pixels beyond 0-255, which would
  be clipped, and a clipped picture has other statistics, have a cost in the place of bounds. A new
  level starts with an empty memory, since its costs are other functions of other pixels. Tried and
  not better: a descent in a cosine basis that prefers smooth changes, another first step, a memory
  of 20.

Nothing is random.
"""

import math
from typing import NamedTuple

import numpy as np

from nst.core.config import CONFIG, PROJECT
from nst.core.images import fit_size, load_image, to_pixels
from nst.painting.costs import (
    STYLE_LAYERS,
    layout_cost,
    measure_spectrum,
    range_cost,
    spectrum_cost,
)
from nst.painting.eta import Clock, total_work
from nst.painting.image_ops import clip, cover, detail, recolour, resize
from nst.painting.inputs import read_photo, read_style
from nst.painting.lbfgs import MEMORY, descend_lean
from nst.painting.memory import bytes_to_take, pixels_at_once
from nst.painting.objective import Level, open_painter
from nst.painting.tiling import cut, pixels_to_see
from nst.vgg.network import choose_precision, read_weights

FIRST_AREA = 100 * 75  # pixels of the first level; smaller ones lose the subject
EVALUATIONS = (24, 18, 25, 10, 5)  # a level; a level costs four times the one before
LAYOUT = (0.3, 0.6, 1)  # a level's share of the style's weight, the last for all that follow
FREE = 2  # the number, from 0, of the level that is held to nothing
TONE = 0.7  # weight of the layout cost at the first level, to the photograph; then half as much
HOLD = 30000  # ... and after it, to the level before
SPECTRUM = 0.01  # weight of the spectrum beside the style cost
DETAIL = 0.4  # share of the photograph's, and of the style's
SHALLOW = 0.85  # of an evaluation's time is left without conv5_1: 0.8 in float32, 0.9 in bfloat16


class Progress(NamedTuple):
    """How far a painting is; `picture()` is what it would be if it ended now."""

    image: np.ndarray  # (1, h, w, 3) at the level's size, normalised
    size: tuple  # (height, width) of the finished picture
    level: int  # from 1
    levels: int
    done: float  # share of the work, 0-1
    seconds_left: float | None  # None until it is known, after the fourth evaluation
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
        painted in tiles, to the same picture (nst/painting/objective.py)
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
    allowed = bytes_to_take(*full, memory)
    if resume:
        _check_resume(resume, full)
    for path in (content, *styles):
        load_image(path, 16, 16)  # damage shows now, not after a minute
    weights = read_weights(model, choose_precision(precision))
    begin, start = resume or (1, None)
    return _paint(content, styles, full, strength, colours, strokes, weights, allowed, begin, start)


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


def _paint(content, styles, full, strength, colours, strokes, weights, allowed, begin, image):
    """Do the work of `paint`: the levels from `begin` on, one after the other."""
    sizes = level_sizes(*full)
    clock = Clock(*_work(sizes, allowed))
    with open_painter(weights) as network:
        for number, (height, width) in enumerate(sizes[begin - 1 :], begin - 1):
            clock.begin(number)
            small, photo = image, read_photo(content, height, width, colours, styles, strokes)
            paintings = _style_pictures(styles, photo, colours, strokes) if number <= FREE else ()
            image = photo if small is None else enlarge(small, photo, paintings)
            limit, names = pixels_at_once(height, width, allowed), style_layers(number)
            tiles = len(cut(height, width, limit, names[-1]))
            place = full, number + 1, len(sizes)
            if tiles > 1:
                yield Progress(image, *place, *clock.now(), tiles, small)
            targets = style_statistics(styles, photo, colours, strokes, network, names, allowed)
            waves = style_spectrum(styles, photo, colours, strokes)
            weight = style_weight(strength, number)
            pixel_cost = _pixel_cost(number, photo, small, waves, SPECTRUM * weight)
            level = Level(photo, targets, weight, pixel_cost)
            with network.evaluation(level, limit) as evaluate:
                remembered = MEMORY if number <= FREE else 2
                images = descend_lean(evaluate, image, evaluations(number), remembered)
                for image in images:
                    yield Progress(image, *place, *clock.tick(), tiles, small)


def enlarge(small, photo, paintings=()):
    """Begin a level: the level before, larger, and a part of the detail that it could not hold.

    Arguments:
    small -- normalised image (1, h, w, 3)
    photo -- larger one (1, height, width, 3), of this level
    paintings -- (share, image) of the style pictures whose detail is to begin with

    Returns:
    image of the photograph's shape
    """
    height, width = photo.shape[1:3]
    scale = math.sqrt(small.size / photo.size)
    lost = detail(photo, scale)
    for share, painting in paintings:
        relief = detail(painting, scale).mean(axis=-1, keepdims=True)
        lost += share * cover(relief, height, width)
    return clip(resize(small, height, width) + DETAIL * lost)


def _pixel_cost(number, photo, small, waves, weight):
    """Return what pixels cost by themselves at the level of that number, as a function of a tensor.

    Arguments:
    number, photo, small -- see `hold`
    waves, weight -- the style's spectrum, and what to differ from it costs
    """

    def cost(image):
        terms = range_cost(image) + weight * spectrum_cost(image, waves)
        return terms if number == FREE else terms + hold(image, number, photo, small)

    return cost


def hold(image, number, photo, small):
    """Hold the first levels to the photograph's light and colours, the last to the level before.

    Arguments:
    image -- tensor (1, h, w, 3), of the level of that number, which is not FREE
    photo -- array of that shape
    small -- array, what the level before ended with
    """
    if number > FREE:
        return HOLD * layout_cost(image, small)
    height, width = (max(1, round(side / 2 ** (number + 2))) for side in photo.shape[1:3])
    return TONE / 2**number * layout_cost(image, resize(photo, height, width))


# --- sizes and weights ---------------------------------------------------------------------------


def level_sizes(height, width):
    """List the sizes to paint at, each (height, width), the last the given one.

    Up to the level that is FREE, the area grows from FIRST_AREA fourfold; the way from there is cut
    evenly, and so is a short one. Neighbours' sides differ by a factor of at most 2.15, so that a
    width of 801 needs no level more than one of 800; no side is below the network's 16 pixels. A
    picture below FIRST_AREA has one level.
    """
    octaves = max(0.0, math.log2(height * width / FIRST_AREA) / 2)
    fixed = FREE if octaves > FREE + 0.1 else 0
    steps = math.ceil(octaves - fixed - 0.1)
    rest = np.linspace(octaves, fixed, max(0, steps) + 1)[::-1]
    scales = [2 ** (octave - octaves) for octave in (*range(fixed), *rest)]
    return [tuple(max(16, round(scale * side)) for side in (height, width)) for scale in scales]


def evaluations(number):
    """Say how often the level of that number, from 0, may evaluate its costs."""
    return EVALUATIONS[min(number, len(EVALUATIONS) - 1)]


def work(height, width):
    """Say what a painting takes, in pixels through the network and what goes beside them."""
    return total_work(*_work(level_sizes(height, width)))


def _work(sizes, allowed=math.inf):
    """List what an evaluation takes at each level, in pixels, and how many there are."""
    pixels = [
        pixels_to_see(*size, pixels_at_once(*size, allowed), style_layers(number)[-1])
        * (SHALLOW if number > FREE else 1)
        for number, size in enumerate(sizes)
    ]
    return pixels, [evaluations(number) for number in range(len(sizes))]


def style_layers(number):
    """Name the STYLE_LAYERS that the level of that number, from 0, has."""
    return STYLE_LAYERS[:-1] if number > FREE else STYLE_LAYERS


def style_weight(strength, number):
    """Turn a strength of 0-1 into the style cost's weight beside the content cost: 2-200.

    Equal steps in strength multiply the weight equally; at 20, the middle, the subject stays and
    the strokes are the style's. The first levels, which lay out the picture, get a part of it:
    they keep the subject's shape, and later levels fill it with strokes.

    Arguments:
    number -- of the level, from 0
    """
    return 20 * 100 ** (strength - 0.5) * LAYOUT[min(number, len(LAYOUT) - 1)]


# --- the style ------------------------------------------------------------------------------------


def style_statistics(
    styles, photo, colours, strokes, network, names=STYLE_LAYERS, allowed=math.inf
):
    """Measure the style pictures at the scale of one level, and mix them by their weights.

    The sum of weighted squared distances from several targets has its least value at their
    weighted mean, so several styles cost no more than one.

    Arguments:
    network -- nst.painting.objective.Network
    names -- of the layers to measure
    allowed -- bytes of memory, see `nst.painting.memory`

    Returns:
    for each of the layers a list of the three arrays of `statistics`
    """
    mixed = [[0, 0, 0] for _ in names]
    for share, picture in _style_pictures(styles, photo, colours, strokes):
        limit = pixels_at_once(*picture.shape[1:3], allowed)
        texture = network.measure(picture, limit, names)
        mixed = [
            [old + share * new for old, new in zip(*pair, strict=True)]
            for pair in zip(mixed, texture, strict=True)
        ]
    return mixed


def style_spectrum(styles, photo, colours, strokes):
    """Measure the `spectrum` of the style pictures, mixed as in `style_statistics`."""
    pictures = _style_pictures(styles, photo, colours, strokes)
    return sum(share * measure_spectrum(picture) for share, picture in pictures)


def _style_pictures(styles, photo, colours, strokes):
    """Read the style pictures at the scale of one level, one after the other, each with its share.

    Arguments: see `paint`; photo is the level's
    """
    total = sum(styles.values())
    for style, weight in styles.items():
        picture = read_style(style, photo[0, ..., 0].size, strokes)
        if colours == "content":
            picture = clip(recolour(picture, photo))
        yield weight / total, picture
