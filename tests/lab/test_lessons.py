"""The companion lessons: each runs to its end, is stored clean, and agrees with NumPy."""

import ast
import re
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import scipy.ndimage
import scipy.optimize
import tensorflow.compat.v1 as tf

import nst_utils
from nst.core.config import LAB
from nst.lab import runner
from nst.vgg.tiny import write_fake_vgg
from tests.conftest import ROOT

pytestmark = pytest.mark.numbers
SHAPE = (1, 5, 3, 4)  # n_H, n_W, n_C all different: a swapped axis shows
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
each_lesson = pytest.mark.parametrize("lesson", LESSONS)


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


@pytest.fixture
def functions():
    return lambda lesson: nst_utils.functions_of(notebook_of(lesson))


@pytest.fixture
def activations():
    rng = np.random.default_rng(0)
    return rng.normal(1, 4, SHAPE).astype(np.float32), rng.normal(1, 4, SHAPE).astype(np.float32)


def evaluate(function, *arrays):
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(function(*map(tf.constant, arrays)))


def gram(a):
    return np.einsum("mhwi,mhwj->ij", a, a)


# --- the whole notebooks -------------------------------------------------------------------------


@each_lesson
def test_a_lesson_runs_from_top_to_bottom(lesson, fake_weights, tmp_path):
    weights = fake_weights
    if lesson == "Lesson_9_Eager_Style_Transfer":  # Keras fixes the sizes of VGG-19's layers
        weights = REAL_WEIGHTS
        if not weights.exists():
            pytest.skip("needs the weights: make weights")
    values = TINY | {"VGG_MODEL": str(weights), "OUTPUT_DIR": str(tmp_path)}
    values |= {"VGG_16_MODEL": str(tmp_path / "absent.mat")}
    runner.run(notebook_of(lesson), tmp_path, values)

    executed = nbformat.read(tmp_path / f"{lesson}.ipynb", as_version=4)
    promised, files = LESSONS[lesson]
    text = text_of(outputs_of(executed))
    assert all(words in text for words in promised)
    assert ": False" not in text  # what the checks print
    assert not any(output.get("name") == "stderr" for output in outputs_of(executed))
    stored = nbformat.read(notebook_of(lesson), as_version=4)
    assert number_of_pictures(executed) == number_of_pictures(stored) > 0
    assert {path.name for path in tmp_path.iterdir()} == files | {f"{lesson}.ipynb"}


def test_the_adaptive_lesson_takes_vgg_16_where_its_file_is_present(tmp_path):
    weights = tmp_path / "imagenet-vgg-verydeep-16.mat"
    write_fake_vgg(weights, depth=16)
    values = TINY | {"VGG_MODEL": "absent.mat", "VGG_16_MODEL": str(weights)}
    lesson = notebook_of("Lesson_8_Adaptive_Loss_Weights")
    runner.run(lesson, tmp_path, values | {"OUTPUT_DIR": str(tmp_path)})
    text = text_of(outputs_of(nbformat.read(tmp_path / lesson.name, as_version=4)))
    assert "VGG-16, unknown weights" in text
    assert "13 style layers: conv1_1" in text


