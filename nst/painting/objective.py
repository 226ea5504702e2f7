"""What a level of a painting costs, and its gradient: whole, or in tiles where memory is short.

One graph serves pictures of every size: to build one for each level, and the first run of each,
took a third of the time of a painting of 400×300 pixels.

Tiles are no approximation. The costs know the network's activations by averages over positions
alone: Gram matrices, means, the squared distance from the photograph. So a first pass averages over
all tiles, and the cost J and its slopes dJ/d(average) follow for the whole picture. A second pass
takes these slopes for given and carries them back through the network, tile by tile, to the pixels;
the tiles' gradients add up to the whole picture's. So paint Galerne, Raad, Lezama and Morel (2024,
"Scaling Painting Style Transfer", arXiv 2212.13459) in ultra high resolution.

What makes it exact is where tiles are cut: nst/painting/tiling.py.
"""

import math
from contextlib import closing, contextmanager
from functools import cached_property
from typing import NamedTuple

import numpy as np

from nst.core.tensorflow import import_tensorflow
from nst.painting.costs import (
    CONTENT_LAYER,
    STYLE_LAYERS,
    content_unit,
    deviations,
    statistics,
    style_distance,
)
from nst.painting.tiling import cut, receptive_field
from nst.vgg.network import as_defaults, open_network

tf = import_tensorflow()

STEPS = {name: receptive_field(name)[0] for name in {*STYLE_LAYERS, CONTENT_LAYER}}


class Level(NamedTuple):
    """What the picture at one size is to be like."""

    photo: np.ndarray  # (1, h, w, 3), normalised
    targets: list  # of STYLE_LAYERS, or the first of them, see `Network.measure`
    style_weight: float
    pixel_cost: object  # function from a tensor (1, h, w, 3), the image, to a scalar one

    @property
    def names(self):
        """The style's layers."""
        return STYLE_LAYERS[: len(self.targets)]

    @property
    def content_target(self):
        """The style's three statistics of CONTENT_LAYER."""
        return self.targets[STYLE_LAYERS.index(CONTENT_LAYER)]


@contextmanager
def open_painter(weights):
    """Give a Network; its memory is free again at the end.

    Arguments:
    weights -- nst.vgg.network.Weights
    """
    with open_network(weights) as (sess, layers):
        yield Network(sess, layers)


class Network:
    """VGG for images of every size, in one session, and what the painter measures with it."""

    def __init__(self, sess, layers):
        self._sess, self._layers = sess, layers
        self._graphs = {}

    def measure(self, picture, limit=math.inf, names=STYLE_LAYERS):
        """Measure the `statistics` of layers of a normalised picture (1, h, w, 3).

        Arguments:
        limit -- pixels that the network may see at once
        names -- STYLE_LAYERS, or the first of them down to CONTENT_LAYER at least

        Returns:
        for each of the layers a list of three arrays
        """
        tiles = cut(*picture.shape[1:3], limit, names[-1])
        graph = self._graph(names, len(tiles) > 1)
        if len(tiles) == 1:
            return graph.run(graph.textures, *tiles, picture)
        return self._sess.run(graph.textures, graph.feed_totals(graph.average(picture, tiles)))

    @contextmanager
    def evaluation(self, level, limit=math.inf):
        """Prepare to evaluate J = content + style_weight · style + pixel_cost, and its gradient.

        Arguments:
        level -- Level
        limit -- pixels that the network may see at once; a larger picture is cut into tiles

        Returns:
        context manager of a function from an image (1, h, w, 3) to J and the gradient of that
        shape, float32
        """
        tiles = cut(*level.photo.shape[1:3], limit, level.names[-1])
        graph = self._graph(level.names, len(tiles) > 1)
        contents = [graph.run(graph.content, tile, level.photo) for tile in tiles]
        goal = graph.feed_goal(level, _content_unit(level, contents))
        evaluate_network = graph.evaluate_in_tiles if len(tiles) > 1 else graph.evaluate_whole
        with _pixel_evaluation(level) as evaluate_pixels:

            def evaluate(image):
                cost, gradient = evaluate_network(image, tiles, contents, goal)
                pixel_cost, pixel_gradient = evaluate_pixels(image)
                return cost + pixel_cost, gradient + pixel_gradient

            yield evaluate

    def _graph(self, names, in_tiles):
        """Return the _Graph for some layers of the style, which is built when first asked for."""
        key = names, in_tiles
        if key not in self._graphs:
            with as_defaults(self._sess):  # not while the caller has the word
                self._graphs[key] = _Graph(self._sess, self._layers, *key)
        return self._graphs[key]


# --- the graph -----------------------------------------------------------------------------------


