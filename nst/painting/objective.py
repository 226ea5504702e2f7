"""The cost at one level and its gradient, for the whole image or tile by tile.

One graph serves images of every size: building one for each level, and its first run, took a third
of the time of a 400×300 painting.

Tiles are exact, not an approximation. The costs depend on the network's activations only through
averages over positions: Gram matrices, means, the squared distance from the photo. A first pass
averages over all tiles, which gives J and its derivatives by the averages. A second pass
backpropagates these derivatives through the network, tile by tile, to the pixels; the tiles'
gradients add up to that of the whole image. This is the method of Galerne, Raad, Lezama and Morel
(2024, "Scaling Painting Style Transfer", arXiv 2212.13459). Where to cut, and why it is exact, is
in tiling.py.
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
from nst.vgg.weights import layer_names

tf = import_tensorflow()

CELLS = {name: receptive_field(name)[0] for name in {*STYLE_LAYERS, CONTENT_LAYER}}


class Target(NamedTuple):
    """Statistics of one style image, or the weighted mean of several."""

    textures: dict  # from the style layers' names to the three arrays of `statistics`
    content: tuple  # mean square and means (n_C,) of CONTENT_LAYER, for `content_unit`

    @classmethod
    def mix(cls, shares, targets):
        """Return the weighted mean of several.

        The sum of weighted squared distances from several targets is least at their weighted mean,
        so several style images take the same time as one.
        """

        def mean(*arrays):
            return sum(share * array for share, array in zip(shares, arrays, strict=True))

        textures = {
            name: tuple(map(mean, *(target.textures[name] for target in targets)))
            for name in targets[0].textures
        }
        return cls(textures, tuple(map(mean, *(target.content for target in targets))))


class Level(NamedTuple):
    """The objective at one level of the pyramid."""

    photo: np.ndarray  # (1, h, w, 3), normalized
    target: Target
    weights: dict  # from the style layers' names to their weights
    pixel_cost: object  # function from a tensor (1, h, w, 3), the image, to a scalar tensor

    @property
    def deepest(self):
        """The deepest layer that the network has to compute."""
        return deepest(self.weights)


def deepest(names):
    """Return the deepest of the style layers `names` and CONTENT_LAYER."""
    return max([*names, CONTENT_LAYER], key=layer_names(19).index)


@contextmanager
def open_painter(weights):
    """Context manager: a Network whose session is closed on exit.

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

    def measure(self, image, limit=math.inf, names=STYLE_LAYERS):
        """Measure the Target of a normalized style image (1, h, w, 3).

        Arguments:
        limit -- pixels that the network may see at once
        names -- style layers
        """
        tiles = cut(*image.shape[1:3], limit, deepest(names))
        graph, contents = self._graph(tuple(names), len(tiles) > 1), []

        def averages():
            for tile in tiles:
                content, *found = graph.run([graph.content, *graph.averages[:-1]], tile, image)
                contents.append(content)
                yield found

        totals = graph.feed_totals(graph.total(averages(), tiles))
        textures = self._sess.run(graph.textures, totals)
        return Target(dict(zip(names, textures, strict=True)), content_moments(contents))

    @contextmanager
    def evaluation(self, level, limit=math.inf):
        """Prepare to evaluate J = content + Σ weight · style distance + pixel_cost.

        Arguments:
        level -- Level
        limit -- pixels that the network may see at once; a larger image is cut into tiles

        Returns:
        context manager of a function from an image (1, h, w, 3) to J and its gradient, of that
        shape, float32
        """
        tiles = cut(*level.photo.shape[1:3], limit, level.deepest)
        graph = self._graph(tuple(level.weights), len(tiles) > 1)
        contents = [graph.run(graph.content, tile, level.photo) for tile in tiles]
        goal = graph.feed_goal(level, content_moments(contents))
        feeds = graph.feed_contents(contents)
        evaluate_network = graph.evaluate_in_tiles if len(tiles) > 1 else graph.evaluate_whole
        with _pixel_evaluation(level) as evaluate_pixels:

            def evaluate(image):
                cost, gradient = evaluate_network(image, tiles, feeds, goal)
                pixel_cost, pixel_gradient = evaluate_pixels(image)
                return cost + pixel_cost, gradient + pixel_gradient

            yield evaluate

    def _graph(self, *key):
        """Return the _Graph for some style layers, tiled or not, built on first use."""
        if key not in self._graphs:
            with as_defaults(self._sess):  # scoped, so the caller's default graph is untouched
                self._graphs[key] = _Graph(self._sess, self._layers, *key)
        return self._graphs[key]


def content_moments(contents):
    """Return the mean square and the means (n_C,) of an image's tiles' content activations."""
    positions = [a[..., 0].size for a in contents]
    return tuple(
        np.average([moment(a) for a in contents], axis=0, weights=positions)
        for moment in (lambda a: np.mean(a**2), lambda a: a.mean(axis=(0, 1, 2)))
    )


# --- the graph -----------------------------------------------------------------------------------