@each_lesson
def test_a_stored_lesson_is_one_clean_run(lesson):
    notebook = nbformat.read(notebook_of(lesson), as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = outputs_of(notebook)
    assert not any(o.output_type == "error" or o.get("name") == "stderr" for o in outputs)
    assert "8-bit weights" in text_of(outputs)
    assert str(ROOT) not in str(outputs)
    assert ": False" not in text_of(outputs)
    assert notebook_of(lesson).stat().st_size < 1.5e6


@each_lesson
def test_a_lesson_that_is_run_again_first_closes_its_session(lesson):
    cells = nbformat.read(notebook_of(lesson), as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    opening = [source for source in code if "InteractiveSession()" in source]
    for source in opening:
        assert source.index("nst_utils.close_session()") < source.index("InteractiveSession()")


# --- the way from one to the next ----------------------------------------------------------------

CONTENTS = ROOT / "notebooks" / "Lessons.ipynb"
NAMES = [f"{lesson}.ipynb" for lesson in LESSONS]
CLOSING = "What_Came_After.ipynb"


def links_of(text):
    return re.findall(r"\]\(([^)]+\.ipynb)\)", text)


def markdown_of(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def test_every_lesson_is_tested_here():
    assert sorted(path.name for path in CONTENTS.parent.glob("Lesson_*.ipynb")) == NAMES


@each_lesson
def test_a_lesson_leads_back_and_on(lesson):
    cells = nbformat.read(notebook_of(lesson), as_version=4).cells
    place = NAMES.index(f"{lesson}.ipynb")
    before, after = NAMES[max(place - 1, 0) : place], [*NAMES, CLOSING][place + 1 : place + 2]
    assert {cells[1].cell_type, cells[-1].cell_type} == {"markdown"}
    assert links_of(cells[1].source) == [*before, CONTENTS.name, LAB.name, *after]
    assert cells[-1].source == cells[1].source


@pytest.mark.parametrize("notebook", [*LESSONS, CONTENTS.stem, CLOSING.removesuffix(".ipynb")])
def test_links_among_the_notebooks_resolve(notebook):
    links = links_of("\n".join(markdown_of(notebook_of(notebook))))
    assert [name for name in links if not (CONTENTS.parent / name).is_file()] == []


def test_the_contents_list_every_lesson_once_and_in_order():
    (text,) = markdown_of(CONTENTS)
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if "](Lesson_" in line]
    assert [link for row in rows for link in links_of(row[0])] == NAMES
    for _, question, seen, minutes in rows:
        assert question.endswith("?")
        assert seen
        assert int(minutes) <= 3
    assert {LAB.name, CLOSING} <= set(links_of(text))


def test_the_lab_links_to_the_contents_and_to_every_lesson():
    assert {CONTENTS.name, *NAMES} <= set(links_of("\n".join(markdown_of(LAB))))


# --- what the reader does -------------------------------------------------------------------------

TASKS = {  # lesson: the function that the reader writes
    "Lesson_4_Optimizers_and_Starting_Images": "edge_recall",
    "Lesson_7_Choosing_the_Content_Layer": "content_weights",
    "Lesson_8_Adaptive_Loss_Weights": "log_cost",
    "Lesson_9_Eager_Style_Transfer": "gram_einsum",
}


def solved(lesson):
    """Take a lesson's functions, with the answer in place of the one that the reader writes."""
    module = nst_utils.functions_of(notebook_of(lesson))
    code = re.findall(
        r"```python\n(.+?)```", "\n".join(markdown_of(notebook_of(lesson))), re.DOTALL
    )
    (answer,) = (block for block in code if f"def {TASKS[lesson]}(" in block)
    exec(answer, vars(module))
    return module


@pytest.mark.parametrize("lesson", TASKS)
def test_a_lesson_asks_for_two_predictions_and_a_function(lesson):
    notebook = nbformat.read(notebook_of(lesson), as_version=4)
    text = "\n".join(markdown_of(notebook_of(lesson)))
    assert text.count("**Predict, then run.**") == 2
    assert text.count("**Your turn.**") == 1
    assert text.count("<details>") == text.count("</details>") >= 3
    assert f"{TASKS[lesson]}: not written yet" in text_of(outputs_of(notebook))
    assert callable(vars(solved(lesson))[TASKS[lesson]])


# --- what the lessons with a network of Keras share -----------------------------------------------

EAGER = [lesson for lesson in LESSONS if re.match("Lesson_[1236]_", lesson)]


@pytest.fixture
def eagerly():
    """Compute at once, as these lessons do; the tests' own process builds graphs."""
    from tensorflow.python.eager.context import eager_mode

    with eager_mode():
        yield


def exercise_of(lesson):
    """Return the cell that a reader completes, and the answer in the fold after it."""
    cells = nbformat.read(notebook_of(lesson), as_version=4).cells
    (place,) = [i for i, cell in enumerate(cells) if "is not written yet" in cell.source]
    (answer,) = re.findall(r"```python\n(.*?)```", cells[place + 1].source, re.DOTALL)
    return cells[place].source, answer


CHECKED = [lesson for lesson in LESSONS if lesson not in TASKS]


@pytest.mark.parametrize("lesson", CHECKED)
def test_the_answer_to_an_exercise_passes_its_check(lesson, functions, eagerly, capsys):
    cell, answer = exercise_of(lesson)
    definition, check = cell.split("return None", 1)
    module = vars(functions(lesson))
    exec(answer + check.partition("\n")[2], module)
    assert capsys.readouterr().out.endswith("is right: True\n")
    wrong = f"{definition}return 0.4\n{check.partition(chr(10))[2]}"
    exec(wrong, module)
    assert "True" not in capsys.readouterr().out


def test_the_network_is_written_the_same_in_each_notebook():
    def body(lesson):
        (source,) = [
            cell.source
            for cell in nbformat.read(notebook_of(lesson), as_version=4).cells
            if cell.source.startswith("def build_vgg")
        ]
        _, *statements = ast.parse(source).body[0].body  # without the docstring
        return [ast.unparse(statement) for statement in statements]

    _, *others = EAGER
    assert all(body(lesson) == body(EAGER[0]) for lesson in others)


# --- Lesson_1_Feature_Maps -----------------------------------------------------------------------


@pytest.fixture
def maps(functions):
    return functions("Lesson_1_Feature_Maps")


def test_receptive_field_of_vgg_16_is_the_published_one(maps):
    # Araujo, Norris, Sim (2019), Computing Receptive Fields of Convolutional Neural Networks
    assert maps.receptive_field("avgpool5", nst_utils.layer_names(16)) == (212, 32, -90)


def test_most_active_channels_come_first(maps):
    a = np.zeros((5, 3, 4), np.float32)
    a[1, 2] = [15, 30, 0, 45]
    np.testing.assert_allclose(maps.mean_activation(a), [1, 2, 0, 3])
    np.testing.assert_array_equal(maps.most_active(a, 3), [3, 1, 0])


def test_varied_channels_are_not_like_each_other(maps):
    one, other = np.random.default_rng(0).uniform(0, 1, (2, 5, 3))
    a = np.zeros((5, 3, 12), np.float32)  # a quarter: the three most active
    a[..., 7], a[..., 2], a[..., 5] = 9 * one, 8 * one + 0.1, other
    a[..., 3] = 0.01 * other[::-1]
    assert maps.varied(a, 2) == [7, 5]


def test_peaked_channels_are_strong_in_few_places_inside(maps):
    maps.HEIGHT, maps.WIDTH = 6, 5
    found = np.ones((2, 6, 5, 4))
    found[1, 2, 2] = [1, 50, 90, 0]
    found[0, 0, 0, 0] = 1000  # at the border, where its field reaches beyond the image
    found[..., 2] += 10
    maps.found = [{"conv1_1": a} for a in found]
    maps.a = maps.found[0]
    assert maps.inside("conv1_1").sum() == 4 * 3
    assert maps.peaked("conv1_1", 1) == [1]


def test_style_cost_of_feature_maps_is_the_lab_s(maps, activations):
    a_S, a_G = activations
    wanted = evaluate(nst_utils.functions_of(LAB).compute_layer_style_cost, a_S, a_G)
    np.testing.assert_allclose(maps.style_cost(a_S[0], a_G[0]), wanted, rtol=1e-4)


# --- Lesson_2_Recreate_Content_and_Style ---------------------------------------------------------


@pytest.fixture
def means(functions):
    return functions("Lesson_2_Recreate_Content_and_Style")


def test_content_loss_is_the_mean_squared_difference(means, activations):
    a_C, a_G = activations
    loss = evaluate(means.content_loss, a_C, a_G)
    np.testing.assert_allclose(loss, np.mean((a_C - a_G) ** 2), rtol=1e-6)
    assert evaluate(means.content_loss, a_C, a_C) == 0


def test_mean_gram_matrix_is_a_mean_over_positions(means, activations):
    a, _ = activations
    found = evaluate(means.mean_gram_matrix, a)
    np.testing.assert_allclose(found, gram(a) / (5 * 3), rtol=1e-5)


def test_style_loss_is_the_mean_over_layers_of_mean_squares(means):
    rng = np.random.default_rng(1)
    S, G, S_2, G_2 = rng.normal(size=(4, 3, 3))
    S_2, G_2 = S_2[:2, :2], G_2[:2, :2]  # layers of different size count the same
    loss = evaluate(lambda *grams: means.style_loss(grams[:2], grams[2:]), S, S_2, G, G_2)
    np.testing.assert_allclose(loss, (np.mean((S - G) ** 2) + np.mean((S_2 - G_2) ** 2)) / 2)


def test_a_search_ends_at_the_image_of_least_cost_within_the_colors(means, eagerly, tmp_path):
    means.noise_image = np.random.default_rng(0).uniform(-20, 20, (1, 6, 8, 3)).astype(np.float32)
    means.OUTPUT_DIR = str(tmp_path)
    target = np.float32([40, 40, 900])  # white is 151 above blue's mean

    def bowl(G):
        return tf.reduce_sum(np.float32([1, 3, 9]) * (G - target) ** 2)

    pictures = means.recreate(bowl, "bowl", 12)
    assert len(pictures) >= 3  # the noise, after 5 steps, …
    np.testing.assert_array_equal(pictures[0], nst_utils.to_pixels(means.noise_image))
    found = pictures[-1].astype(float)
    np.testing.assert_allclose(found, np.broadcast_to([163.7, 156.8, 255], found.shape), atol=1)
    assert (tmp_path / "bowl.gif").stat().st_size > 0


# --- Lesson_3_Style_Is_a_Distribution ------------------------------------------------------------


@pytest.fixture
def distribution(functions):
    return functions("Lesson_3_Style_Is_a_Distribution")


@pytest.fixture
def clouds():
    rng = np.random.default_rng(3)
    return rng.normal(1, 2, (7, 4)).astype(np.float32), rng.normal(0, 3, (7, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("cost", "statistic"),
    [
        ("mean_cost", lambda X: X.mean(axis=0)),
        ("deviation_cost", lambda X: X.std(axis=0)),
        ("gram_cost", lambda X: np.einsum("pi,pj->ij", X, X) / len(X)),
    ],
)
def test_a_cost_is_the_relative_error_of_its_statistic(distribution, clouds, cost, statistic):
    G, S = map(statistic, clouds)
    found = evaluate(lambda X, Y: getattr(distribution, cost)(X, Y, None), *clouds)
    np.testing.assert_allclose(found, np.sum((G - S) ** 2) / np.sum(S**2), rtol=1e-5)


def test_sliced_wasserstein_is_the_cost_of_the_best_assignment(distribution, clouds):
    V = distribution.random_directions(4, 3, seed=0)
    np.testing.assert_allclose(np.linalg.norm(V, axis=0), 1, rtol=1e-6)
    wanted = []
    for x, y in zip(*(np.transpose(Z @ V) for Z in clouds), strict=True):
        squares = (x[:, None] - y) ** 2
        wanted.append(squares[scipy.optimize.linear_sum_assignment(squares)].mean())
    found = evaluate(distribution.sliced_wasserstein, *clouds, V)
    np.testing.assert_allclose(found, np.mean(wanted) / np.mean(clouds[1] ** 2), rtol=1e-5)


def test_adain_has_the_moments_of_the_style_and_the_order_of_the_content(distribution, clouds):
    found = evaluate(distribution.adain, *clouds)
    np.testing.assert_allclose(found.mean(axis=0), clouds[1].mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0), clouds[1].std(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(found.argsort(axis=0), clouds[0].argsort(axis=0))


def test_a_decoder_finds_the_linear_map_that_made_the_blocks(distribution):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 12, 3)).astype(np.uint8)
    blocks = distribution.blocks_of(picture, 2)
    np.testing.assert_array_equal(blocks[1].reshape(2, 2, 3), picture[:2, 2:4])
    np.testing.assert_array_equal(distribution.picture_of(blocks, 2, 8, 12), picture)
    X = rng.normal(size=(500, 5))
    made = X @ rng.normal(size=(5, 12)) + 7
    decoder = distribution.fit_decoder(X, made)
    np.testing.assert_allclose(distribution.decode(X, decoder), made, atol=0.02)


# --- Lesson_4_Optimizers_and_Starting_Images -----------------------------------------------------

TARGET = np.array([[[[3.0, -1.0, 2.0], [10.0, 5.0, -8.0]]]])  # (1, 1, 2, 3)
STEEPNESS = np.array([1.0, 10.0, 100.0])  # of the bowl, by color
START = np.zeros_like(TARGET)


def bowl(x):
    return np.sum(STEEPNESS * (x - TARGET) ** 2), 2 * STEEPNESS * (x - TARGET)


@pytest.fixture
def optimizers(functions):
    return functions("Lesson_4_Optimizers_and_Starting_Images")


def test_adam_is_that_of_tensorflow(optimizers):
    with tf.Graph().as_default(), tf.Session() as sess:
        x = tf.Variable(START)
        J = tf.reduce_sum(STEEPNESS * (x - TARGET) ** 2)
        step = tf.train.AdamOptimizer(0.5).minimize(J)
        sess.run(tf.global_variables_initializer())
        costs = [sess.run([J, step])[0] for _ in range(7)]
        image = sess.run(x)
    found, history = optimizers.adam(bowl, START, 7, 0.5)
    np.testing.assert_allclose(found, image, rtol=1e-5)
    np.testing.assert_allclose(history, costs, rtol=1e-5)


def test_lbfgs_finds_the_bottom_of_a_narrow_bowl(optimizers):
    x, costs = optimizers.lbfgs(bowl, START, 40)
    np.testing.assert_allclose(x, TARGET, atol=1e-3)
    np.testing.assert_allclose(costs[0], bowl(START)[0])


def test_lbfgs_begins_with_a_step_of_three_gray_levels(optimizers):
    steps = []

    def evaluate(x):
        steps.append(x)
        return bowl(x)

    optimizers.lbfgs(evaluate, START, 2)
    np.testing.assert_allclose(np.sqrt(np.mean(steps[1] ** 2)), 3)


def test_lbfgs_returns_the_image_of_the_lowest_cost_in_its_evaluations(optimizers):
    x, costs = optimizers.lbfgs(bowl, START, 3)
    assert len(costs) == 3
    np.testing.assert_allclose(bowl(x)[0], costs.min())


def test_normalized_descent_records_the_cost_before_each_shrinking_step(optimizers):
    x, costs = optimizers.normalized_descent(bowl, START, 2, 0.1)
    path = [START]
    for size in (0.1, 0.05):
        g = bowl(path[-1])[1]
        path.append(path[-1] - size * g / np.std(g))
    np.testing.assert_allclose(costs, [bowl(step)[0] for step in path[:2]])
    np.testing.assert_allclose(x, path[2], rtol=1e-4, atol=1e-6)


def test_the_lab_s_costs_are_the_formulas_in_numpy(optimizers, activations):
    a_S, a_G = activations
    found = evaluate(optimizers.content_cost, a_S, a_G)
    np.testing.assert_allclose(found, np.sum((a_S - a_G) ** 2) / (4 * 5 * 3 * 4), rtol=1e-5)
    found = evaluate(optimizers.layer_style_cost, gram(a_S), a_G)
    by_hand = np.sum((gram(a_S) - gram(a_G)) ** 2) / (4 * 4**2 * (5 * 3) ** 2)
    np.testing.assert_allclose(found, by_hand, rtol=1e-4)


def test_edges_are_those_of_the_negative_too_and_not_of_the_mirror_image(optimizers):
    pixels = np.random.default_rng(0).integers(60, 140, (1, 9, 7, 3))
    image, negative, mirrored = (
        x - nst_utils.CONFIG.MEANS for x in (pixels, 200 - pixels, pixels[:, :, ::-1])
    )
    np.testing.assert_allclose(optimizers.edge_similarity(negative, image), 1)
    assert optimizers.edge_similarity(mirrored, image) < 0.9


def test_recall_counts_the_steepest_tenth_and_ignores_new_edges():
    module = solved("Lesson_4_Optimizers_and_Starting_Images")
    content = np.full((1, 20, 20, 3), 50.0)
    content[:, :, 10:] = 150  # one edge, two of twenty columns: a tenth
    half, busy = content.copy(), content.copy()
    half[:, :10] = 50  # the edge in the lower half only
    busy[:, :, 3] += 100
    means = nst_utils.CONFIG.MEANS
    module.content_image = content - means
    assert module.check_edge_recall() == "edge_recall: right"
    found = [module.edge_recall(x - means, content - means) for x in (content, half, busy)]
    np.testing.assert_allclose(found, [1, 0.5, 1], atol=0.06)


# --- Lesson_5_Coarse_to_Fine ---------------------------------------------------------------------


@pytest.fixture
def coarse(functions):
    return functions("Lesson_5_Coarse_to_Fine")


def test_receptive_fields_are_those_of_the_first_lesson(coarse, maps):
    for name in nst_utils.layer_names(19):
        assert coarse.receptive_field(name) == maps.receptive_field(name)[0]


@pytest.mark.parametrize("wavelength", [12, 40])
def test_stroke_length_of_waves_is_their_length_over_two_pi(coarse, wavelength):
    wave = np.sin(2 * np.pi * np.arange(20 * wavelength) / wavelength)
    picture = np.tile(wave[:, None], (5, 1, 3))  # (5, 20 wavelengths, 3): the rows do not change
    for turned in (picture, picture.swapaxes(0, 1)):
        found = coarse.stroke_length(turned)
        np.testing.assert_allclose(found, wavelength / (2 * np.pi), rtol=0.02)
        np.testing.assert_allclose(coarse.stroke_length(100 - 7 * turned), found)


def test_mean_gram_matrix_and_relative_error_are_those_of_numpy(coarse, activations):
    a_S, a_G = activations
    np.testing.assert_allclose(evaluate(coarse.mean_gram_matrix, a_S), gram(a_S) / 15, rtol=1e-5)
    found = evaluate(lambda G: coarse.relative_error(G, a_S), a_G)
    np.testing.assert_allclose(found, np.sum((a_G - a_S) ** 2) / np.sum(a_S**2), rtol=1e-5)


def test_lbfgs_finds_the_least_cost_within_the_colors(coarse):
    target = np.float32([40, 40, 900])  # white is 151 above blue's mean
    with tf.Graph().as_default(), tf.Session() as coarse.sess:
        x = tf.placeholder(tf.float32, (1, 4, 6, 3))
        J = tf.reduce_sum(np.float32([1, 3, 9]) * (x - target) ** 2)
        level = SimpleNamespace(x=x, J=J, gradient=tf.gradients(J, x)[0])
        image, costs = coarse.lbfgs(level, np.zeros(x.shape, np.float32), 12)
        np.testing.assert_allclose(coarse.sess.run(J, {x: image}), costs.min())
    wanted = np.broadcast_to([163.7, 156.8, 255], image.shape)
    np.testing.assert_allclose(image + nst_utils.CONFIG.MEANS, wanted, atol=1)


# --- Lesson_6_Costs_without_Units_and_Colors -----------------------------------------------------


@pytest.fixture
def unitless(functions):
    return functions("Lesson_6_Costs_without_Units_and_Colors")


def test_luminance_comes_from_one_picture_and_color_from_the_other(unitless):
    painted, photo = np.random.default_rng(0).integers(90, 160, (2, 5, 3, 3)).astype(np.uint8)
    found = unitless.with_luminance_of(painted, photo).astype(float)
    luminance = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG has it
    np.testing.assert_allclose(found @ luminance, painted @ luminance, atol=2)
    for channel in (0, 2):  # B - Y and R - Y are Cb and Cr but for a factor
        ours, theirs = (x[..., channel] - x @ luminance for x in (found, photo))
        np.testing.assert_allclose(ours, theirs, atol=3)


def test_gray_pictures_have_no_chroma(unitless):
    gray = np.full((5, 3, 3), 70, np.uint8)
    np.testing.assert_array_equal(unitless.chroma(gray), np.full((5, 3, 2), 128))


def test_the_lab_s_costs_in_eager_tensorflow_are_the_formulas_in_numpy(unitless, activations):
    a_S, a_G = activations
    content, style = evaluate(lambda S, G: unitless.lab_costs([S, S], [S, S], [G, G]), a_S, a_G)
    np.testing.assert_allclose(content, np.sum((a_S - a_G) ** 2) / (4 * a_S.size), rtol=1e-5)
    by_hand = np.sum((gram(a_G) - gram(a_S)) ** 2) / (4 * 4**2 * 15**2)
    np.testing.assert_allclose(style, [by_hand], rtol=1e-4)


def test_costs_without_units_are_the_formulas_in_numpy(unitless, activations):
    a_S, a_G = np.abs(activations)
    a_C = a_G[:, ::-1] + 1
    content, style = evaluate(lambda C, S, G: unitless.costs([C, C], [S, S], [G, G]), a_C, a_S, a_G)
    by_hand = 0
    for statistic in (gram, lambda a: a.mean((0, 1, 2)), lambda a: a.std((0, 1, 2))):
        G, S = statistic(a_G), statistic(a_S)
        by_hand += np.sum((G - S) ** 2) / np.sum(S**2)
    np.testing.assert_allclose(style, [by_hand], rtol=1e-3)
    pairs = [np.mean((c - s) ** 2) for c in a_C.reshape(-1, 4) for s in a_S.reshape(-1, 4)]
    np.testing.assert_allclose(content, np.mean((a_G - a_C) ** 2) / np.mean(pairs), rtol=1e-4)


def test_matched_colors_have_the_mean_and_the_covariance_of_the_target(unitless):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 7, 3))
    target = rng.normal(size=(40, 3)) @ rng.normal(0, 20, (3, 3)) + 100
    found = unitless.match_colors(image, target[None]).reshape(-1, 3)
    np.testing.assert_allclose(found.mean(axis=0), target.mean(axis=0))
    np.testing.assert_allclose(np.cov(found.T), np.cov(target.T), rtol=1e-6)


