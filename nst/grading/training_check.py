"""Compare a notebook's training with reference costs, at images that the grader chooses.

This runs in the grader, on the miniature network that the submission had. What the course invites
students to choose (layers, weights, learning rate, size, start) is noted and not a mistake.
"""

import contextlib
import functools
import io
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst.assignment.hints import explain
from nst.assignment.mistakes import CONTENT_STEPS, LAYER_STEPS
from nst.assignment.reference import right_cost
from nst.assignment.spec import COSTS, VGG_LAYERS
from nst.assignment.trial import new_session
from nst.assignment.verdict import Verdict
from nst.core.config import CONFIG
from nst.grading.protocol import probes

LARGEST = 1_000_000  # pixels
CONTENT_LAYER = "conv4_2"
COURSE_LAYERS = [(f"conv{block}_1", 0.2) for block in range(1, 6)]
COURSE_WEIGHTS, COURSE_RATE = (
    np.array([10, 40]),
    2,
)  # alpha and beta; pixels that Adam's first step moves
NEEDS = {  # cost: the functions that compute it
    "J_content": ("compute_content_cost",),
    "J_style": ("gram_matrix", "compute_layer_style_cost", "compute_style_cost"),
}


class TrainingTrace(NamedTuple):
    """Images, costs and layers of a notebook's training step."""

    layers: list  # of (name, weight)
    images: dict  # name in the notebook: array (1, n_H, n_W, 3), where the training's may be
    start: np.ndarray  # what it passed to model_nn
    state: np.ndarray  # the image in the model after one step
    returned: np.ndarray
    costs: np.ndarray  # rows (J, J_content, J_style): at `state`, and at each of `probes`
    probes: list  # images


class ReferenceRuns:
    """Reference networks, built once for each size."""

    def __init__(self, weights):
        """`weights` are the bytes of the network's weight file."""
        self._weights, self._built, self._lock = weights, {}, threading.Lock()

    def judge(self, fields, arrays, seed, failed):
        """Judge the answer of `worker.Submission.training`, measured with `seed`.

        Arguments:
        failed -- dict: the functions that failed, and why

        Returns:
        Verdict
        costs -- right [J, J_content, J_style] after the step, None if they cannot be computed
        follows -- name of the function whose mistake alone makes the training fail, or ""
        """
        blamed = {cost: next(filter(failed.get, names), "") for cost, names in NEEDS.items()}
        is_own = not {"model_nn", "total_cost"} & {*failed}  # what is the training's own is right
        if diagnosis := _no_training(fields):
            first = next(filter(None, blamed.values()), "") if is_own else ""
            advice = f" First correct {first}." if first else ""
            return Verdict(None, diagnosis + advice), None, first
        trace = read(fields, arrays, seed)
        if isinstance(trace, str):
            return Verdict(None, trace), None, ""
        with self._lock, np.errstate(all="ignore"):
            size = trace.state.shape[1:3]
            if size not in self._built:
                self._built[size] = ReferenceNetwork(self._weights, *size)
            check = Check(trace, self._built[size])
            diagnosis, wrong = check.diagnosis()
        got = trace.costs[0]
        first = blamed.get(wrong, "")
        if wrong and first:
            diagnosis = f"{wrong} differs from ours because {first} is wrong: see there."
            return Verdict(got, diagnosis), check.costs(), first if is_own else ""
        return (
            Verdict(got, diagnosis, "" if diagnosis else " ".join(check.notes)),
            check.costs(),
            "",
        )


def _no_training(fields):
    if "cannot" in fields:
        return f"model_nn cannot run on its network: {explain(str(fields['cannot']))}"
    return str(fields.get("complaint", ""))[:400]


def read(fields, arrays, seed):
    """Read the answer as a TrainingTrace, or as a sentence on what is wrong with its form."""
    try:
        layers = [(str(name), float(weight)) for name, weight in fields["layers"]]
        start, state, returned = (arrays[name] for name in ("start", "state", "returned"))
        costs = np.asarray(arrays["costs"], float)
    except (KeyError, TypeError, ValueError):
        return "it cannot be compared: what it gives has another form than images and costs."
    if unknown := [name for name, _ in layers if name not in VGG_LAYERS]:
        return f"STYLE_LAYERS names {unknown[0][:30]}, which is not a layer of VGG-19 like conv1_1."
    shape = state.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or not min(shape[1:3]) >= 16:
        return "it cannot be compared: model['input'] is not an image of shape (1, n_H, n_W, 3)."
    if shape[1] * shape[2] > LARGEST:
        return f"it cannot be compared: the image has more than {LARGEST:,} pixels."
    if start.shape != shape:
        return "model_nn starts at an array of another shape than model['input']."
    drawn = probes(seed, shape)
    if not layers or costs.shape != (1 + len(drawn), 3):
        return "it cannot be compared: J, J_content and J_style must be one number each."
    if not all(np.isfinite(numbers).all() for numbers in (costs, start, state)):
        return "its costs are not finite. Look for a division by 0."
    images = {name.partition(" ")[2]: arrays[name] for name in arrays if name.startswith("image ")}
    images = {name: image for name, image in images.items() if image.shape == shape}
    return TrainingTrace(layers, images, start, state, returned, costs, drawn)


