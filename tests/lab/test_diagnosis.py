"""Failed cells: the advice names the cell to go back to."""

import re
import sys
from itertools import product

import nbformat
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import PyFileConfigLoader

from nst.core.config import LAB
from nst.lab import diagnosis, fresh_kernel, provenance, runner
from nst.lab.training import Run, close_session, estimate
from nst.vgg.network import load_vgg_model
from tests.assignment.filling import code_of, start_of
from tests.conftest import ROOT

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
    """Run cells of the lab, by id; stop at an error and return its last line."""
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


def test_a_run_that_cannot_be_continued_is_refused_in_the_package_s_words(lab_cells, shell):
    *before, run = lab_cells.ids
    assert lab_cells(before) is None
    shell.user_ns["RESUME"] = True
    assert lab_cells([run]).endswith("so there is no run to continue: set RESUME = False")


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


def test_an_optimizer_of_an_earlier_graph_gets_one_sentence(tmp_path):
    with tf.Graph().as_default():
        train_step = tf.no_op()
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.Variable(0.0)
        with (
            pytest.raises(RuntimeError, match=r"^the costs or the optimizer belong to an earlier"),
            Run(sess, train_step, [], 1, tmp_path),
        ):
            sess.run(train_step)
        with pytest.raises(RuntimeError, match=r"^train_step is None or of an earlier graph: run"):
            estimate(sess, train_step, 10)


def said_of(shell, notebook, source, capsys, cell_id=None):
    """Run a cell that fails; return the last line of its output."""
    diagnosis.explain_failures(notebook)
    shell.run_cell(source, store_history=True, cell_id=cell_id)
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


def test_of_two_cells_that_make_a_name_the_nearest_above_is_named(shell, tmp_path, capsys):
    cells = ["%time", "# 1\na = 1", "print(a)", "a = 2", "print( a )"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "two.ipynb")
    assert said_of(shell, tmp_path / "two.ipynb", cells[2], capsys).endswith("with “a = 1”")
    assert said_of(shell, tmp_path / "two.ipynb", cells[4], capsys).endswith("with “a = 2”")
    assert said_of(shell, tmp_path / "two.ipynb", "# new\na", capsys).endswith("with “a = 2”")
    # JupyterLab names the cell, also if its text was edited and not saved
    said = said_of(shell, tmp_path / "two.ipynb", "a + 1", capsys, notebook.cells[3].id)
    assert said.endswith("with “a = 1”")


def test_a_variable_of_a_comprehension_is_no_global():
    assert provenance.made_by("b = {i: 1 for i in a} and [i for i in a]") == {"b"}


def test_a_missing_name_that_no_cell_makes_is_taken_for_a_slip(shell, capsys):
    said = said_of(shell, LAB, "print(modle)", capsys, "run")
    assert said == (
        "name 'modle' is not defined: no cell above this one makes modle, check its spelling"
    )


def test_a_missing_name_in_a_notebook_that_was_renamed(shell, tmp_path, capsys):
    said = said_of(shell, tmp_path / "gone.ipynb", "print(model)", capsys)
    assert said.endswith("not defined: run the cells above this one first, in their order")
    for cell, source in {"a": "# it\nx = [1]", "b": "y = x[0]", "c": "del x, y"}.items():
        shell.run_cell(source, store_history=True, cell_id=cell)
    said = said_of(shell, tmp_path / "gone.ipynb", "y + 1", capsys, "d")
    assert said == (
        "name 'y' is not defined: run first the cell that begins with “x = [1]”, and those below it"
    )


def test_a_text_that_was_run_counts_and_not_an_older_one_in_the_file(shell, tmp_path, capsys):
    cells = [nbformat.v4.new_code_cell(source, id=source[0]) for source in ("a = 1", "b = a")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    diagnosis.explain_failures(tmp_path / "n.ipynb")
    shell.run_cell("A = 2  # new", store_history=True, cell_id="a")
    shell.run_cell("del A", store_history=True, cell_id="c")
    said = said_of(shell, tmp_path / "n.ipynb", "A", capsys, "b")
    assert said == "name 'A' is not defined: run first the cell that begins with “A = 2”"


def test_jupyter_s_name_of_the_notebook_comes_before_the_one_in_the_set_up_cell(
    shell, tmp_path, capsys, monkeypatch
):
    """The set-up cell of a duplicate still names the original notebook."""
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("b = 1")]), tmp_path / "n.ipynb"
    )
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "n.ipynb"))
    assert said_of(shell, LAB, "b", capsys).endswith("run first the cell that begins with “b = 1”")