# --- Lesson_7_Choosing_the_Content_Layer ---------------------------------------------------------


@pytest.fixture
def choosing(functions):
    return functions("Lesson_7_Choosing_the_Content_Layer")


def test_a_cost_in_its_unit_is_0_for_one_picture_and_1_for_the_other(choosing, activations):
    wanted, other = ({"a": a, "b": 100 * a[:, :2]} for a in activations)

    def squares(a, b):
        return tf.reduce_sum((a - b) ** 2)

    with tf.Graph().as_default(), tf.Session() as choosing.sess:
        layers = {name: tf.placeholder(tf.float32, a.shape) for name, a in wanted.items()}
        costs, units = choosing.costs_in_units(squares, layers, wanted, other)
        by_hand = [np.sum((wanted[name] - other[name]) ** 2) for name in "ab"]
        np.testing.assert_allclose(units, by_hand, rtol=1e-5)
        for share in (0, 0.5, 1):  # of the way; the cost goes by its square
            a_G = {layers[n]: wanted[n] + share * (other[n] - wanted[n]) for n in layers}
            found = choosing.sess.run(costs, a_G)
            np.testing.assert_allclose(found, [share**2] * 2, rtol=1e-4, atol=1e-6)


def normalized(picture):
    return (picture[None] - nst_utils.CONFIG.MEANS).astype(np.float32)


