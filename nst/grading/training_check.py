"""Compare a notebook's training with reference costs, at images that the grader chooses.

This runs in the grader, on the miniature network that the submission had. What the course invites
students to choose (layers, weights, learning rate, size, start) is noted and not a mistake.
"""

import functools

import numpy as np

from nst.assignment.reference import content_cost, layer_style_cost
from nst.assignment.samples import draw_images
from nst.assignment.spec import COSTS, VGG_LAYERS
from nst.core.config import CONFIG
from nst.grading.sandbox import balanced_convolutions
from nst.vgg.network import Weights, open_network

CONTENT_LAYER = "conv4_2"
COURSE_LAYERS = [(f"conv{block}_1", 0.2) for block in range(1, 6)]
COURSE_WEIGHTS = np.array([10, 40])  # alpha and beta
COURSE_RATE = 2  # pixels that Adam's first step moves
NEEDS = {  # what may be wrong: the functions that it comes from
    "J_content": ("compute_content_cost",),
    "J_style": ("gram_matrix", "compute_layer_style_cost", "compute_style_cost"),
    "J": ("total_cost",),
    "step": ("model_nn",),
}


def judge(fields, arrays, seed, failed):
    """Judge what `worker.Submission.run_notebook` gave for `seed`.

    Arguments:
    failed -- names of the functions that failed

    Returns:
    diagnosis -- what is wrong, empty if nothing is
    note -- what the student chose
    follows -- the function whose mistake alone makes the training fail, or ""

    Raises whatever fields and arrays of another form lead to.
    """
    first, notes = (failed[0] if failed and fields.get("is_called", True) else ""), []
    if diagnosis := fields.get("complaint") or _form_diagnosis(fields, arrays):
        advice = f" First correct {first}." if first else ""
    else:
        weights = Weights(balanced_convolutions(), "float32")
        with np.errstate(all="ignore"), open_network(weights) as (session, tensors):
            check = Check(lambda a: session.run(tensors, {tensors["input"]: a}), fields, arrays)
            diagnosis, wrong = check.diagnosis(seed)
        notes = check.notes
        if not diagnosis and "model_nn" in failed:
            diagnosis = "the image is not what a correct model_nn returns."
        first = next(filter(failed.__contains__, NEEDS[wrong]), "")
        advice = f" It comes from {first}: see there." if first else ""
    if not diagnosis:
        return "", " ".join(notes), ""
    if error := fields.get("first_error"):  # the rest may follow from it
        diagnosis = f"{error} Then {diagnosis}"
    is_alone = failed == [first] or not {"model_nn", "total_cost"} & {*failed}
    return diagnosis + advice, "", first if is_alone else ""


def _form_diagnosis(fields, arrays):
    """Find what keeps the training from being compared."""
    if unknown := [name for name, _ in fields["layers"] if name not in VGG_LAYERS]:
        return f"STYLE_LAYERS names {unknown[0][:30]}, which is not a layer of VGG-19 like conv1_1."
    shape, costs = arrays["state"].shape, arrays["costs"]
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape[1:3]) < 16:
        return "it cannot be compared: model['input'] is not an image of shape (1, n_H, n_W, 3)."
    if arrays["start"].shape != shape:
        return "model_nn starts at an array of another shape than model['input']."
    if not fields["layers"] or costs.ndim != 2 or costs.shape[1] != len(COSTS):
        return "it cannot be compared: J, J_content and J_style must be one number each."
    numbers = [arrays[name] for name in ("costs", "start", "state", "gradients")]
    if not all(np.isfinite(array).all() for array in numbers):
        return "its costs are not finite. Look for a division by 0."
    return ""