def test_a_kernel_that_has_just_started_names_the_cells_to_run_first(shell, capsys, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(LAB))
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(ROOT))])
    for name in ("nst_utils", "tests.conftest"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    shell.extension_manager.load_extension("nst.lab.fresh_kernel")
    sources = code_of(LAB)
    for cell in ("imports", "inputs", "check-content", "run"):
        assert not shell.run_cell(sources[cell], cell_id=cell).success
        said = capsys.readouterr().out.splitlines()
        assert said[-2].startswith("This kernel has not run the cells above: run them first")
    monkeypatch.chdir(LAB.parent)
    for cell in ("setup", "imports"):
        assert shell.run_cell(sources[cell], cell_id=cell).success
    shell.run_cell("modle")
    assert "This kernel" not in capsys.readouterr().out


def test_a_fresh_kernel_of_other_notebooks_is_left_alone(shell, tmp_path, capsys, monkeypatch):
    for name in ("other.ipynb", "gone.ipynb"):
        monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / name))
        (tmp_path / "other.ipynb").write_text('{"cells": []}')
        shell.extension_manager.reload_extension("nst.lab.fresh_kernel")
        shell.run_cell("modle")
        assert capsys.readouterr().out.splitlines()[-1].endswith("name 'modle' is not defined")


def test_ipython_s_configuration_loads_the_extension_in_the_project_alone(tmp_path, monkeypatch):
    path = tmp_path / "etc" / "ipython" / "ipython_kernel_config.py"
    project = tmp_path / "Ann's project"
    (project / "notebooks").mkdir(parents=True)
    for folder, loaded in ((project / "notebooks", ["nst.lab.fresh_kernel"]), (tmp_path, [])):
        fresh_kernel.write_config(tmp_path, project)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", sys.path[:])
        config = PyFileConfigLoader(path.name, str(path.parent)).load_config()
        extensions = config.InteractiveShellApp.extensions.get_value([])
        assert extensions == loaded
        assert str(project) not in sys.path
    path.write_text("somebody's own")
    fresh_kernel.write_config(tmp_path)
    assert path.read_text() == "somebody's own"


def test_the_stop_button_leaves_one_line(shell, capsys):
    assert said_of(shell, LAB, "raise KeyboardInterrupt", capsys).startswith("Stopped before the e")
    shell.run_cell("def f(): raise KeyboardInterrupt\nf()")
    assert capsys.readouterr().out == "Stopped before the end of this cell\n"


@pytest.mark.parametrize(
    ("source", "reason", "advice"),
    [
        (
            "tf.Variable(1.0, name='input').eval()",
            "Attempting to use uninitialized value input",
            "The input has no image yet: run sess.run(",
        ),
        (
            "tf.train.AdamOptimizer(2.0).minimize(v).run()",
            "Attempting to use uninitialized value ",
            "Run the initializer after the optimizer is made; in the loop, run train_step",
        ),
        ("p.eval()", "You must feed a value for placeholder tensor 'p' with dtype float", None),
        ("tf.reshape(p, [2, 2]).eval({p: [1, 2, 3]})", "Input to reshape is a tensor with 3", None),
        ("tf.numpy_function(lambda: 1 / 0, [], tf.float32).eval()", "ZeroDivisionError: div", None),
    ],
)
def test_the_reason_of_an_error_in_a_graph_is_shown(shell, capsys, source, reason, advice):
    with tf.Graph().as_default(), tf.Session() as sess:
        variable = tf.Variable(1.0, name="v")
        sess.run(variable.initializer)
        shell.push({"tf": tf, "v": variable, "p": tf.placeholder(tf.float32, name="p")})
        diagnosis.explain_failures(LAB)
        assert not shell.run_cell(source).success
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)  # without colors
    lines = printed.splitlines()
    assert f"Error: {reason}" in printed
    assert "Graph execution error" not in printed
    assert advice is None or lines[-1].startswith(advice)


def test_a_misspelled_layer_is_named(shell, capsys):
    shell.push({"model": {"input": tf.Variable, "conv4_2": 0}})
    shell.user_ns["model"]["input"] = type("Variable", (), {"assign": None})
    said = said_of(shell, LAB, "model['inputs']", capsys)
    assert said == "model has no entry 'inputs', did you mean 'input'?"


def test_an_input_that_was_replaced_is_named(shell, capsys):
    shell.push({"model": {"input": np.zeros((1, 2, 2, 3))}})
    said = said_of(shell, LAB, "model['input'].assign(0)", capsys)
    assert said.startswith('model["input"] is no longer the network\'s variable: write sess.run(')
    assert "run the cell of “Forward" in said or "that begins with “model = " in said


def test_a_model_that_is_loaded_again_has_its_input_again(fake_weights):
    with tf.Graph().as_default(), tf.Session():
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        variable, model["input"] = model["input"], np.zeros(3)
        assert load_vgg_model(fake_weights, HEIGHT, WIDTH)["input"] is variable


def test_what_the_package_says_of_a_setting_is_said_last(fake_weights, tmp_path):
    """In a kernel that was started in notebooks/, as JupyterLab does, which finds nst in ../"""
    notebook = nbformat.read(LAB, as_version=4)
    values = {"VGG_MODEL": str(fake_weights), "ITERATIONS": 0, "OUTPUT_DIR": str(tmp_path)}
    runner.set_parameters(notebook, values | {"SIZE": 48})
    last = [cell.id for cell in notebook.cells].index("run")
    misspelled = nbformat.v4.new_code_cell('load_image("images/pyramd.jpg")')
    del notebook.cells[last + 1 :]
    notebook.cells.insert(last, misspelled)
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(notebook, resources={"metadata": {"path": str(LAB.parent)}}).execute()
    assert "images/pyramd.jpg not found" in str(caught.value).strip().splitlines()[-1]


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
