"""How a notebook begins, and what it says where a cell fails: which one to go back to."""

import ast
import re
import sys

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from IPython.core.interactiveshell import InteractiveShell

from conftest import ROOT
from filling import answers_of, code_of, filled
from nst import advice, origins
from nst.blanks import has_blank
from nst.config import LAB
from nst.exercises import EXERCISES
from nst.network import load_vgg_model
from nst.training import Run, close_session, estimate

pytestmark = pytest.mark.numbers
HEIGHT, WIDTH = 24, 32


def start_of(source):
    """Return a cell's first line that is no comment, without a comment behind it."""
    lines = [line.partition("  #")[0] for line in source.splitlines() if line[:1] != "#"]
    return next(filter(None, lines))


def test_an_open_session_is_closed_before_a_new_one_is_made():
    for _ in range(2):  # the lab's session cell, run twice
        close_session()
        tf.reset_default_graph()
        sess = tf.InteractiveSession()
    assert tf.get_default_session() is sess
    close_session()
    assert tf.get_default_session() is None


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    close_session()
    InteractiveShell.clear_instance()


@pytest.fixture
def run_cell(shell, fake_weights, tmp_path, monkeypatch, capsys):
    """Run a cell as JupyterLab does; return what it said if it failed, else None."""
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr(sys, "path", sys.path[:])
    values = {"OUTPUT_DIR": str(tmp_path), "VGG_MODEL": str(fake_weights), "ITERATIONS": 2}

    def run(cell, source):
        request = {"metadata": {"cellId": cell}}
        monkeypatch.setattr(shell, "get_parent", lambda: request, raising=False)
        capsys.readouterr()
        if not shell.run_cell(source, store_history=True).success:
            return capsys.readouterr().out.rstrip()
        if cell == "parameters":
            shell.push(values | {"SIZE": 48})
        return None

    return run


@pytest.fixture
def lab_cells(run_cell):
    """Run cells of the lab, by id; stop at an error and return the last line said."""
    sources = code_of(LAB)

    def run(ids):
        said = next(filter(None, (run_cell(cell, sources[cell]) for cell in ids)), None)
        return said and said.splitlines()[-1]

    run.ids = list(sources)[: list(sources).index("run") + 1]
    return run


def test_a_cell_that_is_run_again_changes_no_number(lab_cells, tmp_path):
    assert lab_cells(lab_cells.ids) is None
    before = np.loadtxt(tmp_path / "costs.csv", delimiter=",", skiprows=1)
    for cell in lab_cells.ids[lab_cells.ids.index("images") :]:
        assert lab_cells([cell, "run"]) is None, cell
        after = np.loadtxt(tmp_path / "costs.csv", delimiter=",", skiprows=1)
        np.testing.assert_allclose(after, before, rtol=1e-4, err_msg=cell)


@pytest.mark.parametrize("left_out", ["vgg", "content-run", "style-run", "total-run", "optimizer"])
def test_a_second_run_that_leaves_out_a_cell_names_one(lab_cells, left_out):
    assert lab_cells(lab_cells.ids) is None
    second = lab_cells.ids[lab_cells.ids.index("session") :]
    second.remove(left_out)
    assert re.search(r": run (first )?the cells? (of|that|from) ", lab_cells(second))


def test_a_model_of_an_earlier_graph_gets_one_sentence(fake_weights):
    with tf.Graph().as_default(), tf.Session():
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
    with (
        tf.Graph().as_default(),
        tf.Session(),
        pytest.raises(RuntimeError, match=r"^this model belongs to an earlier graph: run the cell"),
    ):
        model["input"].assign(np.zeros((1, HEIGHT, WIDTH, 3)))


def test_an_optimiser_of_an_earlier_graph_gets_one_sentence(tmp_path):
    with tf.Graph().as_default():
        train_step = tf.no_op()
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.Variable(0.0)
        with (
            pytest.raises(RuntimeError, match=r"^the costs or the optimiser belong to an earlier"),
            Run(sess, train_step, [], 1, tmp_path),
        ):
            sess.run(train_step)
        with pytest.raises(ValueError, match=r"^train_step is None or of an earlier graph: run"):
            estimate(sess, train_step, 10)


