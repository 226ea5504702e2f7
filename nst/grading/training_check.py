"""A right training step to compare a notebook's with: its pictures, its costs, its picture after.

This runs in the grader, on the miniature network that the submission had, from its pictures.
"""

import contextlib
import io
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst.assignment.hints import explain
from nst.assignment.mistakes import CONTENT_STEPS, LAYER_STEPS
from nst.assignment.reference import right_cost
from nst.assignment.trial import new_session
from nst.assignment.verdict import Outcome, right_layer_cost
from nst.grading.protocol import probe

PICTURES = {"content": "the content picture", "style": "the style picture", "start": "the noise"}
LARGEST = 1_000_000  # pixels
PROBES = "costs_content", "costs_style", "costs_probe"
PACES = 0.5, 20  # learning rates with which 200 steps still end in a picture
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's


class Measured(NamedTuple):
    """What the notebook's training gave."""

    layers: dict  # name: weight
    pictures: dict  # PICTURES and "zeros": arrays (1, n_H, n_W, 3)
    state: np.ndarray  # the picture in the model after the step
    returned: np.ndarray
    costs: list  # [J, J_content, J_style] at `state`
    alpha: float
    beta: float
    probe: np.ndarray  # a picture, of the grader's choice
    probed: list  # [J, J_content, J_style] there


class Rehearsals:
    """The network, built once for each size and list of layers."""

    def __init__(self, weights):
        """`weights` is what stands in the network's weight file, as bytes."""
        self._weights, self._built, self._lock = weights, {}, threading.Lock()

    def judge(self, fields, arrays, seed):
        """Judge the answer of `worker.train` to `seed`: (Outcome, right costs or None)."""
        if complaint := _no_training(fields):
            return Outcome(None, complaint), None
        measured = read(fields, arrays, seed)
        if isinstance(measured, str):
            return Outcome(None, measured), None
        with self._lock, np.errstate(all="ignore"):
            stage = self._stage(measured.state.shape[1:3], tuple(measured.layers))
            fault, note = find_fault(measured, *stage.perform(measured))
            right = stage.costs(measured)
        return Outcome(np.array(measured.costs), fault, note), right

    def _stage(self, size, layers):
        if (size, layers) not in self._built:
            self._built[size, layers] = Stage(self._weights, size, layers)
        return self._built[size, layers]


def _no_training(fields):
    if "stops" in fields:
        said = explain(str(fields["stops"])[:2000])
        return f"it does not begin: {str(fields.get('cell', ''))[:60]} stops with {said}"
    if "cannot" in fields:
        return f"it cannot be compared: {explain(str(fields['cannot'])[:2000])}"
    if "complaint" in fields:
        return str(fields["complaint"])[:400]
    return ""


def read(fields, arrays, seed):
    """Read what came as a Measured, or as a sentence on what is wrong with its form."""
    names = [f"conv{b}_{i}" for b in range(1, 6) for i in range(1, 5)]
    names += [f"avgpool{b}" for b in range(1, 6)]
    layers = fields.get("layers")
    try:
        layers = {name: float(weight) for name, weight in layers}
        pictures = {name: np.asarray(arrays[name], np.float32) for name in PICTURES}
        costs = {name: arrays[name] for name in ("costs", *PROBES)}
        state, returned = arrays["state"], arrays["returned"]
    except (KeyError, TypeError, ValueError):
        return "it cannot be compared: what it gives has another form than pictures and costs."
    if unknown := sorted(set(layers) - set(names)):
        return f"STYLE_LAYERS names {unknown[0][:30]}, no layer of VGG-19 like conv1_1."
    if not layers or any(array.shape != (3,) for array in costs.values()):
        return "it cannot be compared: J, J_content and J_style must be one number each."
    shape = state.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or not min(shape[1:3]) >= 16:
        return "it cannot be compared: model['input'] is not a picture of shape (1, n_H, n_W, 3)."
    if shape[1] * shape[2] > LARGEST:
        return f"it cannot be compared: the picture has more than {LARGEST:,} pixels."
    for name, picture in pictures.items():
        if picture.shape != shape:
            return f"it cannot be compared: {PICTURES[name]} has another shape than model['input']."
    numbers = [*pictures.values(), *costs.values(), state]
    if not all(np.isfinite(number).all() for number in numbers):
        return "its costs are not finite. Look for a division by 0."
    pictures["zeros"] = np.zeros(shape, np.float32)
    J_at_content, _, style_at_content = costs["costs_content"]
    J_at_style, content_at_style, _ = costs["costs_style"]
    with np.errstate(all="ignore"):  # content costs nothing at the content picture, so J is style
        beta = J_at_content / style_at_content
        alpha = J_at_style / content_at_style
    here, there = costs["costs"].tolist(), costs["costs_probe"].tolist()
    own = probe(seed, state)
    return Measured(layers, pictures, state, returned, here, alpha, beta, own, there)


