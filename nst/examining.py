"""What runs a submission's code, in a process of its own: its functions, then one training step."""

import io
import json
import os
import re
import sys
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np

from nst.config import CONFIG, PROJECT
from nst.submissions import compile_cells, definitions, global_names

TRAINING = "training, one step"
NEVER_RETURNS = "it does not return in time. Look for a loop that never ends."


def work(connection, cells, folder, hanging):
    """Answer each name of a function, or TRAINING, with its result.

    Arguments:
    connection -- pipe of JSON, as to unpickle what foreign code sends would be to run it
    cells -- from read_cells
    folder -- an empty folder to run in
    hanging -- functions that are known never to return
    """
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", MPLBACKEND="agg")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.stdout = sys.stderr = Counter()
    os.chdir(folder)
    sys.path[:0] = [folder, str(Path(__file__).parent.parent), str(PROJECT / "tests")]

    from nst.tf1 import install

    install()
    source = "\n".join(source for _, source in cells)
    if "compat.v1" in source and "disable_v2_behavior" not in source:
        import tensorflow.compat.v1 as tf

        tf.enable_v2_tensorshape()  # which that notebook has not given up
    build_world(source)
    statements, unreadable = compile_cells(cells)
    namespace = new_namespace()
    for code in definitions(statements):
        with suppress(Exception, SystemExit):  # what fails here is missed where it is used
            exec(code, namespace)
    for name in hanging:
        namespace[name] = never_returning(name)
    connection.send_bytes(b"{}")  # ready
    while True:
        name = connection.recv_bytes().decode()
        try:
            if name == TRAINING:
                answer = train(statements)
            elif name in namespace:
                answer = try_out(name, namespace[name])
            else:
                answer = {"complaint": ". ".join(["no cell defines it", *unreadable, ""]).strip()}
        except KeyboardInterrupt:  # time is up
            namespace[name] = never_returning(name)
            answer = {"complaint": NEVER_RETURNS}
        connection.send_bytes(json.dumps(answer).encode())


class Counter(io.TextIOBase):
    """A sys.stdout that counts what is printed, and forgets it."""

    written = 0

    def write(self, text):
        self.written += len(text)
        return len(text)


def never_returning(name):
    """Make what takes the place of a function on which others would wait for ever."""
    namespace = {}
    exec(f"def {name}(*_): raise TimeoutError('{name} does not return')", namespace)
    return namespace[name]


def new_namespace():
    return {"__name__": "__main__", "get_ipython": MagicMock()}


def try_out(name, target):
    """Examine one function of the notebook."""
    import public_tests

    before = sys.stdout.written
    got, complaint = public_tests.examine(name, target)
    printed = sys.stdout.written - before
    return {
        "published": public_tests.PUBLISHED.get(name),
        "got": plain(got),
        "complaint": complaint.removeprefix(f"{name}: "),
        "note": f"It prints {printed:,} characters." if printed > 10_000 else "",
    }


def plain(value):
    """Turn a value of any size and kind into what JSON can hold."""
    array = np.asarray(value)
    if value is None or array.size > 100 or array.dtype.kind not in "iuf":
        return None
    return array.tolist() if np.isfinite(array).all() else str(array)


def build_world(source):
    """Fill the current folder with what notebooks read: pictures, fake weights."""
    from PIL import Image

    from fake_vgg import write_fake_vgg

    ours = [Image.open(file) for file in sorted((PROJECT / "images").glob("*.jpg"))]
    pictures = cycle(picture for picture in ours if picture.size == (400, 300))
    source += f'"{CONFIG.STYLE_IMAGE}" "{CONFIG.CONTENT_IMAGE}" "{CONFIG.VGG_MODEL}"'
    for file in dict.fromkeys(re.findall(r"[\w./-]+\.(?:jpe?g|png|mat)\b", source)):
        path = Path(file)
        if path.is_absolute() or ".." in path.parts or path.parts[0] == "output":
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".mat":
            write_fake_vgg(path)
        else:
            next(pictures).save(path)
    Path("output").mkdir()


class Trained(BaseException):
    """Ends the run of a notebook where it has trained: (sess, first picture, returned picture)."""


def train(statements):
    """Run the notebook from its top into its training, which gets one step, and judge that."""
    from public_tests import explain

    namespace, errors = new_namespace(), []
    for code in statements:
        if "public_tests" in global_names(code, "LOAD"):
            continue
        try:
            exec(code, namespace)
        except Trained as end:
            try:
                return judge(namespace, *end.args)
            except Exception as error:
                return {"complaint": f"it cannot be compared: {explain(error)}"}
        except (Exception, SystemExit) as error:
            if "sess" in namespace or "sess" in global_names(
                code, "STORE"
            ):  # the training has begun
                errors.append(f"{code.co_filename} stops with {explain(error)}")
        if "model_nn" in global_names(code, "STORE") and "model_nn" in namespace:
            namespace["model_nn"] = one_step(namespace["model_nn"])
    return {"complaint": f"it does not begin: {(errors or ['model_nn is never called.'])[0]}"}


