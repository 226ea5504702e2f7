"""Paint a photo in the style of a painting, quickly (coarse to fine).

The lab's method (Gatys et al., 2016, with the course's Adam) starts from noise at full size. Each
step changes a pixel by a little, so large strokes never form and speckle remains. Here a small
picture is painted first, enlarged, and painted again. The reason and the source of each choice:

- Levels of 100×75, 200×150 and 400×300 pixels or that area, then about twice the side each, up to
  the final size (Gatys et al., 2017, "Controlling perceptual factors"). The first three are the
  same for every final size, so every size shows the same picture; a level adds what only it can
  hold. The style image shrinks with the levels, to the size at which it just covers the photo. It
  is not cropped to the photo's shape, as its statistics ignore position.
- Shallow layers of the style count fully: color, texture, strokes. conv4_1 and conv5_1, which see
  whole faces on a small picture, count little (SHAPE_WEIGHTS), or the face of a portrait appears in
  the sky and the water. The strength raises their share along with the style's weight, so it moves
  the picture from texture (light) to strokes (medium) to the style's large shapes (strong).
- Costs without units (costs.py), with the channels' means and deviations in addition to the Gram
  matrices (Galerne et al., 2024, arXiv 2212.13459).
- The photo first takes the style's colors (the linear map of Gatys et al., 2017, applied the other
  way around): its own would work against the style cost, in the start image and in the content
  cost. A face keeps its shape in a pen drawing that way.
- The spectrum of the fine detail is a cost as well (Liu et al., 2016): VGG hardly sees the finest
  frequencies, and its gradients would leave them as a weave of lines over the picture. It takes a
  twentieth of an evaluation. Filtering the changes of the image instead blurs every level.
- Start from the photo; between levels, enlarge the picture and add a part of the photo's detail
  that the smaller one could not hold. More of it leaves the photo's fine lines in the paint. Detail
  of the style image would be its eyes and outlines, in places of their own. Beyond the third level,
  where few evaluations are left, the soft edges of the enlargement are made hard first.
- The first two levels are held, loosely, to the photo's light and colors. Gram matrices ignore
  position; without this a mosaic or a starry sky covers heaven and earth alike. The third level, at
  which strokes get their shape, is unconstrained. Beyond it, a picture is held to the result of
  that level, and less to its finest detail: a large picture is the small one with more detail.
  (Held to all of that, or to the level before, it keeps fine lines, enlarged to a weave.) What
  conv5_1 sees there was painted before, so it is left out, with a fifth of the work.
- L-BFGS (Gatys et al., 2016). Pixels outside 0-255 have a cost instead of bounds: they would be
  clipped, and a clipped picture has different statistics.
- No frame: each level is painted with a margin (image_ops.py), which is then cut off. It takes what
  the network's zero padding does to a border. Style images lose their RIM (inputs.py).

Nothing is random.
"""

import math
from typing import NamedTuple

import numpy as np

from nst.core.config import CONFIG, PROJECT
from nst.core.images import fit_size, load_image, to_pixels
from nst.painting.costs import layout_cost, measure_spectrum, range_cost, spectrum_cost
from nst.painting.eta import Eta, total_work
from nst.painting.image_ops import (
    MARGIN,
    add_margin,
    clip,
    cut_margin,
    detail,
    resize,
    sharpen,
    shrink,
)
from nst.painting.inputs import Sources
from nst.painting.lbfgs import MEMORY, lbfgs
from nst.painting.memory import memory_limit, pixels_at_once
from nst.painting.objective import Level, Target, deepest, open_painter
from nst.painting.tiling import cut, pixels_to_see
from nst.vgg.network import choose_precision, read_weights

FIRST_AREA = 100 * 75  # pixels of the first level; smaller ones lose the subject
EVALUATIONS = (24, 18, 24, 8, 5)  # by level; the last for all that follow, each 4 times as costly
UNCONSTRAINED_LEVEL = 2  # index of the level without a layout cost
LAYOUT_WEIGHT_PHOTO = 0.7  # at the first level, halved at the second
LAYOUT_WEIGHTS_SMALL = {1: 500, 0.5: 3000}  # by scale, after UNCONSTRAINED_LEVEL
STYLE_SHARE_BY_LEVEL = (0.3, 0.6, 1)  # of the style's weight; the last for all that follow
TEXTURE_LAYERS = ("conv1_1", "conv2_1", "conv3_1")  # of weight 1
# weights of conv4_1 and conv5_1 at medium strength, by level; the last for all that follow
SHAPE_WEIGHTS = ((0, 0), (0.15, 0), (0.3, 0.023), (0.3, 0))
SHAPE_GAIN = 25  # by how much strength 1 multiplies SHAPE_WEIGHTS, compared with strength 0
SPECTRUM_SHARE = 0.17  # weight of the spectrum, as a share of a shallow layer's
CONV5_COST_FACTOR = 1.2  # time of an evaluation with conv5_1 over that without
DETAIL = 0.2  # share of the photo's detail that a level starts with


