"""Shared by the tests of the companion lessons: what each promises, and how to run and read it."""

import re

import nbformat
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import nst_utils
from nst.lab import runner
from tests.conftest import ROOT

REAL_WEIGHTS = ROOT / nst_utils.CONFIG.VGG_MODEL
TINY = {"HEIGHT": 48, "WIDTH": 64, "ITERATIONS": 4, "SHOW_EVERY": 2, "PRECISION": "float32"}
TINY |= {"LONG_RUN": [2, 3]}  # the table of the lesson on optimizers
TINY |= {"STYLE_ITERATIONS": 4}  # the texture of the lesson that recreates

# Words that the run of each lesson prints, and the files that it writes.
LESSONS = {
    "Lesson_1_Feature_Maps": (["conv5_4 is the same as in the lab: True"], set()),
    "Lesson_2_Recreate_Content_and_Style": (
        ["both: the cost fell", "four times the lab's cost: True"],
        {f"content_conv{i}_2.gif" for i in range(1, 6)} | {"style.gif", "both.gif"},
    ),
    "Lesson_3_Style_Is_a_Distribution": (["sliced Wasserstein by hand: True"], set()),
    "Lesson_4_Optimizers_and_Starting_Images": (
        ["operations added to the graph: 0", "edge similarity after"],
        set(),
    ),
    "Lesson_5_Coarse_to_Fine": (["as much as 3 evaluations at 64×48", "stroke length"], set()),
    "Lesson_6_Costs_without_Units_and_Colors": (
        ["the same covariance: True", "luminance only"],
        set(),
    ),
    "Lesson_7_Choosing_the_Content_Layer": (
        ["operations after 4 runs, as before: True"],
        {"content_layers.gif"},
    ),
    "Lesson_8_Adaptive_Loss_Weights": (
        ["adjustments of content", "a weight for each layer"],
        {"adaptive_loss_weights.gif", "adaptive_loss_weights.jpg"},
    ),
    "Lesson_9_Eager_Style_Transfer": (
        ["block5_conv4", "with total variation"],
        {"eager_style_transfer.gif", "eager_style_transfer.jpg"},
    ),
}
TASKS = {  # lesson: the function that the reader writes
    "Lesson_4_Optimizers_and_Starting_Images": "edge_recall",
    "Lesson_7_Choosing_the_Content_Layer": "content_weights",
    "Lesson_8_Adaptive_Loss_Weights": "log_cost",
    "Lesson_9_Eager_Style_Transfer": "gram_einsum",
}


def notebook_of(lesson):
    return ROOT / "notebooks" / f"{lesson}.ipynb"


def outputs_of(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def text_of(outputs):
    """Join what cells printed and the tables that they show."""
    tables = (output.get("data", {}).get("text/markdown", "") for output in outputs)
    return "".join([output.get("text", "") for output in outputs] + list(tables))


def number_of_pictures(notebook):
    return sum("image/jpeg" in output.get("data", {}) for output in outputs_of(notebook))


def run(lesson, folder, values):
    """Run a lesson on small images; return the executed notebook."""
    runner.run(notebook_of(lesson), folder, TINY | {"OUTPUT_DIR": str(folder)} | values)
    return nbformat.read(folder / f"{lesson}.ipynb", as_version=4)


def check_a_run(lesson, weights, folder):
    """Run a lesson from top to bottom; compare what it prints, shows and writes."""
    if lesson == "Lesson_9_Eager_Style_Transfer":  # Keras fixes the sizes of VGG-19's layers
        weights = REAL_WEIGHTS
        if not weights.exists():
            pytest.skip("needs the weights: make weights")
    values = {"VGG_MODEL": str(weights), "VGG_16_MODEL": str(folder / "absent.mat")}
    executed = run(lesson, folder, values)
    promised, files = LESSONS[lesson]
    text = text_of(outputs_of(executed))
    assert all(words in text for words in promised)
    assert ": False" not in text  # what the checks print
    assert not any(output.get("name") == "stderr" for output in outputs_of(executed))
    stored = nbformat.read(notebook_of(lesson), as_version=4)
    assert number_of_pictures(executed) == number_of_pictures(stored) > 0
    assert {path.name for path in folder.iterdir()} == files | {f"{lesson}.ipynb"}


def markdown_of(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def solved(lesson):
    """Take a lesson's functions, with the answer in place of the one that the reader writes."""
    module = nst_utils.functions_of(notebook_of(lesson))
    code = re.findall(
        r"```python\n(.+?)```", "\n".join(markdown_of(notebook_of(lesson))), re.DOTALL
    )
    (answer,) = (block for block in code if f"def {TASKS[lesson]}(" in block)
    exec(answer, vars(module))
    return module


def evaluate(function, *arrays):
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(function(*map(tf.constant, arrays)))


def gram(a):
    return np.einsum("mhwi,mhwj->ij", a, a)