def one_step(model_nn):
    def train_once(sess, input_image, *_, **__):
        raise Trained(sess, input_image, model_nn(sess, input_image, 1))

    return train_once


def judge(namespace, sess, start, returned):
    """Compare the notebook after its one step with a right training after the same step."""
    needed = ("content_image", "style_image", "STYLE_LAYERS", "J", "J_content", "J_style", "model")
    if missing := [name for name in needed if name not in namespace]:
        return {"complaint": f"it cannot be compared, for want of the variable {missing[0]}."}
    state = sess.run(namespace["model"]["input"])
    got = sess.run([namespace[cost] for cost in ("J", "J_content", "J_style")])
    pictures = {
        "the content picture": namespace["content_image"],
        "the style picture": namespace["style_image"],
        "the noise": start,
        "zeros": np.zeros_like(start),
    }
    right = right_training(pictures, dict(namespace["STYLE_LAYERS"]), state)
    fault = find_fault(right, start, state, returned, got)
    return {"published": right.costs, "got": plain(got), "complaint": fault}


def right_training(pictures, layers, state):
    """Do the same with a right training.

    Returns:
    costs -- [J, J_content, J_style] after one step from the noise
    stepped, from_zeros -- the image after one step from the noise, and from zeros
    J_contents, J_styles -- the costs of the image `state` when compared with each of `pictures`
    """
    import tensorflow.compat.v1 as tf

    import nst_utils
    from public_tests import CONTENT_STEPS, LAYER_STEPS, right_cost, right_layer_cost

    content, style, noise, zeros = pictures
    with tf.Graph().as_default(), tf.Session() as session:
        model = nst_utils.load_vgg_model(nst_utils.CONFIG.VGG_MODEL, *state.shape[1:3])

        def see(image):
            session.run(model["input"].assign(image))
            return session.run({name: model[name] for name in ("conv4_2", *layers)})

        def step(image):
            session.run([tf.global_variables_initializer()])
            session.run(model["input"].assign(image))
            session.run(train_step)
            return session.run(model["input"])

        seen = {name: see(image) for name, image in pictures.items()}
        a_C = seen[content]["conv4_2"]
        J_content = tf.reduce_sum((model["conv4_2"] - a_C) ** 2) / (4 * a_C.size)
        J_style = sum(
            w * right_layer_cost(seen[style][name], model[name]) for name, w in layers.items()
        )
        train_step = tf.train.AdamOptimizer(2.0).minimize(10 * J_content + 40 * J_style)
        stepped, from_zeros = step(pictures[noise]), step(pictures[zeros])
        at_stepped, at_state = see(stepped), see(state)

    def content_cost(a, b):
        return float(right_cost(CONTENT_STEPS, a["conv4_2"], b["conv4_2"]))

    def style_cost(a, b):
        return float(
            sum(w * right_cost(LAYER_STEPS, a[name], b[name]) for name, w in layers.items())
        )

    parts = content_cost(at_stepped, seen[content]), style_cost(at_stepped, seen[style])
    return SimpleNamespace(
        costs=[10 * parts[0] + 40 * parts[1], *parts],
        stepped=stepped,
        from_zeros=from_zeros,
        J_contents={name: content_cost(at_state, a) for name, a in seen.items()},
        J_styles={name: style_cost(at_state, a) for name, a in seen.items()},
    )


def find_fault(right, start, state, returned, got):
    """Say what is wrong with one step of training, "" if nothing is.

    Arguments:
    right -- from right_training
    start, state, returned -- images: handed to model_nn, in the model after it, returned by it
    got -- the notebook's [J, J_content, J_style] at `state`
    """
    if np.array_equal(state, start):
        return "train_step did not run: the picture is still the noise."
    if near(state, right.from_zeros) or not state.any():
        return "assign did not run: the training began with zeros. sess.run it before the loop."
    J, *parts = got
    for name, part, rights in zip(
        ("J_content", "J_style"), parts, (right.J_contents, right.J_styles), strict=True
    ):
        matching = [picture for picture, cost in rights.items() if np.isclose(part, cost, 1e-3)]
        meant = "the content picture" if name == "J_content" else "the style picture"
        if matching and meant not in matching:
            return (
                f"{name} compares with {matching[0]}, not with {meant}: sess.run its assign first."
            )
        if not matching:
            return f"{name} differs from ours. Look at its function, and at the layers it takes."
    if not np.isclose(J, 10 * parts[0] + 40 * parts[1], rtol=1e-3):
        return "J is not 10 * J_content + 40 * J_style. Look at the call of total_cost."
    pace = np.max(np.abs(state - start))
    if not np.isclose(pace, 2, rtol=0.01):
        return f"one step moves a pixel by {pace:.2g}, not by 2. The learning rate of Adam is 2.0."
    if not near(state, right.stepped):
        return "the picture after one step is not ours. train_step must minimise J."
    if np.shape(returned) != state.shape or not near(returned, state):
        noise = " but the noise" if near(returned, start) else ""
        return f"the returned picture is not the optimised one{noise}."
    return ""


def near(a, b):
    return np.shape(a) == np.shape(b) and np.mean(np.abs(a - b)) < 0.1  # of 255; a step is 2