def test_shapes_detail_and_color_are_measured_apart(choosing):
    rng = np.random.default_rng(0)
    smooth = scipy.ndimage.gaussian_filter(rng.normal(0, 900, (90, 120, 3)), (9, 9, 0)) + 128
    fine = rng.normal(0, 12, (90, 120, 1))
    photo = normalized(np.clip(smooth + fine, 0, 255))
    np.testing.assert_allclose(choosing.preserved(photo, photo), [1, 1, 1])
    shapes, detail, color = choosing.preserved(normalized(np.clip(smooth - fine, 0, 255)), photo)
    assert shapes > 0.98
    assert detail < -0.5
    assert color > 0.98
    gray = np.clip(smooth + fine, 0, 255) @ np.float64([0.299, 0.587, 0.114])
    tinted = normalized(gray[..., None] + rng.normal(0, 1, (90, 120, 3)))
    shapes, detail, color = choosing.preserved(tinted, photo)
    assert min(shapes, detail) > 0.9
    assert abs(color) < 0.5


def test_the_content_layer_lesson_takes_vgg_16(tmp_path):
    weights = tmp_path / "imagenet-vgg-verydeep-16.mat"
    write_fake_vgg(weights, depth=16)
    lesson = notebook_of("Lesson_7_Choosing_the_Content_Layer")
    runner.run(lesson, tmp_path, TINY | {"VGG_MODEL": str(weights), "OUTPUT_DIR": str(tmp_path)})
    text = text_of(outputs_of(nbformat.read(tmp_path / lesson.name, as_version=4)))
    assert "VGG-16, unknown weights" in text
    assert "operations after 4 runs, as before: True" in text


