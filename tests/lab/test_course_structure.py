"""Every part of the course's notebook has its place in the lab.

Read in the exercise edition: what only a solution says helps no student.
"""

import re

import nbformat
import pytest

from nst.assignment.exercises import EXERCISES, exercise_edition
from nst.core.config import LAB

TF = "https://www.tensorflow.org/api_docs/python/tf/"

# Heading of a section, and what it holds in this order, down to the next heading in the table:
# what the course's notebook has there that is a name, a step, a hint, a formula or a link.
SECTIONS = [
    (
        "Art Generation with Neural Style Transfer",
        "arxiv.org/abs/1508.06576 | content_style_result.jpg | - write | - make | pixels |"
        "import os | import sys | import scipy.io | import scipy.misc |"
        "import matplotlib.pyplot as plt | from matplotlib.pyplot import imshow |"
        "from PIL import Image | from nst_utils import * | import numpy as np |"
        "tensorflow.compat.v1 as tf | import pprint",
    ),
    ("1 - Problem statement", "content** image $C$ | style** image $S$ | generated image** $G$"),
    (
        "2 - Transfer learning",
        "VGG-19 | arxiv.org/abs/1409.1556 | low-level | shallow | high-level | deep |"
        "model = load_vgg_model( | pprint.pprint(model) | 22 entries |"
        "key is the name of a layer | value is that layer's tensor | input",
    ),
    ("Assign input image", 'sess.run(model["input"].assign(image))'),
    ("Activate a layer", 'sess.run(model["conv4_2"])'),
    (
        "3 - Neural style transfer",
        "1. | J_{content}(C, G) | 2. | J_{style}(S, G) | 3. | J(G) = | pipeline.png",
    ),
    ("3.1 - Computing the content cost", "content_image = load_image( | show_pictures("),
    (
        "3.1.1 - Matching the content of C",
        "Shallower versus deeper | Choose a middle layer | conv4_2 | Forward propagate $C$ |"
        "a^{[l](C)} | Forward propagate $G$ | a^{(G)} | \\tag{1} | $n_H$ | $n_W$ | $n_C$ |"
        "unroll | does not need | unroll.png | Exercise |"
        "1. | get_shape().as_list() | 2. | tf.reshape | tf.transpose |"
        "3. | tf.subtract | tf.square | tf.reduce_sum |"
        "Hints on unrolling | $(m, n_H, n_W, n_C) \\to (m, n_H \\times n_W, n_C)$ |"
        "tf.reshape(a, shape) | -1 | perm=[0, 3, 1, 2] | More than one way |"
        "# GRADED FUNCTION: compute_content_cost | def compute_content_cost(a_C, a_G): |"
        "Arguments: | a_C -- | a_G -- | Returns: | J_content -- |"
        "m, n_H, n_W, n_C = None | a_C_unrolled = None | a_G_unrolled = None | J_content = None |"
        "return J_content | tf.reset_default_graph() | with tf.Session() as test: |"
        "tf.set_random_seed(1) | a_C = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4) |"
        "a_G = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4) |"
        'print("J_content = " + str(J_content.eval())) | J_content = 6.76559 | **Remember**',
    ),
    (
        "3.2 - Computing the style cost",
        "impressionism](https:// | style_image = load_image( | show_pictures(",
    ),
    (
        "3.2.1 - Style matrix",
        "dot products | v_i^T v_j | Gram matrix | Two meanings of G | G_{gram} |"
        "A_{unrolled} \\, A_{unrolled}^T | gram.png | G_{(gram)i,j}$: correlation |"
        "G_{(gram)i,i}$: prevalence | vertical textures | Exercise | tf.matmul | tf.transpose |"
        "# GRADED FUNCTION: gram_matrix | def gram_matrix(A): | GA = None | return GA |"
        "tf.reset_default_graph() | with tf.Session() as test: | tf.set_random_seed(1) |"
        "A = tf.random_normal([3, 2 * 1], mean=1, stddev=4) | GA = gram_matrix(A) |"
        'print("GA = \\n" + str(GA.eval())) | GA = | [[  6.42230511  -4.42912197  -2.09668207]',
    ),
    (
        "3.2.2 - Style cost of one layer",
        "\\tag{2} | Exercise | 1. | get_shape().as_list() | 2. | tf.reshape | tf.transpose |"
        "3. | gram_matrix | 4. | tf.subtract | tf.square | tf.reduce_sum | Hints | perm |"
        "# GRADED FUNCTION: compute_layer_style_cost | def compute_layer_style_cost(a_S, a_G): |"
        "m, n_H, n_W, n_C = None | a_S = None | a_G = None | GS = None | GG = None |"
        "J_style_layer = None | return J_style_layer |"
        "tf.reset_default_graph() | with tf.Session() as test: | tf.set_random_seed(1) |"
        "a_S = tf.random_normal( | a_G = tf.random_normal( |"
        'print("J_style_layer = " + str(J_style_layer.eval())) | J_style_layer = 9.19028',
    ),
    (
        "3.2.3 - Style weights",
        'add up to 1 | ("conv1_1", 0.2) | ("conv2_1", 0.2) | ("conv3_1", 0.2) |'
        '("conv4_1", 0.2) | ("conv5_1", 0.2) |'
        "\\lambda^{[l]} J_{style}^{[l]}(S, G) |"
        "1. | out | 2. | a_S = sess.run(out) | 3. | a_G = out | no value yet |"
        "4. | J_style_layer | 5. | coeff |"
        "def compute_style_cost(model, STYLE_LAYERS): | J_style = 0 |"
        "for layer_name, coeff in STYLE_LAYERS: | out = model[layer_name] | a_S = sess.run(out) |"
        "a_G = out | J_style_layer = compute_layer_style_cost(a_S, a_G) |"
        "J_style += coeff * J_style_layer | return J_style | How to choose the coefficients |"
        "Deep layers | softer | Shallow layers | stronger | **Remember**",
    ),
    (
        "3.3 - The total cost",
        "\\alpha \\, J_{content}(C, G) + \\beta \\, J_{style}(S, G) | Exercise |"
        "# GRADED FUNCTION: total_cost |"
        "def total_cost(J_content, J_style, alpha=10, beta=40): | J = None | return J |"
        "with tf.Session() as test: | np.random.seed(3) | J_content = np.random.randn() |"
        "J_style = np.random.randn() | J = total_cost(J_content, J_style) |"
        'print("J = " + str(J)) | J = 35.34667875478276 | **Remember**',
    ),
    (
        "4 - Solving the optimization problem",
        "1. create an interactive session | 2. load the content image | 3. load the style image |"
        "4. initialize the generated image | 5. load VGG-19 | 6. build the graph |"
        "content cost | style cost | total cost | optimizer | learning rate | 7. initialize",
    ),
    (
        "The interactive session",
        "default session | tf.reset_default_graph() | sess = tf.InteractiveSession()",
    ),
    (
        "Content image",
        "content_image = load_image( | content_image = reshape_and_normalize_image(content_image",
    ),
    (
        "Style image",
        "style_image = load_image( | style_image = reshape_and_normalize_image(style_image",
    ),
    (
        "Generated image",
        "correlated | nst_utils.py | generated_image = generate_noise_image(content_image)",
    ),
    ("The network", "model = load_vgg_model("),
    (
        "Content cost",
        "1. | 2. | conv4_2 | 3. | a_C | 4. | a_G | Note:** `a_G` is a tensor |"
        'sess.run(model["input"].assign(content_image)) | out = model["conv4_2"] |'
        "a_C = sess.run(out) | a_G = out | J_content = compute_content_cost(a_C, a_G)",
    ),
    (
        "Style cost",
        'sess.run(model["input"].assign(style_image)) |'
        "J_style = compute_style_cost(model, STYLE_LAYERS)",
    ),
    ("Total cost", "total_cost | $\\alpha = 10$ | $\\beta = 40$ | J = None"),
    (
        "Optimizer",  # its two lines are given
        f"tf.train.AdamOptimizer | {TF}compat/v1/train/AdamOptimizer | 2.0 |"
        "optimizer = tf.train.AdamOptimizer(2.0) | train_step = optimizer.minimize(J)",
    ),
    (
        "The training loop",
        "initializes | assigns | runs | Hints | tf.global_variables_initializer() |"
        'model["input"].assign( | sess.run |'
        "def model_nn(sess, input_image, num_iterations=200): | None | None |"
        "for i in range(num_iterations): | None | generated_image = None | if i % 20 == 0: |"
        "Jt, Jc, Js = sess.run([J, J_content, J_style]) |"
        'print("Iteration " + str(i) + " :") | print("total cost = " + str(Jt)) |'
        'print("content cost = " + str(Jc)) | print("style cost = " + str(Js)) |'
        'str(i) + ".png" | "generated_image.jpg" | return generated_image |'
        "How long | louvre_small.jpg | monet.jpg |"
        "5.05035e09, 7877.67, 1.26257e08 | 4.9057e09, 7872.85, 1.22641e08 |"
        "1.02393e10, 12293.4, 2.55979e08 | After 20 iterations |"
        "model_nn(sess, generated_image, ITERATIONS)",
    ),
    ("The result", "Longer runs | smaller learning rate | content_image | style_image | result"),
    ("Gallery", "the palace | ruins | tomb | fluid | gallery.jpg"),
    (
        "5 - Your own picture",
        "1. | upload | 2. | names | 3. | CONTENT_IMAGE = | STYLE_IMAGE = | 4. | Run All Cells |"
        "5. | generated_image.jpg | What to tune | STYLE_LAYERS | ITERATIONS | alpha | beta",
    ),
    ("6 - Conclusion", "**Remember**"),
    (
        "References",
        "Gatys | arxiv.org/abs/1508.06576 | Narayanan |"
        "harishnarayanan.org/writing/artistic-style-transfer | Log0 |"
        "www.chioka.in/tensorflow-implementation-neural-algorithm-of-artistic-style |"
        "Simonyan | Zisserman | arxiv.org/abs/1409.1556 | MatConvNet |"
        "www.vlfeat.org/matconvnet/pretrained | deeplearning.ai",
    ),
]
HEADINGS = [heading for heading, _ in SECTIONS]

