"""What a level of a painting costs, and its gradient: whole, or in tiles where memory is short.

Tiles are no approximation. The costs know the network's activations by averages over positions
alone: Gram matrices, means, the squared distance from the photograph. So a first pass averages over
all tiles, and the cost J and its slopes dJ/d(average) follow for the whole picture. A second pass
takes these slopes for given and carries them back through the network, tile by tile, to the pixels;
the tiles' gradients add up to the whole picture's. So paint Galerne, Raad, Lezama and Morel (2024,
"Scaling Painting Style Transfer", arXiv 2212.13459) in ultra high resolution.

What makes it exact is where tiles are cut: nst/cutting.py.
"""

import math
from contextlib import closing, contextmanager
from functools import cached_property
from typing import NamedTuple

import numpy as np

from nst.costs import (
    CONTENT_LAYER,
    STYLE_LAYERS,
    content_cost,
    content_unit,
    deviations,
    statistics,
    style_cost,
    style_distance,
)
from nst.cutting import cut, receptive_field
from nst.network import as_defaults, open_network
from nst.tf1 import import_tensorflow

tf = import_tensorflow()

STEPS = {name: receptive_field(name)[0] for name in {*STYLE_LAYERS, CONTENT_LAYER}}

# --- the network on tiles ------------------------------------------------------------------------