def test_enlarging_keeps_a_plain_image_and_the_mean_of_any(choosing):
    choosing.LOW, choosing.HIGH = 0 - nst_utils.CONFIG.MEANS, 255 - nst_utils.CONFIG.MEANS
    plain = np.full((1, 4, 6, 3), 20.0)
    np.testing.assert_allclose(choosing.resize(plain, 8, 12), np.full((1, 8, 12, 3), 20))
    x = np.random.default_rng(0).uniform(-20, 20, (1, 9, 12, 3))
    found = choosing.resize(x, 18, 24)
    assert found.shape == (1, 18, 24, 3)
    np.testing.assert_allclose(found.mean(), x.mean(), atol=0.5)


def test_the_answer_holds_the_content_at_the_named_layers():
    module = solved("Lesson_7_Choosing_the_Content_Layer")
    assert module.check_content_weights() == "content_weights: right"
    np.testing.assert_allclose(
        module.content_weights("conv5_2", "conv2_2", "conv4_2"), [1 / 3, 0, 1 / 3, 1 / 3]
    )


# --- Lesson_8_Adaptive_Loss_Weights --------------------------------------------------------------


@pytest.fixture
def adaptive(functions):
    return functions("Lesson_8_Adaptive_Loss_Weights")


def test_gram_matrix_of_a_layer_is_a_sum_over_positions(adaptive, activations):
    a, _ = activations
    np.testing.assert_allclose(evaluate(adaptive.gram_matrix, a), gram(a), rtol=1e-5)


