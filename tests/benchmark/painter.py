"""What `make paint` gains over the lab's 200 steps: time, memory and the pictures' distances.

Each painter is a process of its own. Distances are measured by a network that neither of them uses,
in float32 at 400×300, whatever the picture's size; a larger picture is shrunk for it.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from nst.config import CONFIG, PROJECT
from nst.costs import CONTENT_LAYER
from nst.gallery import own_pairs

HEIGHT, WIDTH = CONFIG.IMAGE_HEIGHT, CONFIG.IMAGE_WIDTH
STEPS = 200  # of the lab
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")  # the lab's
UNSEEN_LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")  # which no painter here optimises
BORDER = 4  # pixels

# --- measures ------------------------------------------------------------------------------------


class Measure:
    """The network that measures, built once."""

    def __init__(self):
        from nst.network import load_vgg_model, tf

        self.sess = tf.Session(graph=tf.Graph())
        with self.sess.graph.as_default(), self.sess.as_default():
            self.model = load_vgg_model(PROJECT / CONFIG.VGG_MODEL)

    def features(self, path):
        """Return the activations (h, w, c) of all layers that are measured, by name."""
        from nst.pictures import load_image, reshape_and_normalize_image

        layers = {name: self.model[name] for name in (CONTENT_LAYER, *STYLE_LAYERS, *UNSEEN_LAYERS)}
        with self.sess.as_default():
            self.sess.run(self.model["input"].assign(reshape_and_normalize_image(load_image(path))))
            return {name: a[0] for name, a in self.sess.run(layers).items()}

    def __call__(self, picture, content, style):
        """Measure a picture; return a dict of numbers without units, but for the speckle."""
        G, C, S = (self.features(path) for path in (picture, content, style))
        a_G, a_C = G[CONTENT_LAYER], C[CONTENT_LAYER]
        inside, border = speckle(picture)
        allowed = 1.25 * np.array(speckle(style))
        return {
            "content": float(np.mean((a_G - a_C) ** 2) / np.mean(a_C**2)),
            "style": statistics.mean(gram_distance(G[n], S[n]) for n in STYLE_LAYERS),
            "unseen": statistics.mean(gram_distance(G[n], S[n]) for n in UNSEEN_LAYERS),
            "speckle ÷ 1.25 × style's": inside / allowed[0],
            "at the border": border / allowed[1],
        }


def gram_distance(a_G, a_S):
    """Relative squared distance of two layers' Gram matrices, each divided by its positions."""
    GG, GS = (np.einsum("hwi,hwj->ij", a, a, optimize=True) / a[..., 0].size for a in (a_G, a_S))
    return float(np.sum((GG - GS) ** 2) / np.sum(GS**2))


def speckle(path):
    """Mean absolute Laplacian of Cb and Cr: of all pixels, and of the BORDER outermost ones."""
    from nst.pictures import load_image

    picture = Image.fromarray(load_image(path)).convert("YCbCr")
    chroma = np.asarray(picture, np.float64)[..., 1:]
    padded = np.pad(chroma, ((1, 1), (1, 1), (0, 0)), "edge")
    laplacian = np.abs(
        padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * chroma
    )
    border = np.ones(chroma.shape[:2], bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    return float(laplacian[1:-1, 1:-1].mean()), float(laplacian[border].mean())


# --- the painters --------------------------------------------------------------------------------


def paint_by_lab(pair, precision, path):
    """Take the lab's steps in a process of its own; return its seconds and its peak in bytes."""
    from tests.benchmark.worker import Worker

    worker = Worker(f"lab, {precision}", pictures=(pair.content, pair.style))
    seconds = worker.first["start"]
    for _ in range(STEPS - 1):
        seconds += worker.ask("step")["seconds"]
    seconds += worker.ask(f"save {path}")["seconds"]
    memory = worker.ask("peak")["peak"]
    worker.close()
    return seconds, memory


# the real command, and then the memory that it took
COMMAND = """
from nst.__main__ import main
main()
from tests.benchmark.worker import peak
print(peak())
"""


def paint_by_command(content, style, size, precision, path):
    """Run `nst paint`, its start-up included; return its seconds and its peak in bytes."""
    arguments = [content, style, "--size", size, "--precision", precision, "--output", path]
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "paint", *map(str, arguments)],
        cwd=PROJECT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return time.perf_counter() - begun, int(done.stdout.split()[-1])


def compare_pair(pair, precision, measure, folder):
    """Paint a pair both ways; return the dicts of what was measured: the lab's and ours."""
    found = []
    for name in ("lab", "paint"):
        path = Path(folder, f"{pair.name}_{name}.png")
        if name == "lab":
            seconds, memory = paint_by_lab(pair, precision, path)
        else:
            seconds, memory = paint_by_command(pair.content, pair.style, WIDTH, precision, path)
        row = {"seconds": seconds, "peak, GB": memory / 1e9}
        found.append(row | measure(path, pair.content, pair.style))
    return found


# --- the table -----------------------------------------------------------------------------------

GOALS = {  # of ours ÷ the lab's; the rest are shares of what is allowed, and need no lab
    "seconds": 1 / 4,
    "content": 1,
    "style": 1 / 5,
    "unseen": 1 / 4,
}


def print_painter(precision):
    """Print the lab's 200 steps and `make paint` side by side on the gallery's pairs."""
    print(f"\n| 400×300, {precision}: lab's {STEPS} steps → nst paint | ", end="")
    pairs, measure = own_pairs(), Measure()
    print(
        " | ".join(pair.name.replace("_", " × ") for pair in pairs), "| median of ratios | goal |"
    )
    print("| --- |" + " ---: |" * (len(pairs) + 2))
    with tempfile.TemporaryDirectory() as folder:
        rows = [compare_pair(pair, precision, measure, folder) for pair in pairs]
        for name in rows[0][0]:
            cells = [f"{lab[name]:.3g} → {ours[name]:.3g}" for lab, ours in rows]
            if name in GOALS:
                values = [ours[name] / lab[name] for lab, ours in rows]
            else:
                values = [ours[name] for _, ours in rows]
            goal = f"{GOALS.get(name, 1):.2f}" if name != "peak, GB" else ""
            print(f"| {name} | {' | '.join(cells)} | {statistics.median(values):.2f} | {goal} |")
        print_painter_sizes(precision, measure, folder, rows[0][0]["seconds"])


def print_painter_sizes(precision, measure, folder, lab_seconds):
    """Print what larger pictures take, and whether they look alike, shrunk to 400×300."""
    content, style = (PROJECT / "images" / f"{n}_800x600.jpg" for n in ("pyramid", "impressionist"))
    print(
        f"\n| pyramid × impressionist, {precision} | seconds ÷ lab's | peak, GB | content | style |"
    )
    print("| --- |" + " ---: |" * 4)
    for size in (400, 800, 1600):
        path = Path(folder, f"{size}.png")
        seconds, memory = paint_by_command(content, style, size, precision, path)
        found = measure(path, content, style)
        print(
            f"| {size}×{3 * size // 4} | {seconds / lab_seconds:.2f} | {memory / 1e9:.1f} "
            f"| {found['content']:.3f} | {found['style']:.4f} |",
            flush=True,
        )
