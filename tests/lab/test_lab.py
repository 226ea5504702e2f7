"""The lab notebook: its own functions against the course, NumPy and calculus, and all of it run."""

import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import nst_utils
from nst.core.config import CONFIG, LAB
from nst.lab import runner
from tests.benchmark import published as published_run
from tests.conftest import ROOT

pytestmark = pytest.mark.numbers
SHAPE = (1, 5, 3, 4)  # n_H, n_W, n_C all different: a swapped axis shows
PUBLISHED_GA = [
    [6.42230511, -4.42912197, -2.09668207],
    [-4.42912197, 19.46583748, 19.56387138],
    [-2.09668207, 19.56387138, 20.6864624],
]


@pytest.fixture(scope="module")
def lab():
    return nst_utils.functions_of(LAB)


@pytest.fixture
def activations():
    rng = np.random.default_rng(0)
    return rng.normal(1, 4, SHAPE), rng.normal(1, 4, SHAPE)


def evaluate(function, *arrays):
    with tf.Graph().as_default(), tf.Session():
        return function(*map(tf.constant, arrays)).eval()


def gram(a):
    return np.einsum("mhwi,mhwj->ij", a, a)


# --- the published numbers -----------------------------------------------------------------------


def published_activations():
    """The course's `tf.random_normal`s, with the seeds that TensorFlow 1 derived for them."""
    tf.set_random_seed(1)
    return [tf.random_normal([1, 4, 4, 3], mean=1, stddev=4, seed=seed) for seed in (3, 9)]


@pytest.mark.parametrize(
    ("name", "published"),
    [("compute_content_cost", 6.76559), ("compute_layer_style_cost", 9.19028)],
)
def test_costs_of_the_check_cells_are_the_published_ones(lab, name, published):
    with tf.Graph().as_default(), tf.Session():
        cost = getattr(lab, name)(*published_activations()).eval()
    assert cost == pytest.approx(published, rel=1e-5)


def test_gram_matrix_of_the_check_cell_is_the_published_one(lab):
    with tf.Graph().as_default(), tf.Session():
        tf.set_random_seed(1)
        GA = lab.gram_matrix(tf.random_normal([3, 2], mean=1, stddev=4, seed=3)).eval()
    np.testing.assert_allclose(GA, PUBLISHED_GA, rtol=1e-5)


def test_total_cost_of_the_check_cell_is_the_published_one(lab):
    draw = np.random.RandomState(3)
    assert lab.total_cost(draw.randn(), draw.randn()) == pytest.approx(35.34667875478276, rel=1e-12)


# The assignment's way to write its cells: what a student pastes into the lab.
PASTED = [
    """\
content_image = scipy.misc.imread("images/pyramid.jpg")
imshow(content_image)
content_image = reshape_and_normalize_image(content_image)
generated_image = generate_noise_image(content_image)
imshow(generated_image[0])
print(content_image.shape, generated_image.shape)""",
    """\
def compute_content_cost(a_C, a_G):
    m, n_H, n_W, n_C = a_G.get_shape().as_list()
    a_C_unrolled = tf.reshape(tf.transpose(a_C, perm=[0, 3, 1, 2]), [m, n_C, -1])
    a_G_unrolled = tf.reshape(tf.transpose(a_G, perm=[0, 3, 1, 2]), [m, n_C, -1])
    return 1 / (4 * n_H * n_W * n_C) * tf.reduce_sum(np.power(a_G_unrolled - a_C_unrolled, 2))""",
    """\
tf.reset_default_graph()
with tf.Session() as test:
    tf.set_random_seed(1)
    a_C = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4)
    a_G = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4)
    print('J_content = ' + str(compute_content_cost(a_C, a_G).eval()))""",
    """\
tf.reset_default_graph()
with tf.Session() as test:
    tf.set_random_seed(1)
    A = tf.random_normal([3, 2*1], mean=1, stddev=4)
    print('GA = ' + str(gram_matrix(A).eval()))""",
    """\
tf.reset_default_graph()
with tf.Session() as test:
    tf.set_random_seed(1)
    a_S = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4)
    a_G = tf.random_normal([1, 4, 4, 3], mean=1, stddev=4)
    print('J_style_layer = ' + str(compute_layer_style_cost(a_S, a_G).eval()))""",
    """\
tf.reset_default_graph()
with tf.Session() as test:
    np.random.seed(3)
    J_content = np.random.randn()
    J_style = np.random.randn()
    print('J = ' + str(total_cost(J_content, J_style)))""",
    f"print(np.float32({PUBLISHED_GA}))",
]


