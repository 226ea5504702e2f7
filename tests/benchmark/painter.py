"""Comparison of `make paint` with the lab's 200 steps: time, memory and the pictures' distances.

Each painter is a process of its own, its start-up counted. Distances are measured by a network that
neither of them uses, in float32 at 400×300, whatever the picture's size; a larger picture is shrunk
for it. Where other work shares the machine, the processor's seconds tell more than the clock's.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from nst.core.config import CONFIG, PROJECT
from nst.gallery.pairs import Pair, default_pairs
from nst.painting.costs import CONTENT_LAYER

HEIGHT, WIDTH = CONFIG.IMAGE_HEIGHT, CONFIG.IMAGE_WIDTH
STEPS = 200  # of the lab
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")  # the lab's
UNSEEN_LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")  # which no painter here optimizes
BORDER = 4  # pixels

# --- measures ------------------------------------------------------------------------------------


class Measure:
    """The network that measures, built once."""

    def __init__(self):
        from nst.vgg.network import load_vgg_model, tf

        self.sess = tf.Session(graph=tf.Graph())
        with self.sess.graph.as_default(), self.sess.as_default():
            self.model = load_vgg_model(PROJECT / CONFIG.VGG_MODEL)

    def features(self, path):
        """Return the activations (h, w, c) of all layers that are measured, by name."""
        from nst.core.images import load_image, reshape_and_normalize_image

        layers = {name: self.model[name] for name in (CONTENT_LAYER, *STYLE_LAYERS, *UNSEEN_LAYERS)}
        with self.sess.as_default():
            self.sess.run(self.model["input"].assign(reshape_and_normalize_image(load_image(path))))
            return {name: a[0] for name, a in self.sess.run(layers).items()}

    def __call__(self, picture, content, style):
        """Measure a picture; return a dict of numbers without units.

        The speckle is given as a share of what is allowed, 1.25 times the style picture's.
        """
        G, C, S = (self.features(path) for path in (picture, content, style))
        a_G, a_C = G[CONTENT_LAYER], C[CONTENT_LAYER]
        inside, border = speckle(picture)
        allowed = 1.25 * np.array(speckle(style))
        return {
            "content": float(np.mean((a_G - a_C) ** 2) / np.mean(a_C**2)),
            "style": statistics.mean(gram_distance(G[n], S[n]) for n in STYLE_LAYERS),
            "unseen": statistics.mean(gram_distance(G[n], S[n]) for n in UNSEEN_LAYERS),
            "speckle": inside / allowed[0],
            "at the border": border / allowed[1],
        }


def gram_distance(a_G, a_S):
    """Relative squared distance of two layers' Gram matrices, each divided by its positions."""
    GG, GS = (np.einsum("hwi,hwj->ij", a, a, optimize=True) / a[..., 0].size for a in (a_G, a_S))
    return float(np.sum((GG - GS) ** 2) / np.sum(GS**2))


def speckle(path):
    """Mean absolute Laplacian of Cb and Cr: of all pixels, and of the BORDER outermost ones."""
    from nst.core.images import load_image

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
    """Take the lab's steps in a process of its own; return what it took, see `took`."""
    from tests.benchmark.worker import Worker

    before = cpu_seconds()
    worker = Worker(f"lab, {precision}", pictures=(pair.content, pair.style))
    seconds = worker.first["start"]
    for _ in range(STEPS - 1):
        seconds += worker.ask("step")["seconds"]
    seconds += worker.ask(f"save {path}")["seconds"]
    memory = worker.ask("peak")["peak"]
    worker.close()
    return took(seconds, before, memory)


# the real command, and then the memory that it took
COMMAND = """
from nst.__main__ import main
main()
from tests.benchmark.worker import peak
print(peak())
"""


def paint_by_command(pair, precision, path, size=WIDTH, strength=0.5):
    """Run `nst paint`; return what it took, see `took`."""
    arguments = {"size": size, "strength": strength, "precision": precision, "output": path}
    options = [f"--{name}={value}" for name, value in arguments.items()]
    before, begun = cpu_seconds(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "paint", pair.content, pair.style, *options],
        cwd=PROJECT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return took(time.perf_counter() - begun, before, int(done.stdout.split()[-1]))


