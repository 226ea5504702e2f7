"""Compare a notebook's training with reference costs, at images that the grader chooses.

This runs in the grader, on the miniature network that the submission had. What the course invites
students to choose (layers, weights, learning rate, size, start) is noted and not a mistake.
"""

import numpy as np

from nst.assignment.reference import content_cost, layer_style_cost
from nst.assignment.samples import draw_images
from nst.assignment.spec import COSTS, VGG_LAYERS
from nst.core.config import CONFIG
from nst.grading.sandbox import balanced_convolutions
from nst.vgg.network import Weights, open_network

CONTENT_LAYER = "conv4_2"
COURSE_LAYERS = [[f"conv{block}_1", 0.2] for block in range(1, 6)]
COURSE_WEIGHTS = np.array([10, 40])  # alpha and beta
LAYERS_LIMIT, ARRAYS_LIMIT = 50, 20  # more would occupy the grader
COURSE_RATE = 2  # pixels that Adam's first step moves
WRONG_SUM = "J is not 10 * J_content + 40 * J_style{}. Look at the call of total_cost."
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
    if diagnosis := fields.get("complaint") or _form_diagnosis(arrays):
        advice = f" First correct {first}." if first else ""
    else:
        parts = _compare(fields["layers"], arrays, seed)
        wrong = next((name for name, (text, _) in parts.items() if text), "step")
        diagnosis, notes = parts[wrong][0], [note for _, note in parts.values() if note]
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


def _form_diagnosis(arrays):
    """Find what keeps the training from being compared."""
    shape, costs = arrays["state"].shape, arrays["costs"]
    if costs.shape[1:] != (len(COSTS),):
        return "it cannot be compared: J, J_content and J_style must be one number each."
    if arrays["start"].shape != shape:
        return f"model_nn gets an image of the wrong shape: model['input'] has {shape}."
    numbers = [arrays[name] for name in ("costs", "start", "state", "gradients")]
    if not all(np.isfinite(array).all() for array in numbers):
        return "its costs are not finite. Look for a division by 0."
    return ""


@np.errstate(all="ignore")
def _compare(layers, arrays, seed):
    """Compare the costs and the step with the reference: {key of NEEDS: (diagnosis, note)}."""
    if len(layers) > LAYERS_LIMIT or len(arrays) > ARRAYS_LIMIT:
        raise ValueError("more layers or images than a notebook has")
    start, costs = arrays["start"], np.asarray(arrays["costs"], float).T
    images = {name[6:]: array for name, array in arrays.items() if name.startswith("image ")}
    images |= {"the start image": start, "zeros": np.zeros_like(start)}
    with open_network(Weights(balanced_convolutions(), "float32")) as (session, tensors):

        def activations(image):
            return session.run(tensors, {tensors["input"]: image})

        probed = [activations(image) for image in draw_images(seed, start.shape)]
        targets = {name: activations(image) for name, image in images.items()}
    shares = costs[1:] / costs[0]
    weights = np.linalg.lstsq(shares.T, np.ones(len(costs[0])), rcond=None)[0]
    return {
        "J": _judge_sum(shares, weights),
        "J_content": _judge_content(costs[1], targets, probed, images),
        "J_style": _judge_style(costs[2], targets, probed, images, layers),
        "step": _judge_step(arrays["state"] - start, arrays["gradients"], weights),
    }


def _judge_sum(shares, weights):
    """Judge J by what its terms are, divided by it; alpha and beta may be the student's own."""
    largest = np.max(np.abs(shares), axis=1)
    visible = largest * COURSE_WEIGHTS > 1e-4  # in float32; a term may be too small for it
    missing = visible & (np.abs(weights) * largest < 1e-5)
    if missing.any():
        return WRONG_SUM.format(f": {COSTS[1 + missing.argmax()]} is not in it"), ""
    if not np.allclose(weights @ shares, 1, atol=2e-3) or (weights[visible] < 0).any():
        return WRONG_SUM.format(""), ""
    if not visible.all() or np.allclose(weights, COURSE_WEIGHTS, rtol=0.02):
        return "", ""
    if np.allclose(weights, COURSE_WEIGHTS[::-1], rtol=0.02):
        return WRONG_SUM.format(" but 40 and 10, swapped"), ""
    alpha, beta = weights
    return "", f"alpha is {alpha:.3g} and beta {beta:.3g}, not 10 and 40."


def _judge_content(costs, targets, probed, images):
    for layer in sorted(VGG_LAYERS, key=lambda name: name != CONTENT_LAYER):
        for name, target in targets.items():
            right = [content_cost(target[layer], here[layer]) for here in probed]
            if np.allclose(costs, right, rtol=1e-3, atol=0):
                note = f"Its content layer is {layer}, not {CONTENT_LAYER}."
                found = _judge_image("J_content", name, images)
                return found, "" if layer == CONTENT_LAYER else note
    if not costs.any():
        return "J_content is always 0. a_C must be numbers, sess.run(out), a_G the tensor.", ""
    return "J_content differs from ours. Look at compute_content_cost, and at its arguments.", ""


def _judge_style(costs, targets, probed, images, layers):
    for name, t in targets.items():
        right = [sum(w * layer_style_cost(1, t[n], a[n]) for n, w in layers) for a in probed]
        if np.allclose(costs, right, rtol=1e-3, atol=0):
            note = "Its style layers and their weights are its own choice."
            found = _judge_image("J_style", name, images)
            return found, "" if layers == COURSE_LAYERS else note
    return "J_style differs from ours. Look at its functions, and at the layers it takes.", ""


def _judge_image(cost, name, images):
    """Judge whether a cost compares with the image that is meant, and a normalized one."""
    meant, other = ("content_image", "style_image")[:: 1 if cost == "J_content" else -1]
    image = images.get(meant, images[name])
    if image.min() >= 0 and image.max() > 255 - CONFIG.MEANS.min():  # which assign refuses
        return f"{meant} is not normalized: reshape_and_normalize_image subtracts the MEANS."
    if name in ("the start image", "zeros", other):
        return f"{cost} compares with {name}, not with {meant}: sess.run its assign first."
    return ""


def _judge_step(step, gradients, weights):
    """Compare the step with the gradients: is it downhill in J, or in one of its terms?"""
    terms = [weight * g for weight, g in zip(weights, gradients, strict=True)]
    alike = [_likeness(-step, gradient) for gradient in (sum(terms), *terms)]
    if max(alike) < 0.3:
        return (
            "the image does not move downhill in J from the one that model_nn gets. Does "
            "train_step minimize J, and not begin at a second generate_noise_image?"
        ), ""
    if alike[0] < max(alike) - 0.02:
        return f"train_step minimizes {COSTS[np.argmax(alike)]} alone. It must minimize J.", ""
    pace = np.max(np.abs(step))
    note = f"One step moves a pixel by {pace:.2g}, not by 2 as in the course."
    return "", "" if np.isclose(pace, COURSE_RATE, rtol=0.02) else note


def _likeness(step, gradient):
    """Return the cosine between a step and a gradient, or its signs, whichever is larger."""
    cosines = [
        np.sum(step * g) / (np.linalg.norm(step) * np.linalg.norm(g) + 1e-30)
        for g in (gradient, np.sign(gradient))
    ]
    return max(cosines)
