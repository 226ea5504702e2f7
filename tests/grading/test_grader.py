"""Right notebooks of any form pass; of wrong ones each mistake fails one row, and is named."""

import io
import json
import zipfile

import pytest

from nst.assignment.spec import TRAINING
from tests.assignment.answers import (
    CONTENT,
    GRAM,
    LAYER,
    MODEL,
    SOLUTION,
    STYLE,
    TOTAL,
    course_notebook,
    wrong_source,
)
from tests.grading.grading_here import GraderHere

pytestmark = pytest.mark.numbers


@pytest.fixture(scope="module")
def grader(tmp_path_factory):
    here = GraderHere(tmp_path_factory.mktemp("class"))
    yield here
    here.close()


RIGHT = {  # notebooks that are right, by edits of their cells; each holds what can go together
    "as in the course": [],
    "on Windows": [
        'imread("images/louvre.jpg") => imread("images\\\\louvre.jpg")',
        '"pretrained-model/imagenet => "pre-trained model/imagenet',
        "%matplotlib inline => %matplotlib inline\n%cd C:/Users/me/My Notebooks",
        # state before a def
        "import numpy => config = {}; config['alpha'] = 10\nAXES = []\nimport numpy",
        "import tensorflow => AXES.append(1)\nimport tensorflow",
        "alpha = 10, beta = 40):\n => alpha = config['alpha'], beta = 40):\n",
        "tf.transpose(A)) => tf.transpose(A, AXES + [0]))",
        # cells that fail, or are not Python, before the training
        "tf.reset_default_graph()\nwith => print 'Python 2'\nwith",
        "imshow(content_image) => public_tests.total_cost_test(total_cost); undefined",
        # a call that is caught
        "model_nn(sess, generated_image) => "
        "try:\n    model_nn(sess, generated_image)\nexcept:\n    print('interrupted')",
    ],
    "on Colab, with a progress bar": [
        "import os\n => %%capture\nimport os, sys\nfrom tqdm import tqdm\n"
        "os.chdir('/content')\nos.kill(os.getpid(), 9)\n",
        '"images/monet.jpg" => "../images/monet.jpg"',
        "%matplotlib inline => !pip install imageio\nget_ipython().run_line_magic('cd', 'x')",
        "range(num_iterations) => tqdm(range(num_iterations))",
        "    GA = =>     sys.stdout.buffer.write(b'Gram'); GA =",
        "    return generated_image => "
        "    print(sys.stdout.encoding, sys.stderr.isatty()); return generated_image",
        "('conv2_1', 0.2) => ('conv1_1', 0.1), ('conv2_1', 0.1)",  # a layer twice
        "model_nn(sess, generated_image) => model_nn(sess=sess, input_image=generated_image)",
    ],
    "names of its own": [
        "sess = tf.InteractiveSession() => session = tf.Session()",
        "sess.run(model['input'].assign(c => session.run(model['input'].assign(c",
        "sess.run(model['input'].assign(s => session.run(model['input'].assign(s",
        "a_C = sess => a_C = session",
        "a_S = sess => a_S = session",
        "model_nn(sess, generated_image) => with session:\n    model_nn(session, generated_image)",
        "train_step => descend",
        "content_image => C",
        "style_image => S",
        "model = => vgg =",
        "model[ => vgg[",
        "(model, => (vgg,",
        "print(model) => print(vgg)",
        # objects, and a dictionary for the layers
        "def gram_matrix(A): => class Costs:\n  def gram(self, A):",
        "    return GA => "
        "    return GA\nimport functools\ngram_matrix = functools.partial(Costs.gram, Costs())",
        "STYLE_LAYERS = [ => STYLE_LAYERS = dict([",
        "0.2)] => 0.2)])",
        "in STYLE_LAYERS: => in dict(STYLE_LAYERS).items():",
    ],
}
CHOICES = {  # what the course invites to change, and the note on it
    "alpha is 5 and beta 100": ["alpha = 10, beta = 40)\nopt => alpha=5, beta=100)\nopt"],
    "One step moves a pixel by 5": ["Optimizer(2.0) => Optimizer(5.0)"],
    "One step moves a pixel by 0.02": ["Optimizer(2.0) => Optimizer(0.02)"],
    "Its content layer is conv3_2": ["model['conv4_2'] => model['conv3_2']"],
    "style layers": ["('conv1_1', 0.2) => ('conv1_1', 0.9)"],
    "One step moves": ["tf.train.AdamOptimizer(2.0) => tf.train.GradientDescentOptimizer(1e-3)"],
}
ASSIGN = "sess.run(model['input'].assign({0})) => model['input'].assign({0})"
WRONG = {  # what the training's row says: edits of a right notebook
    "It comes from model_nn": ["sess.run(train_step) => train_step"],
    "comes from model_nn": [ASSIGN.format("input_image")],
    "the image is not what a correct model_nn returns": [
        "return generated_image => return input_image"
    ],
    "A variable has no value yet": [ASSIGN.format("content_image")],
    "J_content compares with style_image": ["assign(content_image => assign(style_image"],
    "J_style compares with content_image": [ASSIGN.format("style_image")],
    "40 and 10, swapped": ["J_style, alpha = 10, beta = 40)\nopt => J_style, 40, 10)\nopt"],
    "J_content is not in it": ["J = total_cost(J_content, J_style, alpha = => J = 40 * J_style #"],
    ": J_content is not in it": ["alpha = 10, beta = 40)\nopt => alpha = 0, beta = 40)\nopt"],
    "J_style differs from ours": ["STYLE_LAYERS)\nJ = => STYLE_LAYERS) * 1e-25\nJ ="],
    "minimizes J_content alone": ["minimize(J) => minimize(J_content)"],
    "minimizes J_style alone": ["minimize(J) => minimize(J_style)"],
    "train_step minimizes J_style alone": ["minimize(J) => minimize(\n  J - J_content * 10)"],
    "a second generate_noise_image": [
        "assign(input_image) => assign(generate_noise_image(content_image))"
    ],
    "style_image is not normalized": [
        "style_image = reshape_and_normalize_image(style_image) => "
        "style_image = style_image[None].astype('float32')"
    ],
    "model_nn is never called": ["model_nn(sess, generated_image) => print(model_nn)"],
    "cell 12 stops with KeyError: 'conv4_9'. Is it a layer?": [
        "model['conv4_2'] => model['conv4_9']"
    ],
}