def cpu_seconds():
    """Return the seconds that all ended child processes have taken of all cores."""
    times = os.times()
    return times.children_user + times.children_system


def took(seconds, before, memory):
    """Return a dict of what a painter took: seconds, the cores' seconds since `before`, and GB."""
    return {"seconds": seconds, "CPU seconds": cpu_seconds() - before, "peak, GB": memory / 1e9}


# --- the tables ----------------------------------------------------------------------------------

SHARES = ("speckle", "at the border")  # of what is allowed, so that their goal is 1
COLUMNS = ("seconds", "CPU seconds", "peak, GB", "content", "style", "unseen", *SHARES)
GOALS = {"CPU seconds": 1 / 5, "content": 1, "style": 1} | dict.fromkeys(SHARES, 1)
ABSOLUTE = ("peak, GB", *SHARES)  # the others are divided by the lab's
SIZES = (800, 1600)
STRENGTHS = (0, 0.25, 0.5, 0.75, 1)  # at 400×300


def print_painter(precision, names=(), sizes=SIZES, in_other_ways=True):
    """Print the lab's steps and `make paint` side by side, then the first pair in other ways.

    Arguments:
    precision -- of both, see `choose_precision`
    names -- of the gallery's pairs, all where empty
    sizes -- longest sides of larger pictures of the first pair
    in_other_ways -- whether to paint the first pair in all strengths and sizes, too
    """
    from nst.vgg.network import choose_precision

    precision = choose_precision(precision)
    pairs = [pair for pair in default_pairs() if not names or pair.name in names]
    measure, found = Measure(), []
    print_head(f"{WIDTH}×{HEIGHT}, {precision}: the lab's {STEPS} steps → nst paint", COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs:
            lab, ours = compare_pair(pair, precision, measure, folder)
            found.append((lab, ours))
            cells = [f"{lab[name]:.3g} → {ours[name]:.3g}" for name in COLUMNS]
            print_row(pair.name.replace("_", " "), cells)
        print_summary(found)
        if in_other_ways:
            print_other_ways(pairs[0], precision, measure, folder, sizes, found[0][0])


def print_head(title, cells):
    print()
    print_row(title, cells)
    print("| --- |" + " ---: |" * len(cells))


def print_row(title, cells):
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


def compare_pair(pair, precision, measure, folder):
    """Paint a pair both ways; return the dicts of what was measured: the lab's and ours."""
    found = []
    for name, way in {"lab": paint_by_lab, "paint": paint_by_command}.items():
        path = Path(folder, f"{pair.name}_{name}.png")
        row = way(pair, precision, path)
        found.append(row | measure(path, pair.content, pair.style))
    return found


def print_summary(found):
    """Print the goals, and the median and the worst of what has one."""
    rows = [{n: ours[n] / (1 if n in ABSOLUTE else lab[n]) for n in COLUMNS} for lab, ours in found]
    for title, choose in {"median": statistics.median, "worst": max}.items():
        print_row(title, [f"{choose(row[name] for row in rows):.2f}" for name in COLUMNS])
    print_row("goal", [f"{GOALS[name]:.2f}" if name in GOALS else "" for name in COLUMNS])


def print_other_ways(pair, precision, measure, folder, sizes, lab):
    """Print what strength and size change: the picture's distances, shrunk to 400×300, and time."""
    pictures = (path.with_stem(f"{path.stem}_800x600") for path in pair[1:])
    pair = Pair(pair.name, *pictures)  # larger ones
    names = COLUMNS[:6]
    heads = [f"{name} ÷ the lab's" if "seconds" in name else name for name in names]
    print_head(f"{pair.name.replace('_', ' ')}, {precision}", heads)
    for size, strength in [*((WIDTH, s) for s in STRENGTHS), *((size, 0.5) for size in sizes)]:
        path = Path(folder, f"{size}_{strength}.png")
        row = paint_by_command(pair, precision, path, size, strength)
        row |= measure(path, pair.content, pair.style)
        cells = [f"{row[n] / lab[n] if 'seconds' in n else row[n]:.3g}" for n in names]
        print_row(f"SIZE={size} STRENGTH={strength:g}", cells)