def test_losses_are_mean_squared_differences(adaptive, activations):
    a_C, a_G = activations
    found = evaluate(adaptive.content_loss, a_C, a_G)
    np.testing.assert_allclose(found, np.mean((a_C - a_G) ** 2), rtol=1e-5)
    S, G = map(gram, activations)
    found = evaluate(adaptive.layer_loss, S, G)
    np.testing.assert_allclose(found, np.mean((S - G) ** 2), rtol=1e-5)


def test_steps_shrink_in_equal_parts(adaptive):
    np.testing.assert_allclose(adaptive.shrinking(10.0, 4), [10, 7.5, 5, 2.5])


def test_units_are_those_of_the_other_image(adaptive):
    adaptive.x = tf.placeholder(tf.float32, [2])
    adaptive.losses = [tf.reduce_sum(adaptive.x) + n for n in (0, 10, 20)]
    content, style = np.float32([1, 2]), np.float32([30, 40])
    with tf.Session() as adaptive.sess:
        np.testing.assert_allclose(adaptive.units_of(content, style, {}), [70, 13, 23])


def test_adjusted_losses_have_the_gradient_of_their_logarithms(adaptive):
    def gradient(x):
        losses = [tf.reduce_sum(x**2), 1e9 * tf.reduce_sum(x**4)]
        w = adaptive.adjustments(losses)
        adjusted = [w_i * L_i for w_i, L_i in zip(w, losses, strict=True)]
        return tf.gradients(adaptive.weighted_sum([3.0, 5.0], adjusted), x)[0]

    x = np.array([1.0, -2.0, 3.0])
    by_hand = 3 * 2 * x / np.sum(x**2) + 5 * 4 * x**3 / np.sum(x**4)
    np.testing.assert_allclose(evaluate(gradient, x), by_hand)