@pytest.mark.parametrize("title", RIGHT)
def test_right_notebook_passes(grader, title):
    assert grader.failures(course_notebook(*RIGHT[title])) == {}


@pytest.mark.parametrize("note", CHOICES)
def test_own_choice_is_noted_and_no_mistake(grader, note):
    rows = grader.rows(course_notebook(*CHOICES[note]))
    assert {row["verdict"] for row in rows.values()} == {"pass"}, rows[TRAINING]
    assert note in rows[TRAINING]["diagnosis"]


@pytest.mark.parametrize("diagnosis", WRONG)
def test_wrong_training_is_named(grader, diagnosis):
    assert diagnosis in grader.failures(course_notebook(*WRONG[diagnosis]))[TRAINING]


def test_mistake_of_a_function_fails_its_row_and_the_training_that_follows(grader):
    wrong = wrong_source(GRAM, ["return GA => return GA / 2"])
    rows = grader.rows(course_notebook(**{GRAM: wrong}))
    assert {name for name, row in rows.items() if row["verdict"] == "fail"} == {GRAM, TRAINING}
    assert rows[TRAINING]["follows"] == GRAM
    assert "It comes from gram_matrix: see there" in rows[TRAINING]["diagnosis"]
    empty = SOLUTION[CONTENT].replace("return J_content", "return None")
    rows = grader.rows(course_notebook(**{CONTENT: empty}))
    assert {name for name, row in rows.items() if row["verdict"] == "fail"} == {CONTENT, TRAINING}
    assert rows[TRAINING]["follows"] == CONTENT


def test_gradient_is_compared_and_not_the_value_alone(grader):
    edit = "return J_content => return 3 * J_content - 2 * tf.stop_gradient(J_content)"
    found = grader.failures(course_notebook(edit))
    assert set(found) == {CONTENT}
    assert "not its gradient" in found[CONTENT]


def test_call_of_model_nn_as_in_the_course_must_work(grader):
    found = grader.failures(course_notebook("num_iterations = 200 => num_iterations"))
    assert "num_iterations=200" in found[MODEL]


# --- files -------------------------------------------------------------------------------------


IMPORT = "import tensorflow as tf"
GRAM_CELLS = [IMPORT, SOLUTION[GRAM].strip()]  # enough to see whether a file is read


def script(*cells, marker="# %%"):
    return "".join(f"{marker}\n{cell}\n\n" for cell in cells)


def zipped(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_dot_", "."), text)
    return stream.getvalue()


def notebook(*cells, **more):
    cells = [{"cell_type": "code", "source": cell, "metadata": {}} for cell in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "cells": cells, **more})


