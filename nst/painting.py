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
  Tried and not better: a descent in a cosine basis that prefers smooth changes, another first step,
  a memory of 20.

Nothing is random.
"""

import math
import time
from contextlib import closing, contextmanager
from typing import NamedTuple

import numpy as np

from nst.config import CONFIG, PROJECT
from nst.costs import (
    CONTENT_LAYER,
    STYLE_LAYERS,
    content_cost,
    layout_cost,
    range_cost,
    statistics,
    style_cost,
)
from nst.descent import descend
from nst.gradients import ease_gram_matrices, round_kernel
from nst.network import build_vgg, check_memory, choose_precision
from nst.pictures import fit_size, load_image, to_pixels
from nst.recolouring import clip, recolour, resize
from nst.tf1 import import_tensorflow
from nst.weights import read_vgg

tf = import_tensorflow()

FIRST_SIDE = 87  # pixels, root of the first level's area: 100×75; smaller ones lose the subject
EVALUATIONS = (54, 36, 26, 12, 5)  # a level; a level costs four times the one before
LAYOUT = (0.16, 0.4, 1)  # a level's share of the style's weight, the last for all that follow
HELD_FROM = 3  # the number, from 0, of the first level that is held to the one before
HOLD = 1500  # weight of the layout cost
DETAIL = 0.25  # share of the photograph's detail
PASSES = 0.7  # of the style and of the content through a network, in evaluations
OVERHEAD = 3000  # pixels: what an evaluation takes beside its pixels, measured on two cores
STYLE_PIXELS = 800 * 600  # of a style picture that large strokes would make larger than the level
BYTES_PER_PIXEL = 2900  # in float32 at the peak, beside 1 GB; bfloat16 takes a tenth less


class Progress(NamedTuple):
    """How far a painting is; `picture()` is what it would be if it ended now."""

    image: np.ndarray  # (1, h, w, 3) at the level's size, normalised
    size: tuple  # (height, width) of the finished picture
    level: int  # from 1
    levels: int
    done: float  # share of the work, 0-1
    seconds_left: float | None  # None until it is known, after the second evaluation

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

    Returns:
    generator of `Progress`, one for each evaluation of the costs

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
    check_memory(*full, BYTES_PER_PIXEL, "painting")
    for path in (content, *styles):
        load_image(path, 16, 16)  # damage shows now, not after a minute
    weights = _read_weights(model, choose_precision(precision))
    return _paint(content, styles, full, strength, colours, strokes, weights)


def _check(name, value, low, high):
    if not low <= value <= high:  # nor NaN
        raise ValueError(f"the {name} is {value!r}: give a number from {low} to {high}")


def _paint(content, styles, full, strength, colours, strokes, weights):
    """Do the work of `paint`: the levels, one after the other."""
    sizes = level_sizes(*full)
    clock = _Clock(sizes)
    image = photo = None
    for number, (height, width) in enumerate(sizes):
        clock.begin(number)
        coarse, photo, small = photo, _read(content, height, width), image
        targets = style_statistics(styles, photo, colours, strokes, weights)
        if small is None:
            image = photo
        else:
            detail = photo - resize(coarse, height, width)
            image = clip(resize(small, height, width) + DETAIL * detail)
        with _network(height, width, weights) as (sess, layers):
            with _defaults(sess):  # not while the caller has the word
                cost = _content_cost(sess, layers, photo, targets)
                cost += style_weight(strength, number) * style_cost(layers, targets)
                cost += range_cost(layers["input"])
                if number >= HELD_FROM:
                    cost += HOLD * layout_cost(layers["input"], small)
                evaluate = _evaluation(sess, layers["input"], cost)
            descent = descend(evaluate, image, evaluations(number))
            with closing(descent):  # its thread ends before the session does
                for image in descent:
                    yield Progress(image, full, number + 1, len(sizes), *clock.tick())


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


def style_weight(strength, number):
    """Turn a strength of 0-1 into the style cost's weight beside the content cost: 1.6-160.

    Equal steps in strength multiply the weight equally; at 16, the middle, the subject stays and
    the strokes are the style's. The first levels, which lay out the picture, get a part of it:
    they keep the subject's shape, and later levels fill it with strokes.

    Arguments:
    number -- of the level, from 0
    """
    return 16 * 100 ** (strength - 0.5) * LAYOUT[min(number, len(LAYOUT) - 1)]


# --- networks ------------------------------------------------------------------------------------


class _Weights(NamedTuple):
    convolutions: dict  # from layer name to (W, b), rounded to the precision
    precision: str


def _read_weights(path, precision):
    """Read VGG's weights once for the networks of all sizes."""
    dtype = tf.as_dtype(precision)
    _, convolutions = read_vgg(path)
    for name in set(convolutions) - {"conv1_1"}:
        W, b = convolutions[name]
        convolutions[name] = (round_kernel(W, dtype), b)
    return _Weights(convolutions, precision)