class Progress(NamedTuple):
    """The state of a painting; `picture()` is the result if it stopped now."""

    image: np.ndarray  # (1, h, w, 3) at the level's size, normalized
    size: tuple  # (height, width) of the finished picture
    level: int  # from 1
    levels: int
    done: float  # share of the work, 0-1
    seconds_left: float | None  # None until it is known, after the fourth evaluation
    tiles: int = 1  # into which this level is cut, to fit into memory

    def full_size(self):
        """Return the picture so far at its full size: (1, height, width, 3), normalized."""
        return resize(self.image, *self.size)

    def picture(self):
        """Return the picture so far at its full size: (height, width, 3), RGB, uint8."""
        return to_pixels(self.full_size())


def paint(
    content,
    styles,
    size=800,
    strength=0.5,
    colors="style",
    strokes=1.0,
    precision="auto",
    model=PROJECT / CONFIG.VGG_MODEL,
    memory=None,
):
    """Paint a picture; loop over the result and keep the last item.

        for progress in paint("photo.jpg", "painting.jpg"):
            print(f"{progress.done:.0%}")
        picture = progress.picture()

    A caller that leaves the loop has the picture so far in its last `progress`; closing the
    generator ends the work after the current evaluation.

    Arguments:
    content -- path of the photo
    styles -- path of the painting, or a dict from paths to weights (of any sum)
    size -- longest side of the result in pixels, 16 or more
    strength -- 0 (a photo with a touch of paint) to 1 (shapes of the style, the subject dissolves)
    colors -- "style", or "content": the style image takes the photo's colors
    strokes -- size of the strokes: 2 doubles, 0.5 halves it; 0.25 to 4
    precision -- "float32", "bfloat16" or "auto", see `choose_precision`
    model -- path of VGG's weight file
    memory -- GB that may be used, default: half of the free memory; what does not fit is painted in
        tiles, with the same result (objective.py)

    Returns:
    generator of `Progress`, one for each evaluation of the costs, and one at the start of a tiled
    level, where an evaluation takes long

    Raises OSError, ValueError or MemoryError before any work.
    """
    styles = dict(styles) if isinstance(styles, dict) else {styles: 1.0}
    _check("strength", strength, 0, 1)
    _check("size of the strokes", strokes, 0.25, 4)
    if colors not in ("style", "content"):
        raise ValueError(f"the colors are {colors!r}: choose 'style' or 'content'")
    if not styles or min(styles.values()) < 0 or not 0 < sum(styles.values()) < math.inf:
        raise ValueError(f"the weights of the styles are {styles}: give each a number above 0")
    full_size = fit_size(content, size)
    plans = plan_levels(*full_size, strength, memory_limit(*full_size, memory))
    for path in (content, *styles):
        load_image(path, 16, 16)  # so that a corrupt file shows now
    weights = read_weights(model, choose_precision(precision))
    return _paint(Sources(content, styles, colors, strokes), plans, full_size, weights)


def _check(name, value, low, high):
    if not low <= value <= high:  # nor NaN
        raise ValueError(f"the {name} is {value!r}: give a number from {low} to {high}")


def _paint(sources, plans, full_size, weights):
    """Paint one level after the other; yield Progress."""
    image, small, eta = None, None, Eta(plans)
    with open_painter(weights) as network:
        for plan in plans:
            eta.begin(plan.index)
            photo, styles = sources.read(*plan.size)
            image = photo if image is None else enlarge(image, photo, hard=small is not None)
            place = full_size, plan.index + 1, len(plans)
            if plan.tiles > 1:
                yield Progress(image, *place, *eta.now(), plan.tiles)
            level = Level(
                add_margin(photo),
                measure_styles(network, styles, plan),
                plan.layer_weights,
                _pixel_cost(plan, photo, small, styles),
            )
            with network.evaluation(level, plan.limit) as evaluate:
                start = add_margin(image)
                for found in lbfgs(evaluate, start, plan.evaluations, plan.memory):
                    image = cut_margin(found)
                    yield Progress(image, *place, *eta.tick(), plan.tiles)
            if plan.index == UNCONSTRAINED_LEVEL:
                small = image


def enlarge(image, photo, hard=False):
    """Return the start image of a level: the previous one, enlarged, with some photo detail.

    Arguments:
    image -- normalized image (1, h, w, 3)
    photo -- normalized image (1, height, width, 3) at the level's size
    hard -- whether to sharpen what is enlarged
    """
    large = resize(image, *photo.shape[1:3])
    lost = detail(photo, math.sqrt(image.size / photo.size))
    return clip((sharpen(large) if hard else large) + DETAIL * lost)


def measure_styles(network, styles, plan):
    """Measure the Target of a level: the style images', mixed by their shares.

    Arguments:
    network -- nst.painting.objective.Network
    styles -- list of (share, normalized image)
    """
    shares, images = zip(*styles, strict=True)
    limits = [pixels_at_once(*image.shape[1:3], plan.memory_limit) for image in images]
    names = tuple(plan.layer_weights)
    targets = [network.measure(*pair, names) for pair in zip(images, limits, strict=True)]
    return Target.mix(shares, targets)