class ReferenceNetwork:
    """The network for images of one size: activations, and gradients of right costs."""

    def __init__(self, weights, height, width):
        import tensorflow.compat.v1 as tf

        from nst.vgg.network import load_vgg_model

        self._graph = tf.Graph()
        with self._graph.as_default():
            self._session = new_session()
            with (
                tempfile.TemporaryDirectory(prefix="nst-grade-") as folder,
                self._session.as_default(),
                contextlib.redirect_stdout(io.StringIO()),
            ):
                path = Path(folder, "weights.mat")
                path.write_bytes(weights)
                model = load_vgg_model(str(path), height, width)
            self._input, self._layers = model["input"], {name: model[name] for name in VGG_LAYERS}
            self._slopes = {n: tf.placeholder(tf.float32, t.shape) for n, t in self._layers.items()}
            outputs, slopes = list(self._layers.values()), list(self._slopes.values())
            self._gradient = tf.gradients(outputs, self._input, slopes)[0]

    def activations(self, image):
        """Return the activations of an image: {layer: array}."""
        return self._run(image, self._layers)

    def gradient(self, image, slopes):
        """Return the gradient of a cost by the image, from its slopes by the activations."""
        feed = {t: slopes.get(n, np.zeros(t.shape, np.float32)) for n, t in self._slopes.items()}
        return self._run(image, self._gradient, feed)

    def _run(self, image, fetches, feed=None):
        with self._graph.as_default(), self._session.as_default():
            self._session.run(self._input.assign(image))
            return self._session.run(fetches, feed)


def _content_slopes(layer, here, target):
    size = here[layer].size
    return {layer: ((here[layer] - target[layer]) / (2 * size)).astype(np.float32)}


def _style_slopes(layers, here, target):
    slopes = {}
    for name, weight in layers:
        _, n_H, n_W, n_C = here[name].shape
        F, S = (a[name].reshape(-1, n_C).astype(float) for a in (here, target))
        slope = weight * (F @ (F.T @ F - S.T @ S)) / (n_C * n_H * n_W) ** 2
        slopes[name] = slopes.get(name, 0) + slope.reshape(here[name].shape).astype(np.float32)
    return slopes


