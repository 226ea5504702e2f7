"""How a notebook begins, and what it says where a cell fails: which one to go back to."""

import re
from itertools import product

import nbformat
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from nst.core.config import LAB
from nst.lab import diagnosis, provenance
from nst.lab.training import Run, close_session, estimate
from nst.vgg.network import load_vgg_model
from tests.assignment.filling import code_of, start_of

pytestmark = pytest.mark.numbers
HEIGHT, WIDTH = 24, 32


def test_an_open_session_is_closed_before_a_new_one_is_made():
    for _ in range(2):  # the lab's session cell, run twice
        close_session()
        tf.reset_default_graph()
        sess = tf.InteractiveSession()
    assert tf.get_default_session() is sess
    close_session()
    assert tf.get_default_session() is None


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
    for cell in lab_cells.ids[lab_cells.ids.index("content-image") :]:
        assert lab_cells([cell, "run"]) is None, cell
        after = np.loadtxt(tmp_path / "costs.csv", delimiter=",", skiprows=1)
        np.testing.assert_allclose(after, before, rtol=1e-4, err_msg=cell)


@pytest.mark.parametrize("left_out", ["vgg", "content-run", "style-run", "total-run", "optimizer"])
def test_a_second_run_that_leaves_out_a_cell_names_one(lab_cells, left_out):
    assert lab_cells(lab_cells.ids) is None
    second = lab_cells.ids[lab_cells.ids.index("session") :]
    second.remove(left_out)
    assert re.search(r": run (first )?the cells? (of|that|from) ", lab_cells(second))


def test_a_check_run_again_in_section_4_breaks_nothing_silently(lab_cells, tmp_path):
    """It resets the default graph, and gives the costs' names to its own."""
    section_4 = lab_cells.ids[lab_cells.ids.index("session") :]
    assert lab_cells(lab_cells.ids) is None
    before = np.loadtxt(tmp_path / "costs.csv", delimiter=",", skiprows=1)
    checks = ("check-content", "check-gram", "check-layer", "check-total")
    for check, cell in product(checks, ("session", "vgg", "content-run", "optimizer", "estimate")):
        at = section_4.index(cell) + 1
        said = lab_cells([*section_4[:at], check, *section_4[at:]])
        if said is None:
            after = np.loadtxt(tmp_path / "costs.csv", delimiter=",", skiprows=1)
            np.testing.assert_allclose(after, before, rtol=1e-4, err_msg=f"{check} after {cell}")
        else:
            named = re.search(r": run (first )?the cells? (of|that|from) ", said)
            assert named, f"{check} after {cell}: {said}"


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
    diagnosis.explain_failures(notebook)
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
    assert provenance.made_by("b = {i: 1 for i in a} and [i for i in a]") == {"b"}


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
        "This belongs to an earlier graph or session: run first the cell of “The interactive"
    )
    assert said.endswith("begins with “close_session()”; then those below it")


def test_other_errors_get_no_advice(shell, capsys):
    assert said_of(shell, LAB, "raise ValueError('odd')", capsys).endswith(": odd")