def test_cells_of_the_assignment_print_the_published_numbers_in_the_lab_s_kernel():
    functions = ["compute_content_cost", "gram_matrix", "compute_layer_style_cost", "total_cost"]
    sources = {cell.id: cell.source for cell in nbformat.read(LAB, as_version=4).cells}
    lab = [sources[cell] for cell in ("setup", "imports", *functions)]
    # its own content cost is checked before the pasted one takes its place
    pasted = [PASTED[0], PASTED[2], *PASTED[1:]]
    cells = [new_code_cell(source) for source in lab + pasted]
    client = NotebookClient(
        new_notebook(cells=cells), timeout=300, resources={"metadata": {"path": str(LAB.parent)}}
    )
    executed = client.execute()
    printed = [
        "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
        for cell in executed.cells
    ]
    shapes, lab_content, _, content, GA, layer, total, published = printed[len(lab) :]
    assert shapes == "(1, 300, 400, 3) (1, 300, 400, 3)\n"
    assert lab_content == content == "J_content = 6.76559\n"
    assert layer == "J_style_layer = 9.19028\n"
    assert total == "J = 35.34667875478276\n"
    assert GA.startswith("GA = [[")
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", GA)]
    np.testing.assert_allclose(numbers, np.ravel(PUBLISHED_GA), rtol=1e-5)
    assert published == (
        "[[  6.42230511  -4.42912197  -2.09668207]\n"
        " [ -4.42912197  19.46583748  19.56387138]\n"
        " [ -2.09668207  19.56387138  20.6864624 ]]\n"
    )


# --- against NumPy -------------------------------------------------------------------------------


def test_content_cost_is_the_scaled_squared_distance(lab, activations):
    a_C, a_G = activations
    expected = np.sum((a_C - a_G) ** 2) / (4 * 5 * 3 * 4)
    assert evaluate(lab.compute_content_cost, a_C, a_G) == pytest.approx(expected)


def test_gram_matrix_of_a_hand_worked_case(lab):
    A = np.array([[1.0, 2.0, 0.0], [3.0, 0.0, -1.0]])  # 2 channels, 3 positions
    np.testing.assert_array_equal(evaluate(lab.gram_matrix, A), [[5, 3], [3, 10]])


def test_style_cost_of_a_layer_is_the_scaled_distance_of_gram_matrices(lab, activations):
    a_S, a_G = activations
    expected = np.sum((gram(a_S) - gram(a_G)) ** 2) / (4 * 4**2 * (5 * 3) ** 2)
    assert evaluate(lab.compute_layer_style_cost, a_S, a_G) == pytest.approx(expected)


def test_style_cost_is_the_weighted_sum_over_the_layers(lab, activations):
    S, G = activations
    with tf.Graph().as_default(), tf.Session() as sess:
        image = tf.placeholder_with_default(S, SHAPE)
        model = {"a": image, "b": tf.nn.relu(image) * 2}
        lab.sess = sess
        J_style = lab.compute_style_cost(model, [("a", 0.3), ("b", 0.7)])
        got = sess.run(J_style, {image: G})
    scale = 4 * 4**2 * (5 * 3) ** 2
    expected = 0.3 * np.sum((gram(S) - gram(G)) ** 2) / scale
    S, G = 2 * np.maximum(S, 0), 2 * np.maximum(G, 0)
    expected += 0.7 * np.sum((gram(S) - gram(G)) ** 2) / scale
    assert got == pytest.approx(expected)


def test_total_cost_weighs_with_alpha_and_beta(lab):
    assert lab.total_cost(2.0, 3.0) == 10 * 2 + 40 * 3
    assert lab.total_cost(2.0, 3.0, alpha=5, beta=7) == 31


@pytest.mark.parametrize("name", ["compute_content_cost", "compute_layer_style_cost"])
def test_equal_images_cost_nothing(lab, activations, name):
    assert evaluate(getattr(lab, name), activations[0], activations[0]) == 0