def said_of(shell, notebook, source, capsys):
    """Run a cell that misses a name; return the line behind the traceback."""
    advice.explain_failures(notebook)
    shell.run_cell(source, store_history=True)
    return capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    "left_out",
    [
        *("imports", "parameters", "compute_content_cost", "gram_matrix", "style-layers"),
        *("compute_style_cost", "total_cost", "session", "noise", "optimizer", "model_nn"),
    ],
)
def test_a_cell_left_out_is_the_one_to_run_first(lab_cells, left_out):
    said = lab_cells([cell for cell in lab_cells.ids if cell != left_out])
    assert re.match(r"name '\w+' is not defined: run first the cell of “", said), said
    assert f"” that begins with “{start_of(code_of(LAB)[left_out])}”" in said


def test_of_two_cells_that_make_a_name_the_nearest_above_is_named(
    shell, tmp_path, capsys, monkeypatch
):
    cells = ["%time", "# 1\na = 1", "print(a)", "a = 2", "print( a )"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "two.ipynb")
    assert said_of(shell, tmp_path / "two.ipynb", cells[2], capsys).endswith("with “a = 1”")
    assert said_of(shell, tmp_path / "two.ipynb", cells[4], capsys).endswith("with “a = 2”")
    assert said_of(shell, tmp_path / "two.ipynb", "# new\na", capsys).endswith("with “a = 2”")
    # JupyterLab says which cell it is, even where that is not the one on disk any more
    request = {"metadata": {"cellId": notebook.cells[3].id}}
    monkeypatch.setattr(shell, "get_parent", lambda: request, raising=False)
    assert said_of(shell, tmp_path / "two.ipynb", "a + 1", capsys).endswith("with “a = 1”")


def test_a_variable_of_a_comprehension_is_no_global():
    assert origins.made_by("b = {i: 1 for i in a} and [i for i in a]") == {"b"}


def test_a_missing_name_that_no_cell_makes_is_taken_for_a_slip(shell, capsys, monkeypatch):
    monkeypatch.setattr(shell, "get_parent", lambda: {"metadata": {"cellId": "run"}}, raising=False)
    said = said_of(shell, LAB, "print(modle)", capsys)
    assert said == (
        "name 'modle' is not defined: no cell above this one makes modle, check how it is spelt"
    )


def test_a_missing_name_in_a_notebook_that_was_renamed(shell, tmp_path, capsys):
    said = said_of(shell, tmp_path / "gone.ipynb", "print(model)", capsys)
    assert said.endswith("not defined: run the cells above this one first, in their order")


@pytest.mark.parametrize(
    "source",
    [
        "sess = tf.Session(); sess.close(); sess.run(tf.no_op())",
        "with tf.Graph().as_default(): a = tf.zeros(())\n"
        "with tf.Graph().as_default(): a + tf.ones(())",
        "with tf.Graph().as_default(): tf.train.AdamOptimizer(2.0).minimize(tf.zeros(()))",
        "with tf.Graph().as_default(): a = tf.no_op()\n"
        "with tf.Graph().as_default(): b = tf.no_op(); tf.Session().run(a)",
        "with tf.Graph().as_default(): a = tf.zeros(())\n"
        "with tf.Graph().as_default(): a.eval(session=tf.Session())",
        "with tf.Graph().as_default() as graph: graph.finalize(); tf.zeros(())",
    ],
)
def test_mixed_up_graphs_get_the_cell_to_run_first(shell, capsys, source):
    shell.push({"tf": tf})
    said = said_of(shell, LAB, source, capsys)
    assert said.startswith(
        "This belongs to an earlier graph or session: run first the cell of “4 - Solving the"
    )
    assert said.endswith("begins with “close_session()”; then those below it")


def test_other_errors_get_no_advice(shell, capsys):
    assert said_of(shell, LAB, "raise ValueError('odd')", capsys).endswith(": odd")


# --- the exercise edition -----------------------------------------------------------------------


BLANKS = {
    f"{cell}-{number}": (cell, number, ast.unparse(blank))
    for cell, source in code_of(EXERCISES).items()
    if has_blank(source)
    for number, blank in enumerate(answers_of(source))
}


@pytest.fixture
def edition(run_cell):
    """Run the exercise edition with one answer replaced; yield what later cells said that failed.

    Each is the id of the cell and all that it said.
    """

    def run(cell, number, text):
        cells = list(code_of(EXERCISES))
        for other in cells:
            said = run_cell(other, filled(other, {number: text} if other == cell else None))
            if said and cells.index(other) > cells.index(cell):
                yield other, said

    return run