class Check:
    """The comparison of one training with the reference network."""

    def __init__(self, activations_of, fields, arrays):
        """Take the network, a function from an image to its activations, and the worker's data."""
        self._activations_of = activations_of
        self._layers = [(name, float(weight)) for name, weight in fields["layers"]]
        self._arrays, start = arrays, arrays["start"]
        self._costs = np.asarray(arrays["costs"], float)  # rows J, J_content, J_style
        own = {name[6:]: arrays[name] for name in arrays if name.startswith("image ")}
        self._images = {name: image for name, image in own.items() if image.shape == start.shape}
        self._images |= {"the start image": start, "zeros": np.zeros_like(start)}
        self._target = functools.cache(lambda name: activations_of(self._images[name]))
        self.notes = []

    def diagnosis(self, seed):
        """Return what is wrong, and which of NEEDS it is: (text, key)."""
        weights, found = self._weights()
        if found:
            return found, "J"
        images = draw_images(seed, self._arrays["start"].shape)
        probed = [self._activations_of(image) for image in images]
        found = self._content_diagnosis(probed)
        if found:
            return found, "J_content"
        found = self._style_diagnosis(probed)
        if found:
            return found, "J_style"
        return self._step_diagnosis(weights), "step"

    def _weights(self):
        """Find alpha and beta in J, and what is wrong: a training may choose its own, unmixed."""
        J, terms = self._costs[:, 0], self._costs[:, 1:]
        shares = terms / J[:, None]
        largest = np.max(np.abs(shares), axis=0) + 1e-30
        fitted = np.linalg.lstsq(shares / largest, np.ones(len(J)), rcond=None)[0]
        alpha, beta = weights = fitted / largest
        wrong, look = "J is not 10 * J_content + 40 * J_style", "Look at the call of total_cost."
        visible = largest * COURSE_WEIGHTS > 1e-4  # in float32; a term may be too small for it
        for name, share, can_be_seen in zip(COSTS[1:], fitted, visible, strict=True):
            if abs(share) < 1e-5 and can_be_seen:
                return weights, f"{wrong}: {name} is not in it. {look}"
        if not np.allclose(shares @ weights, 1, atol=2e-3) or (weights[visible] < 0).any():
            return weights, f"{wrong}. {look}"
        if visible.all() and np.allclose(weights, COURSE_WEIGHTS[::-1], rtol=0.02):
            return weights, f"{wrong} but 40 and 10, swapped. {look}"
        if visible.all() and not np.allclose(weights, COURSE_WEIGHTS, rtol=0.02):
            self.notes.append(f"alpha is {alpha:.3g} and beta {beta:.3g}, not 10 and 40.")
        return weights, ""

    def _content_diagnosis(self, probed):
        """Find the layer and the image that give J_content at the probed activations."""
        for layer in sorted(VGG_LAYERS, key=lambda name: name != CONTENT_LAYER):
            for name in self._images:
                target = self._target(name)[layer]
                if self._gives(1, [content_cost(target, here[layer]) for here in probed]):
                    if layer != CONTENT_LAYER:
                        self.notes.append(f"Its content layer is {layer}, not {CONTENT_LAYER}.")
                    return self._image_diagnosis("J_content", name, "style_image")
        if not self._costs[:, 1].any():
            return "J_content is always 0. a_C must be numbers, sess.run(out), and a_G the tensor."
        return "J_content differs from ours. Look at compute_content_cost, and at its arguments."

    def _style_diagnosis(self, probed):
        """Find the image that gives J_style at the probed activations."""
        for name in self._images:
            t = self._target(name)
            costs = [[layer_style_cost(1, t[n], a[n]) for n, _ in self._layers] for a in probed]
            if self._gives(2, costs @ np.array([weight for _, weight in self._layers])):
                if self._layers != COURSE_LAYERS:
                    self.notes.append("Its style layers and their weights are its own choice.")
                return self._image_diagnosis("J_style", name, "content_image")
        return "J_style differs from ours. Look at its functions, and at the layers it takes."

    def _gives(self, column, costs):
        return np.allclose(self._costs[:, column], costs, rtol=1e-3, atol=0)

    def _image_diagnosis(self, cost, name, other):
        meant = "content_image" if cost == "J_content" else "style_image"
        image = self._images.get(meant, self._images[name])
        if image.min() >= 0 and image.max() > 255 - CONFIG.MEANS.min():  # which assign refuses
            return f"{meant} is not normalized: reshape_and_normalize_image subtracts the MEANS."
        if name in ("the start image", "zeros", other):
            return f"{cost} compares with {name}, not with {meant}: sess.run its assign first."
        return ""

    def _step_diagnosis(self, weights):
        """Compare the step with the gradients: is it downhill in J, or in one of its terms?"""
        step = self._arrays["state"] - self._arrays["start"]
        terms = [w * g for w, g in zip(weights, self._arrays["gradients"], strict=True)]
        alike = [_likeness(-step, gradient) for gradient in (sum(terms), *terms)]
        if max(alike) < 0.3:
            return (
                "the image does not move downhill in J from the one that model_nn gets. Does "
                "train_step minimize J, and not begin at a second generate_noise_image?"
            )
        if alike[0] < max(alike) - 0.02:
            name = COSTS[int(np.argmax(alike))]
            return f"train_step minimizes {name} alone. It must minimize J."
        pace = np.max(np.abs(step))
        if not np.isclose(pace, COURSE_RATE, rtol=0.02):
            self.notes.append(f"One step moves a pixel by {pace:.2g}, not by 2 as in the course.")
        return ""


def _likeness(step, gradient):
    """Return the cosine between a step and a gradient, or its signs, whichever is larger."""
    cosines = [
        np.sum(step * g) / (np.linalg.norm(step) * np.linalg.norm(g) + 1e-30)
        for g in (gradient, np.sign(gradient))
    ]
    return max(cosines)