# How often the course's notebook, as students get it, names what helps them.
COUNTS = {
    r"get_shape": 3,
    r"reduce_sum": 4,
    r"tf\.transpose": 11,
    r"tf\.matmul": 2,
    r"AdamOptimizer": 2,
    r"global_variables_initializer": 2,
    r"\]\(https?://": 17,
}

POINTS = {  # to remember, by the heading that they stand under
    "3.1.1 - Matching the content of C": 2,
    "3.2.3 - Style weights": 4,
    "3.3 - The total cost": 2,
    "6 - Conclusion": 5,
}

PAGES = {  # TensorFlow's page of each function that an exercise names
    "get_shape": "Tensor#get_shape",
    "tf.reshape": "reshape",
    "tf.transpose": "transpose",
    "tf.subtract": "math/subtract",
    "tf.square": "math/square",
    "tf.reduce_sum": "math/reduce_sum",
    "tf.matmul": "linalg/matmul",
    "tf.InteractiveSession": "compat/v1/InteractiveSession",
    "tf.train.AdamOptimizer": "compat/v1/train/AdamOptimizer",
    "tf.global_variables_initializer": "compat/v1/global_variables_initializer",
    "sess.run": "compat/v1/Session#run",
}


@pytest.fixture(scope="module")
def lab():
    return nbformat.read(LAB, as_version=4)