class Stage:
    """The network for pictures of one size, with right costs behind it."""

    def __init__(self, weights, size, layers):
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
                self._model = model = load_vgg_model(str(path), *size)
            self._features = {name: model[name] for name in ("conv4_2", *layers)}
            self._targets = {
                name: tf.placeholder(tf.float32, tensor.shape, f"target_{i}")
                for i, (name, tensor) in enumerate(self._features.items())
            }
            self._a_C = tf.placeholder(tf.float32, model["conv4_2"].shape)
            self._weights = tf.placeholder(tf.float32, [2 + len(layers)])
            alpha, beta, *each = tf.unstack(self._weights)
            size_ = 4 * float(np.prod(model["conv4_2"].shape.as_list()))
            J = alpha * tf.reduce_sum((model["conv4_2"] - self._a_C) ** 2) / size_
            for weight, name in zip(each, layers, strict=True):
                J += beta * weight * right_layer_cost(self._targets[name], model[name])
            self._gradient = tf.gradients(J, model["input"])[0]

    def see(self, image):
        """Give the features of an image: {layer: array}."""
        with self._graph.as_default(), self._session.as_default():
            self._session.run(self._model["input"].assign(image))
            return self._session.run(self._features)

    def _step(self, image, content, style, measured, rate):
        """Do Adam's first step from an image."""
        self.see(image)
        feed = {self._targets[name]: style[name] for name in self._targets}
        feed[self._a_C] = content["conv4_2"]
        feed[self._weights] = [measured.alpha, measured.beta, *measured.layers.values()]
        g = self._session.run(self._gradient, feed)
        pace = rate * np.sqrt(1 - BETA2) / (1 - BETA1)
        return image - pace * (1 - BETA1) * g / (np.sqrt(1 - BETA2) * np.abs(g) + EPSILON)

    def perform(self, measured):
        """Do what the notebook did, in the right way.

        Returns:
        stepped, from_zeros -- the picture after one step from the noise, and from zeros
        contents, styles -- the costs of the notebook's picture compared with each of its pictures
        probed -- the two costs of the probe
        """
        seen = {name: self.see(image) for name, image in measured.pictures.items()}
        rate = np.max(np.abs(measured.state - measured.pictures["start"]))
        both = seen["content"], seen["style"]
        stepped, from_zeros = (
            self._step(measured.pictures[name], *both, measured, own)
            for name, own in (("start", rate), ("zeros", 2))
        )
        now = self.see(measured.state)
        contents = {name: _content_cost(now, a) for name, a in seen.items()}
        styles = {name: _style_cost(now, a, measured.layers) for name, a in seen.items()}
        there = self.see(measured.probe)
        style = _style_cost(there, seen["style"], measured.layers)
        probed = [_content_cost(there, seen["content"]), style]
        return stepped, from_zeros, contents, styles, probed

    def costs(self, measured):
        """Give [J, J_content, J_style] of the assignment after its one step from the noise."""
        seen = {name: self.see(measured.pictures[name]) for name in ("content", "style")}
        ours = measured._replace(alpha=10.0, beta=40.0)
        stepped = self._step(ours.pictures["start"], *seen.values(), ours, 2)
        now = self.see(stepped)
        content = _content_cost(now, seen["content"])
        style = _style_cost(now, seen["style"], ours.layers)
        return [10 * content + 40 * style, content, style]


