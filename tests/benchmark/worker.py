"""The processes that are measured: each paints the lab's pair in its own way, a step at a time."""

import importlib.util
import json
import os
import subprocess
import sys
import time
import venv
from contextlib import suppress
from functools import partial

import numpy as np
import psutil

from nst.core.config import CONFIG, LAB, PROJECT

PEERS_VENV = PROJECT / ".bench"
PEERS_NEED = ("torch", "numpy", "psutil", "platformdirs")


def course_graph(weights, height, width):
    """Build VGG as the course's helper does: weights as constants, `conv2d(…) + b`, no fusion."""
    import tensorflow.compat.v1 as tf

    zeros = np.zeros((1, height, width, 3), np.float32)
    model = {"input": tf.Variable(zeros)}
    layer = model["input"]
    for block in range(1, 6):
        for name in sorted(name for name in weights if name.startswith(f"conv{block}")):
            W, b = (tf.constant(array) for array in weights[name])
            layer = tf.nn.relu(tf.nn.conv2d(layer, W, [1, 1, 1, 1], "SAME") + b)
            model[name] = layer
        layer = tf.nn.avg_pool(layer, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
    return model


def course_gram(A):
    """The Gram matrix in the form that most copies of the assignment have."""
    import tensorflow.compat.v1 as tf

    return tf.matmul(A, tf.transpose(A))


OWN_PICTURES = tuple(
    PROJECT / "images" / f"{name}_800x600.jpg" for name in ("pyramid", "impressionist")
)


def prepare(height, width, pictures=OWN_PICTURES):
    """Return content, style and the lab's start image, each (1, height, width, 3), normalized."""
    from nst.core.images import generate_noise_image, load_image, reshape_and_normalize_image

    content, style = (
        reshape_and_normalize_image(load_image(picture, height, width), height, width)
        for picture in pictures
    )
    np.random.seed(3)
    np.random.randn(2)
    return content, style, generate_noise_image(content)


class Lab:
    """The lab's training loop, wired as its notebook wires it, for one of OURS."""

    def __init__(self, variant, height, width, pictures=OWN_PICTURES):
        from nst.lab.notebook import functions_of
        from nst.vgg.network import load_vgg_model, tf
        from nst.vgg.weights import read_vgg

        tf.logging.set_verbosity(tf.logging.ERROR)
        tf.disable_v2_behavior()
        lab = functions_of(LAB)
        weights = PROJECT / CONFIG.VGG_MODEL
        content, style, start = prepare(height, width, pictures)
        self.variant = variant
        self.sess = lab.sess = tf.InteractiveSession(graph=tf.Graph())
        if variant == "course's graph":
            self.model = course_graph(read_vgg(weights)[1], height, width)
        else:
            precision = "bfloat16" if "bfloat16" in variant else "float32"
            self.model = load_vgg_model(weights, height, width, precision)
        tf.config.experimental.enable_tensor_float_32_execution("TF32" in variant)
        if variant.startswith("course"):
            lab.gram_matrix = course_gram
        self.sess.run(self.model["input"].assign(content))
        a_C = self.sess.run(self.model["conv4_2"])
        J_content = lab.compute_content_cost(a_C, self.model["conv4_2"])
        self.sess.run(self.model["input"].assign(style))
        J_style = lab.compute_style_cost(self.model, lab.STYLE_LAYERS)
        self.costs_ = [lab.total_cost(J_content, J_style), J_content, J_style]
        optimizer = tf.train.AdamOptimizer(2.0)
        gradients = optimizer.compute_gradients(self.costs_[0])
        self.gradient = gradients[0][0]
        self.train_step = optimizer.apply_gradients(gradients)  # that makes `minimize`
        self.start = start
        self.sess.run(tf.global_variables_initializer())
        self.sess.run(self.model["input"].assign(start))

    def step(self):
        self.sess.run(self.train_step)

    def costs(self):
        return [float(cost) for cost in self.sess.run(self.costs_)]

    def save(self, path):
        from nst.core.images import save_image

        save_image(path, self.sess.run(self.model["input"]))

    def lbfgs(self, image, evaluations, target):
        """Descend from `image` by SciPy's L-BFGS; return the best image and all costs on the way.

        Ends after that many evaluations, or where the total cost is at most `target`.
        """
        from scipy.optimize import minimize

        class Ended(Exception):
            pass

        # SciPy's first step has length 1: let that be 3 gray levels a pixel
        scale = 3 * np.sqrt(image.size)
        costs, best = [], image

        def cost_and_gradient(x):
            nonlocal best
            candidate = (scale * x).reshape(image.shape)
            with self.sess.as_default():
                self.sess.run(self.model["input"].assign(candidate))
                cost, gradient = self.sess.run([self.costs_[0], self.gradient])
            if not costs or cost < min(costs):
                best = candidate
            costs.append(float(cost))
            if cost <= target or len(costs) == evaluations:
                raise Ended
            return float(cost), scale * gradient.ravel().astype(np.float64)

        with suppress(Ended):
            minimize(cost_and_gradient, image.ravel() / scale, jac=True, method="L-BFGS-B")
        return best, costs

    def coarse_to_fine(self, target):
        """Descend to `target` by L-BFGS, after a short descent at a quarter and at half the size.

        Building the graphs does not count; for no variant does it.
        """
        height, width = self.start.shape[1:3]
        levels = [Lab(self.variant, height // part, width // part) for part in (4, 2)] + [self]
        begin, image, counts = time.perf_counter(), levels[0].start, []
        for level, evaluations in zip(levels, (40, 20, None), strict=True):
            image, costs = level.lbfgs(image, evaluations, float(target) if level is self else 0)
            counts.append(len(costs))
            # each pixel becomes four: smooth interpolation would lose the grain of the paint
            image = image.repeat(2, axis=1).repeat(2, axis=2)
        seconds = time.perf_counter() - begin
        return {"seconds": seconds, "evaluations": counts, "cost": min(costs)}


def serve(variant, height, width, *pictures):
    """Be the worker of one variant: answer one command a line on standard input."""
    out = os.fdopen(os.dup(1), "w")  # what libraries print on standard output goes elsewhere
    os.dup2(2, 1)
    begun = float(os.environ.get("BEGUN", time.time()))
    if variant.startswith("PyTorch"):
        from tests.benchmark.torch_peer import Torch

        subject = Torch(variant, height, width)
    else:
        subject = Lab(variant, height, width, pictures or OWN_PICTURES)
    subject.step()
    forget_peak()
    answer = {"start": time.time() - begun, "costs": subject.costs()}
    while True:
        print(json.dumps(answer), file=out, flush=True)
        command, *arguments = (sys.stdin.readline().strip() or "quit").split(maxsplit=1)
        if command == "quit":
            return
        begin = time.perf_counter()
        value = getattr(subject, command)(*arguments) if command != "peak" else None
        answer = {"seconds": time.perf_counter() - begin, "value": value, "peak": peak()}


def _gpu():
    """Return the functions that tell and forget the most memory held on a GPU, or None."""
    if (tf := sys.modules.get("tensorflow")) and tf.config.list_physical_devices("GPU"):
        memory = tf.config.experimental
        return lambda: memory.get_memory_info("GPU:0")["peak"], partial(
            memory.reset_memory_stats, "GPU:0"
        )
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        return torch.cuda.max_memory_allocated, torch.cuda.reset_peak_memory_stats
    return None


def forget_peak():
    """Leave out what a GPU's library takes to try out its kernels in the first step."""
    if gpu := _gpu():
        gpu[1]()


def peak():
    """Return the most memory, of the GPU where there is one, that this process held; in bytes."""
    if gpu := _gpu():
        return gpu[0]()
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


class Worker:
    """The other end of `serve`."""

    def __init__(self, variant, height=300, width=400, pictures=()):
        python = peers_python() if variant.startswith("PyTorch") else sys.executable
        command = [python, "-m", "tests.benchmark.worker", variant, height, width, *pictures]
        environment = {"BEGUN": str(time.time())}
        if not variant.startswith("PyTorch"):
            # OpenBLAS, behind SciPy's L-BFGS, would keep the cores busy in TensorFlow's turns
            environment["OPENBLAS_NUM_THREADS"] = "1"
        self.process = subprocess.Popen(
            list(map(str, command)),
            env=os.environ | environment,
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.first = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the worker {self.process.args[3]!r} died: run it alone to see why")
        return json.loads(line)

    def ask(self, command):
        print(command, file=self.process.stdin, flush=True)
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def peers_python():
    """Return a Python that has PyTorch: this one, or that of a virtual environment made for it."""
    if importlib.util.find_spec("torch"):
        return sys.executable
    python = PEERS_VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not PEERS_VENV.exists():
        venv.create(PEERS_VENV, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PEERS_NEED], check=True)
    return python


def export_problem(path, height=300, width=400):
    """Write weights (out, in, 3, 3) and images (1, 3, height, width) for PyTorch."""
    from nst.vgg.weights import read_vgg

    _, weights = read_vgg(PROJECT / CONFIG.VGG_MODEL)
    problem = {name: W.transpose(3, 2, 0, 1) for name, (W, b) in weights.items()}
    problem |= {f"bias_{name}": b for name, (W, b) in weights.items()}
    images = zip(("content", "style", "start"), prepare(height, width), strict=True)
    problem |= {name: image.transpose(0, 3, 1, 2) for name, image in images}
    np.savez(path, **{name: np.ascontiguousarray(array) for name, array in problem.items()})


if __name__ == "__main__":
    serve(sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:])