@contextmanager
def _network(height, width, weights):
    """Build VGG for one size; give (session, dict of tensors); free both at the end."""
    with closing(tf.Session(graph=tf.Graph())) as sess:
        with _defaults(sess):
            layers = build_vgg(dict(weights.convolutions), height, width, weights.precision)
            ease_gram_matrices(sess.graph)
        yield sess, layers


@contextmanager
def _defaults(sess):
    """Have a session and its graph for the default ones."""
    with sess.graph.as_default(), sess.as_default():
        yield


def _evaluation(sess, variable, cost):
    """Return the function from an image to the cost and its gradient."""
    (gradient,) = tf.gradients(cost, variable)

    def evaluate(image):
        with sess.as_default():
            sess.run(variable.assign(image))
            return sess.run([cost, gradient])

    return evaluate


def _content_cost(sess, layers, photo, targets):
    """Write the content cost of a level whose photograph is (1, h, w, 3), normalised."""
    a_G = layers[CONTENT_LAYER]
    sess.run(layers["input"].assign(photo))
    return content_cost(a_G, sess.run(a_G), targets[STYLE_LAYERS.index(CONTENT_LAYER)])


def style_statistics(styles, photo, colours, strokes, weights):
    """Measure the style pictures at the scale of one level, and mix them by their weights.

    The sum of weighted squared distances from several targets has its least value at their
    weighted mean, so several styles cost no more than one.

    Returns:
    for each of STYLE_LAYERS a list of the three arrays of `statistics`
    """
    mixed = [[0, 0, 0] for _ in STYLE_LAYERS]
    total = sum(styles.values())
    for style, weight in styles.items():
        picture = _read_style(style, photo[0, ..., 0].size, strokes)
        if colours == "content":
            picture = clip(recolour(picture, photo))
        with _network(*picture.shape[1:3], weights) as (sess, layers), _defaults(sess):
            sess.run(layers["input"].assign(picture))
            found = sess.run([statistics(layers[name]) for name in STYLE_LAYERS])
        mixed = [
            [old + weight / total * new for old, new in zip(*pair, strict=True)]
            for pair in zip(mixed, found, strict=True)
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

    def __init__(self, sizes):
        self._unit = [height * width + OVERHEAD for height, width in sizes]  # an evaluation
        self._counts = [evaluations(number) for number in range(len(sizes))]
        self._rate = None  # seconds a unit

    def begin(self, number):
        """Note that a level begins."""
        self._number, self._ticks = number, [time.perf_counter()]

    def tick(self):
        """Note an evaluation; return the share of the work that is done and the seconds left."""
        unit = self._unit[self._number]
        self._ticks.append(time.perf_counter())
        taken = np.diff(self._ticks)  # the first one with the building of the graphs
        if len(taken) > 1:
            self._rate = float(np.median(taken[1:])) / unit  # some are slow
        left = (self._counts[self._number] - len(taken)) * unit
        later = range(self._number + 1, len(self._unit))
        left += sum((self._counts[n] + PASSES) * self._unit[n] for n in later)
        whole = sum((c + PASSES) * u for c, u in zip(self._counts, self._unit, strict=True))
        done = 1 - left / whole
        if self._rate is None:
            return done, None
        # building a graph takes the same for every size
        build = max(0.0, taken[0] - self._rate * (1 + PASSES) * unit)
        return done, float(left * self._rate + build * len(later))