def _pixel_cost(plan, photo, small, styles):
    """Return the part of the cost that needs no network, as a function of the image's tensor."""
    target = sum(share * measure_spectrum(style) for share, style in styles)
    weight = SPECTRUM_SHARE * plan.layer_weights["conv1_1"]

    def cost(image):
        inside = cut_margin(image)
        terms = range_cost(image) + weight * spectrum_cost(inside, target)
        if plan.index == UNCONSTRAINED_LEVEL:
            return terms
        return terms + layout(inside, plan.index, photo, small)

    return cost


def layout(image, index, photo, small):
    """Hold the first levels to the photo's light and colors, the last to UNCONSTRAINED_LEVEL's.

    Arguments:
    image -- tensor (1, h, w, 3), of the level `index`, which is not UNCONSTRAINED_LEVEL
    photo -- array of that shape
    small -- array, the result of UNCONSTRAINED_LEVEL, or None before it
    """
    if index > UNCONSTRAINED_LEVEL:
        weights = LAYOUT_WEIGHTS_SMALL.items()
        return sum(weight * layout_cost(image, shrink(small, scale)) for scale, weight in weights)
    photo = shrink(photo, 0.5 ** (index + 2))
    return LAYOUT_WEIGHT_PHOTO / 2**index * layout_cost(image, photo)


# --- the plan ------------------------------------------------------------------------------------


class LevelPlan(NamedTuple):
    """One level of the pyramid."""

    index: int  # from 0
    size: tuple  # (height, width)
    layer_weights: dict  # of the style layers
    evaluations: int
    memory: int  # steps that L-BFGS remembers
    memory_limit: float  # bytes
    limit: float  # pixels that the network may see at once
    tiles: int
    work: float  # of an evaluation, in pixels that the network sees


def plan_levels(height, width, strength=0.5, memory_limit=math.inf):
    """Plan the levels of a picture of that size: list of LevelPlan."""
    plans = []
    for index, size in enumerate(level_sizes(height, width)):
        weights = layer_weights(strength, index)
        seen = [side + 2 * MARGIN for side in size]
        limit = pixels_at_once(*seen, memory_limit)
        tiles = cut(*seen, limit, deepest(weights))
        work = pixels_to_see(tiles) * (CONV5_COST_FACTOR if "conv5_1" in weights else 1)
        memory = MEMORY if index <= UNCONSTRAINED_LEVEL else 2
        evaluations = _at(EVALUATIONS, index)
        plans.append(
            LevelPlan(
                index, size, weights, evaluations, memory, memory_limit, limit, len(tiles), work
            )
        )
    return plans


def level_sizes(height, width):
    """List the sizes to paint at, each (height, width), the last the given one.

    Up to UNCONSTRAINED_LEVEL, the area grows from FIRST_AREA fourfold; beyond, the remaining factor
    is divided evenly, and so is a small picture's. The sides of neighbors differ by a factor of at
    most 2.15, so that a width of 801 needs no more levels than 800; no side is below the network's
    16 pixels. A picture below FIRST_AREA has one level.
    """
    octaves = max(0.0, math.log2(height * width / FIRST_AREA) / 2)
    fixed = UNCONSTRAINED_LEVEL if octaves > UNCONSTRAINED_LEVEL + 0.1 else 0
    steps = math.ceil(octaves - fixed - 0.1)
    rest = np.linspace(octaves, fixed, max(0, steps) + 1)[::-1]
    scales = [2 ** (octave - octaves) for octave in (*range(fixed), *rest)]
    return [tuple(max(16, round(scale * side)) for side in (height, width)) for scale in scales]


def layer_weights(strength, index):
    """Return the weights of the style layers at a level, compared with the content cost's 1.

    Equal steps in strength multiply them equally: those of the shallow layers from 0.3 to 30, those
    of the deep ones SHAPE_GAIN times as much. At 0.5 the subject stays and the strokes are the
    style's. The first levels, which lay out the picture, have a part of the weight: they keep the
    subject's shape, and later levels fill it with strokes.

    Arguments:
    index -- of the level, from 0

    Returns:
    dict from layer names to weights above 0
    """
    texture = 3.0 * 100 ** (strength - 0.5) * _at(STYLE_SHARE_BY_LEVEL, index)
    shapes = dict(zip(("conv4_1", "conv5_1"), _at(SHAPE_WEIGHTS, index), strict=True))
    gain = texture * SHAPE_GAIN ** (strength - 0.5)
    return dict.fromkeys(TEXTURE_LAYERS, texture) | {n: gain * w for n, w in shapes.items() if w}


def _at(values, index):
    return values[min(index, len(values) - 1)]


def work(height, width):
    """Return the work that a painting takes, in pixels that the network sees."""
    return total_work(plan_levels(height, width))