def test_a_loss_of_zero_is_not_divided_by(adaptive):
    (w,) = evaluate(lambda L: adaptive.adjustments([L]), np.float64(0))
    np.testing.assert_allclose(w, 1e10)


@pytest.mark.parametrize("scale", [1e-3, 1e12])
def test_a_normalized_step_has_the_step_size_as_its_deviation(adaptive, scale):
    g = scale * np.random.default_rng(0).normal(size=(1, 30, 40, 3))
    x = np.zeros(g.shape, np.float32)
    moved = adaptive.normalized_step(x, g, step_size=10.0)
    np.testing.assert_allclose(np.std(moved), 10, rtol=1e-4)
    assert np.sum(moved * g) < 0


def test_a_normalized_step_stays_among_the_colors(adaptive):
    g = np.random.default_rng(0).normal(size=(1, 30, 40, 3))
    moved = adaptive.normalized_step(np.zeros(g.shape), g, step_size=1000.0)
    pixels = moved + nst_utils.CONFIG.MEANS
    np.testing.assert_allclose([pixels.min(), pixels.max()], [0, 255], atol=1e-4)


def test_the_answer_is_the_cost_whose_gradient_is_followed(adaptive):
    module = solved("Lesson_8_Adaptive_Loss_Weights")
    module.WEIGHTS, module.STYLE_WEIGHT, module.runs = [1.5, 10.0, 0.3], 10.0, {}
    assert module.check_log_cost().startswith("log_cost: right")
    x, direction, step = np.array([1.0, -2.0, 3.0]), np.array([2.0, 1.0, -1.0]), 1e-6

    def losses(x):
        return [np.sum(x**2), 1e9 * np.sum(x**4)]

    by_hand = 3 * 2 * x / np.sum(x**2) + 5 * 4 * x**3 / np.sum(x**4)
    after, before = (
        module.log_cost([3, 5], losses(x + sign * step * direction)) for sign in (1, -1)
    )
    np.testing.assert_allclose((after - before) / (2 * step), by_hand @ direction, rtol=1e-5)