@pytest.fixture(scope="module")
def exercises(lab):
    return exercise_edition(lab)


@pytest.fixture(scope="module")
def text(exercises):
    return "\n\n".join(cell.source for cell in exercises.cells)


@pytest.fixture(scope="module")
def sections(exercises):
    """Return the text under each heading of the table; other headings end no section."""
    found, heading = {}, None
    for cell in exercises.cells:
        for line in cell.source.splitlines():
            title = line.lstrip("#").strip()
            if cell.cell_type == "markdown" and line.startswith("#") and title in HEADINGS:
                heading = title
            elif heading:
                found[heading] = found.get(heading, "") + line + "\n"
    return found


def test_headings_stand_in_the_order_of_the_course(sections):
    assert list(sections) == HEADINGS


@pytest.mark.parametrize(("heading", "parts"), SECTIONS, ids=HEADINGS)
def test_section_has_what_the_course_s_section_has(sections, heading, parts):
    rest = sections[heading]
    for part in parts.split("|"):
        _, found, rest = rest.partition(part.strip())
        assert found, f"{part.strip()} is not in its place under {heading}"


@pytest.mark.parametrize(("pattern", "count"), COUNTS.items(), ids=COUNTS)
def test_help_is_given_as_often_as_in_the_course(text, pattern, count):
    assert len(re.findall(pattern, text)) >= count


@pytest.mark.parametrize(("heading", "count"), POINTS.items(), ids=POINTS)
def test_reminder_has_the_course_s_number_of_points(sections, heading, count):
    _, _, reminder = sections[heading].partition("**Remember**\n\n")
    points = reminder.partition("\n#")[0].partition("\n\n")[0]
    assert [line[:2] for line in points.strip().splitlines()] == ["- "] * count


@pytest.mark.parametrize(("function", "page"), PAGES.items(), ids=PAGES)
def test_function_that_an_exercise_names_is_linked_to_its_page(text, function, page):
    assert re.search(rf"\[`[^`]*{re.escape(function)}[^`]*`\]\({re.escape(TF + page)}\)", text)


def test_figures_and_lessons_that_the_lab_links_are_there(lab):
    """Paths start in notebooks/, so figures are in ../images/."""
    text = "\n".join(cell.source for cell in lab.cells if cell.cell_type == "markdown")
    figures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    lessons = re.findall(r"\]\(([^):]+\.ipynb)\)", text)
    assert len(figures) >= 5
    assert all(figure.startswith("../images/") for figure in figures)
    others = {path.name for path in LAB.parent.glob("*.ipynb")} - set(lessons)
    assert others <= {LAB.name, EXERCISES.name}
    missing = [path for path in figures + lessons if not (LAB.parent / path).exists()]
    assert missing == []