class _Graph:
    """J of a picture, from averages over its positions.

    Attributes:
    content -- tensor: a window's own activations of CONTENT_LAYER
    averages -- tensors: of each of the style's layers the Gram matrix and the means, and the mean
        squared distance of `content` from the photograph's
    textures -- the three `statistics` of each of the style's layers, from `averages`, or from
        what is fed in their place
    """

    def __init__(self, sess, layers, names, in_tiles):
        """Add to the network's graph.

        Arguments:
        names -- of the style's layers
        in_tiles -- whether a window has a halo, which does not count
        """
        self._sess, self._window = sess, layers["input"]
        self._edges = tf.placeholder(tf.int32, [4])
        own = self._own_positions if in_tiles else lambda layer, step: layer
        activations = {name: own(layers[name], step) for name, step in STEPS.items()}
        self.content = tf.cast(activations[CONTENT_LAYER], tf.float32)
        self._a_C = tf.placeholder(tf.float32, self.content.shape)
        distance = tf.reduce_mean(tf.square(self.content - self._a_C))
        of_style = [(a, STEPS[n]) for n in names for a in statistics(activations[n])[:2]]
        self.averages, self._steps = zip(*of_style, (distance, STEPS[CONTENT_LAYER]), strict=True)
        self._totals = [tf.placeholder_with_default(a, a.shape) for a in self.averages]
        pairs = zip(self._totals[:-1:2], self._totals[1::2], strict=True)
        self.textures = [(gram, mean, deviations(gram, mean)) for gram, mean in pairs]
        shapes = [[a.shape for a in texture] for texture in self.textures]
        self._targets = [[tf.placeholder(tf.float32, s) for s in shape] for shape in shapes]
        self._unit, self._style_weight = (tf.placeholder(tf.float32, []) for _ in range(2))
        style = style_distance(self.textures, self._targets)
        self._cost = self._totals[-1] / self._unit + self._style_weight * style

    def _own_positions(self, layer, step):
        top, bottom, left, right = tf.unstack(self._edges)
        return layer[:, top // step : -(-bottom // step), left // step : -(-right // step)]

    def feed_goal(self, level, unit):
        """Return what to feed for a level, of which `content_unit` is given."""
        pairs = zip(self._targets, level.targets, strict=True)
        arrays = {p: array for pair in pairs for p, array in zip(*pair, strict=True)}
        return arrays | {self._unit: unit, self._style_weight: level.style_weight}

    def feed_totals(self, totals):
        """Return what to feed for averages over a whole picture, with or without the last one."""
        return dict(zip(self._totals, totals, strict=False))

    def run(self, fetches, tile, image, feed=None):
        """Evaluate tensors for one tile of an image (1, h, w, 3)."""
        inputs = {self._window: tile.window(image), self._edges: tile.edges()}
        return self._sess.run(fetches, inputs | (feed or {}))

    # --- a picture that is seen at once ---

    @cached_property
    def _whole(self):
        """J, and its gradient by the pixels."""
        return self._with_gradients(self._cost, self._window)

    def evaluate_whole(self, image, tiles, contents, goal):
        """Evaluate J and its gradient (1, h, w, 3) for a picture of one tile."""
        return self.run(self._whole, *tiles, image, goal | {self._a_C: contents[0]})

    # --- a picture in tiles ---

    @cached_property
    def _forwards(self):
        """J, and its slopes by the averages over the whole picture."""
        cost, *slopes = self._with_gradients(self._cost, self._totals)
        return cost, slopes

    @cached_property
    def _backwards(self):
        """Placeholders for the slopes, and dJ/d(window)."""
        with self._sess.graph.as_default():
            slopes = [tf.placeholder(tf.float32, a.shape) for a in self.averages]
            return slopes, *tf.gradients(self.averages, self._window, slopes)

    def _with_gradients(self, cost, sources):
        with self._sess.graph.as_default():
            return [cost, *tf.gradients(cost, sources)]

    def average(self, image, tiles, contents=None):
        """Evaluate `averages` over the whole of an image, tile by tile.

        Arguments:
        contents -- for each tile the photograph's activations; without, those of the style alone
        """
        wanted = self.averages if contents else self.averages[:-1]
        totals = [np.zeros(a.shape) for a in wanted]  # float64
        for number, (tile, shares) in enumerate(zip(tiles, self._shares(tiles), strict=True)):
            feed = {self._a_C: contents[number]} if contents else None
            found = self.run(wanted, tile, image, feed)
            for total, share, average in zip(totals, shares, found, strict=False):
                total += share * average
        return totals

    def _shares(self, tiles):
        """Return, for each tile and each of `averages`, its share of the positions."""
        positions = np.array([[tile.positions(step) for step in self._steps] for tile in tiles])
        return positions / positions.sum(axis=0)

    def evaluate_in_tiles(self, image, tiles, contents, goal):
        """Evaluate J and its gradient (1, h, w, 3): two passes over the tiles."""
        totals = self.feed_totals(self.average(image, tiles, contents))
        cost, slopes = self._sess.run(self._forwards, totals | goal)
        placeholders, of_window = self._backwards
        gradient = np.zeros_like(image)
        for tile, a_C, shares in zip(tiles, contents, self._shares(tiles), strict=True):
            parts = zip(placeholders, shares, slopes, strict=True)
            feed = {slope: share * value for slope, share, value in parts}
            tile.window(gradient)[:] += self.run(of_window, tile, image, feed | {self._a_C: a_C})
        return cost, gradient


# --- beside the network --------------------------------------------------------------------------


def _content_unit(level, contents):
    """Compute `content_unit` of a photograph of which each tile's activations are given."""
    positions = [a_C[..., 0].size for a_C in contents]
    square, mean = (
        np.average([f(a_C) for a_C in contents], axis=0, weights=positions)
        for f in (lambda a: np.mean(a**2), lambda a: a.mean(axis=(0, 1, 2)))
    )
    return content_unit(square, mean, level.content_target)


@contextmanager
def _pixel_evaluation(level):
    """Prepare to evaluate a level's `pixel_cost` and its gradient, without a network."""
    with closing(tf.Session(graph=tf.Graph())) as sess:
        with sess.graph.as_default():
            image = tf.placeholder(tf.float32, level.photo.shape)
            cost = level.pixel_cost(image)
            fetches = [cost, *tf.gradients(cost, image)]
        yield lambda array: sess.run(fetches, {image: array})