class Check:
    """The comparison of one trace with the reference network."""

    def __init__(self, trace, network):
        self._trace, self._network, self.notes = trace, network, []
        self._probed = [network.activations(image) for image in trace.probes]
        self._content = self._style = self._weights = None
        zeros = np.zeros_like(trace.start)
        self._images = trace.images | {"the start image": trace.start, "zeros": zeros}
        self._targets = functools.cache(lambda name: network.activations(self._images[name]))

    def diagnosis(self):
        """Return what is wrong, and the name of the cost that is, if it is one: (text, name)."""
        if found := self._start_diagnosis() or self._weights_diagnosis():
            return found, ""
        for wrong, find in (("J_content", self._find_content), ("J_style", self._find_style)):
            if found := find():
                return found, wrong if found.startswith(f"{wrong} differs") else ""
        return self._step_diagnosis(), ""

    def _start_diagnosis(self):
        start, state, returned = self._trace.start, self._trace.state, self._trace.returned
        if np.array_equal(state, start):
            return "train_step did not run: the image is still the start image."
        if np.mean(np.abs(state)) < 0.2 * np.mean(np.abs(start)):
            return "assign did not run: the training began at zeros. sess.run it before the loop."
        if not same_image(returned, state):
            noise = " but the start image" if same_image(returned, start) else ""
            return f"the returned image is not the optimized one{noise}."
        return ""

    def _find_content(self):
        layers = sorted(VGG_LAYERS, key=lambda name: name != CONTENT_LAYER)
        for layer in layers:
            for name in self._images:
                right = functools.partial(_content_cost, layer, self._targets(name))
                if self._matches(1, right):
                    self._content = layer, self._targets(name)
                    if layer != CONTENT_LAYER:
                        self.notes.append(f"Its content layer is {layer}, not {CONTENT_LAYER}.")
                    return self._image_diagnosis("J_content", name, "style_image")
        return "J_content differs from ours. Look at compute_content_cost, and at its arguments."

    def _find_style(self):
        layers = self._trace.layers
        for name in self._images:
            if self._matches(2, functools.partial(_style_cost, layers, self._targets(name))):
                self._style = self._targets(name)
                if layers != COURSE_LAYERS:
                    self.notes.append("Its style layers and their weights are its own choice.")
                return self._image_diagnosis("J_style", name, "content_image")
        return "J_style differs from ours. Look at its functions, and at the layers it takes."

    def _matches(self, column, cost):
        """Compare a column of the costs at the probes with a right cost."""
        pairs = zip(self._trace.costs[1:, column], self._probed, strict=True)
        return all(np.isclose(found, cost(here), rtol=1e-3, atol=0) for found, here in pairs)

    def _image_diagnosis(self, cost, name, other):
        meant = "content_image" if cost == "J_content" else "style_image"
        image = self._trace.images.get(meant, self._trace.images[name])
        if image.min() >= 0 and image.max() > 255 - CONFIG.MEANS.min():  # which assign refuses
            return f"{meant} is not normalized: reshape_and_normalize_image subtracts the MEANS."
        if name in ("the start image", "zeros", other):
            return f"{cost} compares with {name}, not with {meant}: sess.run its assign first."
        return ""

    def _weights_diagnosis(self):
        """Find alpha and beta in J; a training may choose its own, but not mix them up."""
        J, terms = self._trace.costs[:, 0], self._trace.costs[:, 1:]
        shares = terms / J[:, None]
        largest = np.max(np.abs(shares), axis=0) + 1e-30
        fitted = np.linalg.lstsq(shares / largest, np.ones(len(J)), rcond=None)[0]
        self._weights = alpha, beta = weights = fitted / largest
        said, look = "J is not 10 * J_content + 40 * J_style", "Look at the call of total_cost."
        visible = largest * COURSE_WEIGHTS > 1e-4  # in float32; a term may be too small for it
        for name, share, can_be_seen in zip(COSTS[1:], fitted, visible, strict=True):
            if abs(share) < 1e-5 and can_be_seen:
                return f"{said}: {name} is not in it. {look}"
        if not np.allclose(shares @ weights, 1, atol=2e-3) or (weights[visible] < 0).any():
            return f"{said}. {look}"
        if not visible.all():
            return ""
        if np.allclose(weights, COURSE_WEIGHTS[::-1], rtol=0.02):
            return f"{said} but 40 and 10, swapped. {look}"
        if not np.allclose(weights, COURSE_WEIGHTS, rtol=0.02):
            self.notes.append(f"alpha is {alpha:.3g} and beta {beta:.3g}, not 10 and 40.")
        return ""

    def _step_diagnosis(self):
        """Compare the step with the gradients: is it downhill in J, or in one of its terms?"""
        trace, (layer, content) = self._trace, self._content
        step = trace.state - trace.start
        here = self._network.activations(trace.start)
        slopes = (
            _content_slopes(layer, here, content),
            _style_slopes(trace.layers, here, self._style),
        )
        gradients = [
            weight * self._network.gradient(trace.start, each)
            for weight, each in zip(self._weights, slopes, strict=True)
        ]
        alike = [_likeness(-step, g) for g in (sum(gradients), *gradients)]
        if max(alike) < 0.3:
            return (
                "the image does not move downhill in J from the one that model_nn gets. Does it "
                "begin at another one, such as a second generate_noise_image?"
            )
        if alike[0] < max(alike) - 0.02:
            name = COSTS[int(np.argmax(alike))]
            return f"train_step minimizes {name} alone. It must minimize J."
        pace = np.max(np.abs(step))
        if not np.isclose(pace, COURSE_RATE, rtol=0.02):
            self.notes.append(
                f"One step moves a pixel by {pace:.2g}, not by 2 as Adam's at rate 2.0."
            )
        return ""

    def costs(self):
        """Return right [J, J_content, J_style] at the image after the step."""
        if not self._content or not self._style:
            return None
        here = self._network.activations(self._trace.state)
        layer, target = self._content
        content = _content_cost(layer, target, here)
        style = _style_cost(self._trace.layers, self._style, here)
        alpha, beta = COURSE_WEIGHTS
        return [alpha * content + beta * style, content, style]


def _content_cost(layer, a, b):
    return float(right_cost(CONTENT_STEPS, a[layer], b[layer]))


def _style_cost(layers, a, b):
    return float(sum(w * right_cost(LAYER_STEPS, a[name], b[name]) for name, w in layers))


def _likeness(step, gradient):
    """Return the cosine between a step and a gradient, or its signs, whichever is larger."""
    cosines = [
        np.sum(step * g) / (np.linalg.norm(step) * np.linalg.norm(g) + 1e-30)
        for g in (gradient, np.sign(gradient))
    ]
    return max(cosines)


def same_image(a, b):
    return np.shape(a) == np.shape(b) and np.mean(np.abs(a - b)) < 0.1  # of 255; a step is 2