@pytest.mark.parametrize("name", ["compute_content_cost", "compute_layer_style_cost"])
def test_gradients_are_the_slopes_of_the_costs(lab, activations, name):
    """Central differences in every one of the 60 directions, in float64."""
    a, start = activations
    with tf.Graph().as_default(), tf.Session() as sess:
        a_G = tf.placeholder(tf.float64, SHAPE)
        J = getattr(lab, name)(tf.constant(a), a_G)
        gradient = sess.run(tf.gradients(J, a_G)[0], {a_G: start})
        slopes = np.empty(start.size)
        for k, direction in enumerate(np.eye(start.size)):
            step = 1e-4 * direction.reshape(SHAPE)
            up, down = sess.run(J, {a_G: start + step}), sess.run(J, {a_G: start - step})
            slopes[k] = (up - down) / 2e-4
    np.testing.assert_allclose(gradient.ravel(), slopes, rtol=1e-5, atol=1e-7)


# --- the whole notebook --------------------------------------------------------------------------


def test_the_lab_runs_from_top_to_bottom(fake_weights, tmp_path, capsys):
    values = {"VGG_MODEL": str(fake_weights), "ITERATIONS": 2, "OUTPUT_DIR": str(tmp_path)}
    runner.run(LAB, tmp_path, values)

    made = {path.name for path in tmp_path.iterdir()}
    pictures = {"0.png", "generated_image.jpg", "evolution.gif"}
    assert made == pictures | {"costs.csv", "state.npz", ".run.lock", LAB.name}
    executed = nbformat.read(tmp_path / LAB.name, as_version=4)
    text = "".join(
        output.get("text", "") for c in executed.cells for output in c.get("outputs", [])
    )
    for published in ("J_content = 6.76559", "J_style_layer = 9.19028", "J = 35.34667875478276"):
        assert published in text
    assert "Iteration 0 :\ntotal cost = " in text
    assert "unknown weights" in text
    assert not any(o.get("name") == "stderr" for c in executed.cells for o in c.get("outputs", []))
    assert re.search(r"iteration 1/2 +total \S+ +content \S+ +style ", capsys.readouterr().out)


def test_the_stored_lab_is_one_clean_run():
    notebook = nbformat.read(LAB, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(o.output_type == "error" or o.get("name") == "stderr" for o in outputs)
    text = "".join(output.get("text", "") for output in outputs)
    assert "Iteration 180 :" in text
    assert "Iteration 199 :" not in text  # every 20 iterations, as the course, and no other
    assert "iteration 200/200" in str(outputs)
    assert LAB.stat().st_size < 1.5e6


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--content", "images/12345.jpg"), "images/12345.jpg not found: check the name"),
        (
            ("--style", "nst_utils.py"),
            "nst_utils.py is not an image that can be read (it starts",
        ),
    ],
)
def test_bad_input_ends_make_run_with_one_sentence(tmp_path, option, message):
    command = [sys.executable, "-m", "nst", "run", *option, "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_output_works_for_a_notebook_without_parameters(tmp_path):
    """The executed copy goes there; other values need a tagged cell."""
    notebook = new_notebook(cells=[new_code_cell("print(1 + 1)")])
    nbformat.write(notebook, tmp_path / "plain.ipynb")
    runner.main([str(tmp_path / "plain.ipynb"), "--output", str(tmp_path / "out")])
    executed = nbformat.read(tmp_path / "out" / "plain.ipynb", as_version=4)
    assert [cell.outputs[0].text for cell in executed.cells] == ["2\n"]
    with pytest.raises(SystemExit, match="the tag `parameters`, in which SIZE could be"):
        runner.main([str(tmp_path / "plain.ipynb"), "--size", "64"])


@pytest.mark.skipif(
    not published_run.has_course_pictures() or not (ROOT / CONFIG.VGG_MODEL).exists(),
    reason="needs the course's pictures in images/, and the weights: make weights",
)
def test_the_published_run_repeats():
    """Iterations 0 and 20 of it; `make published` compares all ten rows."""
    rows = published_run.costs(published_run.IMAGES, 21)
    published = published_run.PUBLISHED[:2]
    np.testing.assert_array_equal(rows[:, 0], published[:, 0])
    np.testing.assert_allclose(rows[:, 1], published[:, 1], rtol=0.035)  # total
    np.testing.assert_allclose(rows[:, 2], published[:, 2], rtol=0.005)  # content