class _Graph:
    """J of an image, from averages over its positions.

    Attributes:
    content -- tensor: the activations of CONTENT_LAYER that a tile owns
    averages -- tensors: Gram matrix and means of each style layer, and the mean squared distance of
        `content` from the photo's
    textures -- the three `statistics` of each style layer, from `averages` or what is fed for them
    """

    def __init__(self, sess, layers, names, tiled):
        """Add to the network's graph.

        Arguments:
        names -- style layers
        tiled -- whether the network sees a halo around the positions that count
        """
        self._sess, self._window = sess, layers["input"]
        self._cells = [CELLS[name] for name in (*names, CONTENT_LAYER)]
        self._edges = [tf.placeholder(tf.int32, [4]) for _ in self._cells]

        def own(name, edges):
            top, bottom, left, right = tf.unstack(edges)
            return layers[name][:, top:bottom, left:right] if tiled else layers[name]

        *style, content = map(own, (*names, CONTENT_LAYER), self._edges)
        self.content = tf.cast(content, tf.float32)
        self._a_C = tf.placeholder(tf.float32, self.content.shape)
        distance = tf.reduce_mean(tf.square(self.content - self._a_C))
        self.averages = [a for layer in style for a in statistics(layer)[:2]] + [distance]
        self._totals = [tf.placeholder_with_default(a, a.shape) for a in self.averages]
        pairs = zip(self._totals[:-1:2], self._totals[1::2], strict=True)
        self.textures = [(gram, mean, deviations(gram, mean)) for gram, mean in pairs]
        self._targets = [[tf.placeholder(tf.float32, a.shape) for a in t] for t in self.textures]
        self._unit, self._weights = (tf.placeholder(tf.float32, s) for s in ([], [len(names)]))
        distances = map(style_distance, self.textures, self._targets)
        style = tf.tensordot(self._weights, tf.stack(list(distances)), 1)
        self._cost = self._totals[-1] / self._unit + style

    # --- what is fed ---

    def feed_goal(self, level, photo):
        """Return what to feed for a level, given the photo's `content_moments`."""
        targets = level.target.textures.values()
        pairs = zip(self._targets, targets, strict=True)
        arrays = {p: array for pair in pairs for p, array in zip(*pair, strict=True)}
        unit = content_unit(photo, level.target.content)
        return arrays | {self._unit: unit, self._weights: list(level.weights.values())}

    def feed_contents(self, contents):
        """Return what to feed for each tile, given the photo's activations there."""
        return [{self._a_C: a_C} for a_C in contents]

    def feed_totals(self, totals):
        """Return what to feed for averages over a whole image, with or without the last one."""
        return dict(zip(self._totals, totals, strict=False))

    def run(self, fetches, tile, image, feed=None):
        """Evaluate tensors for one tile of an image (1, h, w, 3)."""
        edges = map(tile.positions, self._cells)
        inputs = {self._window: tile.window(image)} | dict(zip(self._edges, edges, strict=True))
        return self._sess.run(fetches, inputs | (feed or {}))

    # --- the whole image at once ---

    @cached_property
    def _whole(self):
        """J and its gradient by the pixels."""
        return self._with_gradients(self._cost, self._window)

    def evaluate_whole(self, image, tiles, feeds, goal):
        """Evaluate J and its gradient (1, h, w, 3) for an image of one tile."""
        return self.run(self._whole, *tiles, image, goal | feeds[0])

    # --- tile by tile ---

    @cached_property
    def _forward(self):
        """J and its derivatives by the averages over the whole image."""
        cost, *slopes = self._with_gradients(self._cost, self._totals)
        return cost, slopes

    @cached_property
    def _backward(self):
        """Placeholders for these derivatives, and dJ/d(window)."""
        with self._sess.graph.as_default():
            slopes = [tf.placeholder(tf.float32, a.shape) for a in self.averages]
            return slopes, *tf.gradients(self.averages, self._window, slopes)

    def _with_gradients(self, cost, sources):
        with self._sess.graph.as_default():
            return [cost, *tf.gradients(cost, sources)]

    def total(self, averages, tiles):
        """Combine the `averages` of tiles, or the first of them, to those of the whole image."""
        totals = None
        for found, shares in zip(averages, self._shares(tiles), strict=True):
            parts = [share * np.float64(a) for share, a in zip(shares, found, strict=False)]
            totals = (
                parts if totals is None else [a + b for a, b in zip(totals, parts, strict=True)]
            )
        return totals

    def _shares(self, tiles):
        """Return each tile's share of the positions: array (tiles, averages)."""
        counts = [[tile.count(cell) for cell in self._cells] for tile in tiles]
        shares = np.array(counts) / np.sum(counts, axis=0)
        return np.column_stack([np.repeat(shares[:, :-1], 2, axis=1), shares[:, -1]])

    def evaluate_in_tiles(self, image, tiles, feeds, goal):
        """Evaluate J and its gradient (1, h, w, 3) in two passes over the tiles."""
        averages = (
            self.run(self.averages, tile, image, feed)
            for tile, feed in zip(tiles, feeds, strict=True)
        )
        totals = self.feed_totals(self.total(averages, tiles))
        cost, slopes = self._sess.run(self._forward, totals | goal)
        placeholders, window_gradient = self._backward
        gradient = np.zeros_like(image)
        for tile, feed, shares in zip(tiles, feeds, self._shares(tiles), strict=True):
            parts = zip(placeholders, shares, slopes, strict=True)
            slopes_of_tile = {slope: share * value for slope, share, value in parts}
            tile.window(gradient)[:] += self.run(
                window_gradient, tile, image, feed | slopes_of_tile
            )
        return cost, gradient


@contextmanager
def _pixel_evaluation(level):
    """Prepare to evaluate a level's `pixel_cost` and its gradient, without a network."""
    with closing(tf.Session(graph=tf.Graph())) as sess:
        with sess.graph.as_default():
            image = tf.placeholder(tf.float32, level.photo.shape)
            cost = level.pixel_cost(image)
            fetches = [cost, *tf.gradients(cost, image)]
        yield lambda array: sess.run(fetches, {image: array})