# --- Lesson_9_Eager_Style_Transfer ---------------------------------------------------------------


@pytest.fixture
def eager(functions):
    return functions("Lesson_9_Eager_Style_Transfer")


def test_keras_knows_the_layers_by_the_translated_names(eager):
    assert eager.keras_name("conv1_1") == "block1_conv1"
    assert eager.keras_name("conv5_4") == "block5_conv4"


def test_eager_costs_are_means(eager, activations):
    a_S, a_G = activations
    found = evaluate(eager.content_cost, a_S, a_G)
    np.testing.assert_allclose(found, np.mean((a_S - a_G) ** 2), rtol=1e-5)
    np.testing.assert_allclose(evaluate(eager.gram_matrix, a_S), gram(a_S) / 15, rtol=1e-5)
    S, G, S_2, G_2 = np.random.default_rng(1).normal(size=(4, 3, 3))
    S_2, G_2 = S_2[:2, :2], G_2[:2, :2]  # layers of different size count the same
    found = evaluate(lambda *grams: eager.style_cost(grams[:2], grams[2:]), S, S_2, G, G_2)
    np.testing.assert_allclose(found, (np.mean((S - G) ** 2) + np.mean((S_2 - G_2) ** 2)) / 2)


def test_variation_cost_is_the_mean_absolute_step(eager, activations):
    G = activations[0][..., :3]
    steps = np.abs(np.diff(G, axis=1)).sum() + np.abs(np.diff(G, axis=2)).sum()
    np.testing.assert_allclose(evaluate(eager.variation_cost, G), steps / G.size, rtol=1e-5)


def test_running_roots_are_those_of_formula_8(eager):
    sizes = np.array([4.0, 1.0, 3.0])
    found = eager.root_mean_squares(sizes, beta_2=0.9)
    by_hand = [4, np.sqrt((0.9 * 16 + 1) / 1.9), np.sqrt((0.81 * 16 + 0.9 + 9) / 2.71)]
    np.testing.assert_allclose(found, by_hand)


def test_the_answer_is_the_mean_gram_matrix(activations):
    module = solved("Lesson_9_Eager_Style_Transfer")
    found = evaluate(module.gram_einsum, activations[0])
    np.testing.assert_allclose(found, gram(activations[0]) / 15, rtol=1e-5)