class _Network:
    """VGG for windows of every size, and averages over tiles' own positions.

    Attributes:
    averages -- tensors: of each of the style's layers the Gram matrix and the means, and the mean
        squared distance of `content`, CONTENT_LAYER's activations, from `a_C`
    totals -- placeholders for the same of the whole picture
    textures -- the three `statistics` of each of the style's layers, from `totals`
    """

    def __init__(self, sess, layers, tiles, names):
        self.sess, self.tiles = sess, tiles
        self._window, self._edges = layers["input"], tf.placeholder(tf.int32, [4])
        own = {name: self._own_positions(layers[name], step) for name, step in STEPS.items()}
        self.content = own[CONTENT_LAYER]
        self.a_C = tf.placeholder(tf.float32, self.content.shape)
        distance = tf.reduce_mean((self.content - self.a_C) ** 2)
        of_style = [(a, STEPS[n]) for n in names for a in statistics(own[n])[:2]]
        found = [*of_style, (distance, STEPS[CONTENT_LAYER])]
        self.averages, self._steps = zip(*found, strict=True)
        self._positions = [sum(tile.positions(step) for tile in tiles) for step in self._steps]
        self.totals = [tf.placeholder(tf.float32, a.shape) for a in self.averages]
        pairs = zip(self.totals[:-1:2], self.totals[1::2], strict=True)
        self.textures = [(gram, mean, deviations(gram, mean)) for gram, mean in pairs]

    @cached_property
    def _backwards(self):
        """Placeholders for dJ/d(averages), and dJ/d(window); to measure a picture takes neither."""
        with self.sess.graph.as_default():
            slopes = [tf.placeholder(tf.float32, a.shape) for a in self.averages]
            return slopes, *tf.gradients(self.averages, self._window, slopes)

    def _own_positions(self, layer, step):
        top, bottom, left, right = tf.unstack(self._edges)
        return layer[:, top // step : -(-bottom // step), left // step : -(-right // step)]

    def run(self, fetches, tile, image, feed=None):
        """Evaluate tensors for one tile of an image (1, h, w, 3)."""
        inputs = {self._window: tile.window(image), self._edges: tile.edges()}
        return self.sess.run(fetches, inputs | (feed or {}))

    def _shares(self, tile):
        """Return, for each of `averages`, the share of the positions that are this tile's."""
        pairs = zip(self._steps, self._positions, strict=True)
        return [tile.positions(step) / positions for step, positions in pairs]

    def average(self, image, contents=None):
        """Evaluate `averages` over the whole of an image, tile by tile.

        Arguments:
        contents -- for each tile the array `a_C`; without, the averages of the style alone
        """
        wanted = self.averages if contents else self.averages[:-1]
        totals = [np.zeros(a.shape) for a in wanted]  # float64
        for number, tile in enumerate(self.tiles):
            feed = {self.a_C: contents[number]} if contents else None
            found = self.run(wanted, tile, image, feed)
            for total, share, average in zip(totals, self._shares(tile), found, strict=False):
                total += share * average
        return totals

    def gradient(self, image, contents, slopes):
        """Carry dJ/d(totals) back to the pixels: (1, h, w, 3), float32."""
        (placeholders, of_window), gradient = self._backwards, np.zeros_like(image)
        for tile, a_C in zip(self.tiles, contents, strict=True):
            parts = zip(placeholders, self._shares(tile), slopes, strict=True)
            feed = {slope: share * value for slope, share, value in parts}
            feed[self.a_C] = a_C
            tile.window(gradient)[:] += self.run(of_window, tile, image, feed)
        return gradient


@contextmanager
def _open(weights, tiles, names):
    """Give a _Network for tiles and layers of the style; its memory is free again afterwards."""
    with open_network(weights) as (sess, layers):
        with as_defaults(sess):
            network = _Network(sess, layers, tiles, names)
        yield network


def measure_texture(picture, weights, limit=math.inf, names=STYLE_LAYERS):
    """Measure the `statistics` of layers of a normalised picture (1, h, w, 3).

    Arguments:
    weights -- nst.network.Weights
    limit -- pixels that the network may see at once
    names -- STYLE_LAYERS, or the first of them down to CONTENT_LAYER at least

    Returns:
    for each of the layers a list of three arrays
    """
    tiles = cut(*picture.shape[1:3], limit, names[-1])
    with _open(weights, tiles, names) as network:
        totals = network.average(picture)
        return network.sess.run(network.textures, dict(zip(network.totals, totals, strict=False)))


# --- cost and gradient ---------------------------------------------------------------------------


class Level(NamedTuple):
    """What the picture at one size is to be like."""

    photo: np.ndarray  # (1, h, w, 3), normalised
    targets: list  # of STYLE_LAYERS, or the first of them, see `measure_texture`
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


def evaluation(level, weights, limit=math.inf):
    """Prepare to evaluate J = content + style_weight · style + pixel_cost, and its gradient.

    Arguments:
    level -- Level
    weights -- nst.network.Weights
    limit -- pixels that the network may see at once; a larger picture is cut into tiles

    Returns:
    context manager of a function from an image (1, h, w, 3) to J and the gradient of that shape,
    float32; the memory is free again afterwards
    """
    tiles = cut(*level.photo.shape[1:3], limit, level.names[-1])
    return _in_tiles(level, weights, tiles) if len(tiles) > 1 else _whole(level, weights)


@contextmanager
def _whole(level, weights):
    with open_network(weights, *level.photo.shape[1:3]) as (sess, layers):
        image, a_G = layers["input"], layers[CONTENT_LAYER]
        with as_defaults(sess):  # not while the caller has the word
            sess.run(image.assign(level.photo))
            cost = content_cost(a_G, sess.run(a_G), level.content_target)
            cost += level.style_weight * style_cost(layers, level.targets)
            cost += level.pixel_cost(image)
            fetches = [cost, *tf.gradients(cost, image)]

        def evaluate(array):
            with sess.as_default():
                sess.run(image.assign(array))
                return sess.run(fetches)

        yield evaluate


@contextmanager
def _in_tiles(level, weights, tiles):
    with (
        _open(weights, tiles, level.names) as network,
        _pixel_evaluation(level) as evaluate_pixels,
    ):
        sess = network.sess
        contents = [network.run(network.content, tile, level.photo) for tile in tiles]
        with sess.graph.as_default():
            cost = network.totals[-1] / _content_unit(level, contents)
            cost += level.style_weight * style_distance(network.textures, level.targets)
            fetches = [cost, tf.gradients(cost, network.totals)]

        def evaluate(image):
            totals = network.average(image, contents)
            cost, slopes = sess.run(fetches, dict(zip(network.totals, totals, strict=True)))
            gradient = network.gradient(image, contents, slopes)
            pixel_cost, pixel_gradient = evaluate_pixels(image)
            gradient += pixel_gradient
            return cost + pixel_cost, gradient

        yield evaluate


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