NOTEBOOK = notebook(*GRAM_CELLS, metadata={})
OLD_CELLS = [{"cell_type": "code", "input": cell} for cell in GRAM_CELLS]
HELPER = "%%writefile helpers.py\nimport tensorflow as tf\ndef turn(A):\n    return tf.transpose(A)"
FILES = {  # name: bytes of a file in which gram_matrix is right
    "mark.ipynb": b"\xef\xbb\xbf" + NOTEBOOK.encode(),
    "wide.ipynb": NOTEBOOK.encode("utf-16"),
    "bare.ipynb": notebook(*GRAM_CELLS).encode(),
    "a.ipynb.txt": NOTEBOOK.encode(),
    "a.ipynb.json": NOTEBOOK.encode(),
    "a.zip": zipped(__MACOSX_dot_ipynb="{}", lab_dot_ipynb=NOTEBOOK),
    "old.ipynb": json.dumps({"nbformat": 3, "worksheets": [{"cells": OLD_CELLS}]}).encode(),
    "file.ipynb": notebook(
        HELPER, IMPORT, "from helpers import turn", wrong_source(GRAM, ["tf.transpose => turn"])
    ).encode(),
    "print.ipynb": notebook("print 'Python 2'", *GRAM_CELLS).encode(),
    "wide.py": script(*GRAM_CELLS).replace("\n", "\r\n").encode("utf-16"),
    "colab.py": script("!pip install x\n%matplotlib inline", *GRAM_CELLS).encode(),
    "pycharm.py": script("!pip install x", *GRAM_CELLS, marker="#%%").encode(),
    "spyder.py": script("%matplotlib inline", *GRAM_CELLS, marker="# %% [code]").encode(),
    "exported.py": script("%cd x", *GRAM_CELLS, marker="# In[ ]:").encode(),
    "timed.py": f"get_ipython().run_cell_magic('time', '', {chr(10).join(GRAM_CELLS)!r})".encode(),
    "plain.py": "\n".join(["import x y", "print 'Python 2'", *GRAM_CELLS]).encode(),
}
UNREADABLE = {  # name, bytes, and what every row says
    "empty.ipynb": (b"", "is empty"),
    "half.ipynb": (NOTEBOOK[:-99].encode(), "cannot be read as a notebook"),
    "lfs.ipynb": (b"version https://git-lfs.github.com/spec/v1\noid x", "a Git LFS pointer"),
    "login.ipynb": (b"<!DOCTYPE html><title>Sign in</title>", "a web page"),
    "lab.html": (b"<html><body>def gram_matrix(A)</body></html>", "a web page"),
    "merge.ipynb": (b"{\n<<<<<<< HEAD\n}\n=======\n}\n>>>>>>> b\n", "a merge conflict"),
    "two.zip": (zipped(a_dot_ipynb=NOTEBOOK, b_dot_ipynb=NOTEBOOK), "holds 2 notebooks"),
    "many.py": (b"# %%\n" * 60_000, "60,001 cells"),
    "nested.ipynb": (b"[" * 200_000, "cannot be read as a notebook"),
    "number.ipynb": (b"1" * 10_000, "cannot be read as a notebook"),
    "list.ipynb": (b'["def gram_matrix(A)"]', "cannot be read as a notebook"),
    "cells.ipynb": (b'{"cells": {"a": 1}}', "cannot be read as a notebook"),
    "source.ipynb": (b'{"cells": [{"cell_type": "code", "source": 1}]}', "cannot be read"),
    "binary.ipynb": (bytes(range(256)) * 99, "cannot be read as a notebook"),
    "large.ipynb": (b'{"cells": [' + b'{"source": ""},' * 600_000 + b"{}]}", "600,001 cells"),
}


@pytest.mark.parametrize("name", FILES)
def test_odd_file_is_read(grader, name):
    assert GRAM not in grader.failures(FILES[name], name)


@pytest.mark.parametrize("name", UNREADABLE)
def test_file_that_is_no_notebook_is_named(grader, name):
    data, said = UNREADABLE[name]
    found = grader.failures(data, name)
    assert len(found) == 7
    assert len({*found.values()}) == 1
    assert said in found[GRAM]


def test_function_that_is_elsewhere_is_found(grader):
    notebook = course_notebook(
        "def gram_matrix( => def Gram_Matrix(",
        "def total_cost( => class Costs:\n  def total_cost(",
        "    J = alpha => \n    J = alpha",
        "\nimport os => import no_such_package as nsp\nimport os",
        "J_content = 1 / => nsp.begin(); J_content = 1 /",
    )
    for cell in notebook.cells:
        if f"def {LAYER}" in cell.source:
            cell.cell_type = "raw"
    found = grader.failures(notebook)
    assert "calls it Gram_Matrix" in found[GRAM]
    assert "inside a class" in found[TOTAL]
    assert "a raw cell does" in found[LAYER]
    assert "it needs nsp, which is missing, as cell 1 stops with Module" in found[CONTENT]


def test_tensorflow_2_edition_is_recognized(grader):
    cell = "def compute_content_cost(content_output, generated_output):\n    pass"
    found = grader.failures(notebook(cell))
    assert len(found) == 7
    assert "TensorFlow 2 edition" in found[STYLE]