def _content_cost(a, b):
    return float(right_cost(CONTENT_STEPS, a["conv4_2"], b["conv4_2"]))


def _style_cost(a, b, layers):
    return float(sum(w * right_cost(LAYER_STEPS, a[name], b[name]) for name, w in layers.items()))


def find_fault(measured, stepped, from_zeros, contents, styles, probed):
    """Say what is wrong with one step of training, and what is its own choice: (fault, note)."""
    state, start = measured.state, measured.pictures["start"]
    if np.array_equal(state, start):
        return "train_step did not run: the picture is still the noise.", ""
    if near(state, from_zeros) or not state.any():
        begun = "assign did not run: the training began with zeros. sess.run it before the loop."
        return begun, ""
    _, content, style = measured.costs
    if fault := _cost_fault("J_content", content, contents, "content"):
        return fault, ""
    if fault := _cost_fault("J_style", style, styles, "style"):
        return fault, ""
    if not np.allclose(measured.probed[1:], probed, rtol=1e-3):
        return (
            "J_content and J_style are right for one picture alone. Compute them in the graph.",
            "",
        )
    fault, note = _weights_fault(measured)
    pace = np.max(np.abs(state - start))
    if not fault and not np.isclose(pace, 2, rtol=0.01):
        said = f"one step moves a pixel by {pace:.2g}, not by 2. The learning rate of Adam is 2.0"
        if PACES[0] <= pace <= PACES[1]:
            note = f"{note} In its training {said}: its own choice, and no mistake.".strip()
        else:
            fault = f"{said}."
    if not fault and not near(state, stepped):
        fault = "the picture after one step is not ours. train_step must minimise J."
    if not fault and not near(measured.returned, state):
        noise = " but the noise" if near(measured.returned, start) else ""
        fault = f"the returned picture is not the optimised one{noise}."
    return fault, "" if fault else note


def _cost_fault(name, cost, rights, meant):
    matching = [picture for picture, right in rights.items() if np.isclose(cost, right, 1e-3)]
    if meant in matching:
        return ""
    if not matching:
        return f"{name} differs from ours. Look at its function, and at the layers it takes."
    found = PICTURES.get(matching[0], "zeros")
    return f"{name} compares with {found}, not with {PICTURES[meant]}: sess.run its assign first."


def _weights_fault(measured):
    """Judge the weights of the two costs in J: a training may choose its own, but not mix them up.

    The assignment invites to try others; what it grades, total_cost, has its own row.
    """
    J, content, style = measured.costs
    alpha, beta = measured.alpha, measured.beta
    told = "J is not 10 * J_content + 40 * J_style"
    look = "Look at the call of total_cost."
    if np.isclose(J, 10 * content + 40 * style, rtol=1e-3):
        return "", ""
    if np.allclose([alpha, beta], [40, 10], rtol=1e-2):
        return f"{told} but 40 and 10, swapped. {look}", ""
    if not np.isclose(J, alpha * content + beta * style, rtol=1e-3) or min(alpha, beta) <= 0:
        return f"{told}. {look}", ""
    return "", (
        f"Its training has alpha {alpha:.3g} and beta {beta:.3g}, not 10 and 40: its own choice, "
        "and no mistake."
    )


def near(a, b):
    return np.shape(a) == np.shape(b) and np.mean(np.abs(a - b)) < 0.1  # of 255; a step is 2