def check_that_all_name(failures, cell):
    """Check what cells said that failed: each ends in a sentence of ours that names `cell`."""
    failures = list(failures)
    assert failures, "no later cell failed"
    start = start_of(code_of(EXERCISES)[cell])
    for other, said in failures:
        if other.startswith("test-"):  # its sentence stands alone
            assert re.match(rf"{other[5:]}: [^\n]+\Z", said), said
            assert f"{cell}: " in said
        else:
            assert f"” that begins with “{start}”" in said.splitlines()[-1], said
            assert "site-packages" not in said
    return [other for other, _ in failures]


def test_the_edition_has_the_blanks_of_the_course():
    assert len(BLANKS) >= 12


@pytest.mark.parametrize(("cell", "number", "blank"), BLANKS.values(), ids=BLANKS)
def test_an_empty_blank_is_named_by_every_later_cell_that_fails(edition, cell, number, blank):
    failed = check_that_all_name(edition(cell, number, blank), cell)
    if f"def {cell}(" in code_of(EXERCISES)[cell]:
        assert f"test-{cell}" in failed


@pytest.mark.parametrize(
    ("cell", "number", "text"),
    [
        ("compute_content_cost", -1, "J_content = tf.reduce_sun(a_C - a_G)"),
        ("gram_matrix", -1, "GA = tf.matmul(A, A)"),
        ("compute_layer_style_cost", -1, "J_style_layer = tf.reduce_sum(GS @ a_S @ a_S)"),
        ("total_cost", -1, "J = alpha * J_content + beta * ''"),
        ("total-run", -1, "J = 5"),
        ("model_nn", -1, "generated_image = sess.run(J)"),
    ],
)
def test_a_wrong_answer_is_named_by_every_later_cell_that_fails(edition, cell, number, text):
    number %= len(answers_of(code_of(EXERCISES)[cell]))
    check_that_all_name(edition(cell, number, text), cell)


def test_an_answer_that_is_no_python_is_quoted(run_cell):
    run_cell("setup", filled("setup"))
    said = run_cell("gram_matrix", filled("gram_matrix", {0: "GA = tf.matmul(A, "}))
    line = filled("gram_matrix").splitlines().index("    ### END CODE HERE ###")
    assert said.splitlines()[-1] == (
        f"Line {line} of this cell, `GA = tf.matmul(A,`, is not Python yet: correct it and run "
        "this cell again"
    )


def test_the_libraries_lines_are_a_command_away(edition, shell, run_cell):
    failures = edition("gram_matrix", 0, "GA = tf.matmul(A, A)")
    said = next(said for other, said in failures if other == "check-gram")
    assert "site-packages" not in said
    assert "(the libraries' lines are left out: %tb shows them)" in said
    shell.run_line_magic("tb", "")  # only prints


def test_a_value_made_before_its_answer_was_corrected_is_to_be_made_again(run_cell):
    cells = list(code_of(EXERCISES))
    last = len(answers_of(code_of(EXERCISES)["compute_content_cost"])) - 1
    empty = filled("compute_content_cost", {last: "J_content = None"})
    for cell in cells[: cells.index("total-run")]:
        run_cell(cell, empty if cell == "compute_content_cost" else filled(cell))
    run_cell("compute_content_cost", filled("compute_content_cost"))
    said = run_cell("total-run", filled("total-run"))
    start = start_of(code_of(LAB)["content-run"])
    assert re.match(r"J_content is None: run the cell of “", said.splitlines()[-1])
    assert said.endswith(f"” that begins with “{start}” once more, then this one")


def test_a_blank_that_a_right_answer_does_without_is_not_to_blame(run_cell):
    cells = list(code_of(EXERCISES))
    answer = "J_content = tf.reduce_sum((a_C - a_G) ** 2) / (4 * n_H * n_W * n_C); spare = None"
    last = len(answers_of(code_of(EXERCISES)["compute_content_cost"])) - 1
    for cell in cells[: cells.index("total-run")]:
        answers = {last: answer} if cell == "compute_content_cost" else None
        assert run_cell(cell, filled(cell, answers)) is None
    said = run_cell("total-run", filled("total-run", {0: "J = total_cost(J_content, 'style')"}))
    assert said.splitlines()[-1] == "Line 2 is your answer: correct it, and run this cell again"


def test_a_lost_file_gets_the_cell_that_makes_it(run_cell):
    for cell in code_of(EXERCISES):
        if cell not in ("run", "result"):
            said = run_cell(cell, filled(cell))
            if cell == "evolution":
                break
            assert said is None
    start = start_of(code_of(LAB)["run"])
    assert re.search(rf": run first the cell of “.*” that begins with “{re.escape(start)}”\Z", said)
