"""The lab's own training loop on the miniature network: reports, interrupts, going on, refusals."""

import os
import re
import signal
import subprocess
import sys

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import psutil
import pytest
import tensorflow.compat.v1 as tf
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

import nst_utils
from conftest import ROOT
from run import LAB

pytestmark = pytest.mark.numbers
HEIGHT, WIDTH = 24, 32


@pytest.fixture
def train(fake_weights, tmp_path):
    """Wire the lab's functions as the lab does, and call its model_nn.

    `interrupt_at` sends this process SIGINT while the session runs that step.
    """

    def train(iterations, folder="output", interrupt_at=None, resume=False):
        lab = nst_utils.functions_of(LAB)
        rng = np.random.default_rng(0)
        content, style, start = rng.uniform(-100, 100, (3, 1, HEIGHT, WIDTH, 3)).astype(np.float32)
        steps = iter(range(iterations))

        def count_step():
            if next(steps) == interrupt_at:
                os.kill(os.getpid(), signal.SIGINT)

        with tf.Graph().as_default(), tf.Session() as sess:
            lab.sess = sess
            lab.model = nst_utils.load_vgg_model(fake_weights, HEIGHT, WIDTH)
            sess.run(lab.model["input"].assign(content))
            a_C = sess.run(lab.model["conv4_2"])
            lab.J_content = lab.compute_content_cost(a_C, lab.model["conv4_2"])
            sess.run(lab.model["input"].assign(style))
            lab.J_style = lab.compute_style_cost(lab.model, lab.STYLE_LAYERS)
            lab.J = lab.total_cost(lab.J_content, lab.J_style)
            with tf.control_dependencies([tf.train.AdamOptimizer(2.0).minimize(lab.J)]):
                lab.train_step = tf.py_func(count_step, [], [])
            lab.OUTPUT_DIR, lab.RESUME = tmp_path / folder, resume
            return lab.model_nn(sess, start, iterations)

    return train


def test_every_20th_and_the_last_iteration_is_reported(train, tmp_path, capsys):
    train(43)
    names = {path.name for path in (tmp_path / "output").iterdir()}
    pictures = {"0.png", "20.png", "40.png", "42.png", "generated_image.jpg"}
    assert names == pictures | {"costs.csv", "state.npz"}
    rows = np.loadtxt(tmp_path / "output" / "costs.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(rows[:, 0], [0, 20, 40, 42])
    np.testing.assert_allclose(rows[:, 1], 10 * rows[:, 2] + 40 * rows[:, 3], rtol=1e-4)
    assert rows[-1, 1] < rows[0, 1] / 10  # the cost falls
    assert f"Iteration 20 :\ntotal cost = {rows[1, 1]:.6g}\n" in capsys.readouterr().out


def test_the_line_says_how_far_the_run_is(train, monkeypatch):
    shown = []
    monkeypatch.setattr(nst_utils, "_display", lambda handle, data, *_: shown.append(data))
    train(3)
    lines = [data["text/plain"] for data in shown if "image/jpeg" not in data]
    costs = r"total \S+ +content \S+ +style \S+"
    assert re.fullmatch(rf"iteration 1/3 +{costs}", lines[0])  # no time is known yet
    assert re.fullmatch(rf"iteration 2/3 +{costs} +\d\.\d\d s/iteration +0:0\d left", lines[1])
    assert re.fullmatch(rf"iteration 3/3 +{costs} +\d\.\d\d s/iteration +0:00 left", lines[-1])


@pytest.mark.parametrize("step", [0, 7, 20])
def test_an_interrupted_run_keeps_its_picture_and_goes_on_to_the_same_end(
    train, tmp_path, capsys, step
):
    uninterrupted = train(25, "whole")
    until_step = train(step + 1, "short")
    capsys.readouterr()

    stopped = train(25, interrupt_at=step)
    assert f"Stopped after iteration {step}, the picture is kept: " in capsys.readouterr().out
    np.testing.assert_allclose(stopped, until_step, rtol=1e-4, atol=1e-3)
    with Image.open(tmp_path / "output" / "generated_image.jpg") as picture:
        assert picture.size == (WIDTH, HEIGHT)

    finished = train(25, resume=True)
    np.testing.assert_allclose(finished, uninterrupted, rtol=1e-4, atol=1e-3)
    rows = [
        np.loadtxt(tmp_path / folder / "costs.csv", delimiter=",", skiprows=1)
        for folder in ("output", "whole")
    ]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-4)


def test_an_interrupt_in_the_last_step_changes_nothing(train, tmp_path, capsys):
    train(3, interrupt_at=2)
    assert "Stopped" not in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"is from a run that did all its 3 iterations: set "):
        train(3, resume=True)
    train(4, resume=True)
    assert (tmp_path / "output" / "3.png").exists()


def test_after_a_run_ctrl_c_means_again_what_it_meant(train):
    before = signal.getsignal(signal.SIGINT)
    train(2, interrupt_at=0)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_stops_at_once(tmp_path):
    with (
        tf.Graph().as_default(),
        tf.Session() as sess,
        nst_utils.Run(sess, 9, tmp_path) as run,
        pytest.raises(KeyboardInterrupt),
    ):
        sess.run(tf.no_op())  # an empty graph, as of this test run alone, could not be saved
        for _ in run:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    assert not list(tmp_path.iterdir())


def test_going_on_without_a_stopped_run_gets_one_sentence(train):
    with pytest.raises(FileNotFoundError, match=r"state.npz is not there, so no run can be contin"):
        train(2, resume=True)


def test_going_on_with_another_run_s_state_gets_one_sentence(train, tmp_path):
    (tmp_path / "output").mkdir()
    np.savez(tmp_path / "output" / "state.npz", iteration=3, costs=[], input=np.zeros((1, 2, 2, 3)))
    with pytest.raises(ValueError, match=r"state.npz is from a run of another size or optimiser: "):
        train(2, resume=True)


def test_going_on_with_the_state_of_two_optimisers_gets_one_sentence(train, tmp_path):
    train(1)
    path = tmp_path / "output" / "state.npz"
    with np.load(path) as file:
        state = dict(file)
    np.savez(path, **state, **{"input/Adam_2": state["input/Adam"]})
    with pytest.raises(ValueError, match=r"state.npz is from a run of another size or optimiser: "):
        train(2, resume=True)


@pytest.mark.parametrize(("cost", "name"), [(0, "total"), (1, "content"), (2, "style")])
def test_a_cost_that_is_not_finite_ends_the_run_by_name(tmp_path, cost, name):
    image = np.zeros((1, 6, 8, 3), np.float32)
    broken = np.where(np.arange(3) == cost, np.nan, 1.0)
    message = (
        rf"^the {name} cost is nan after iteration 3, the last good picture is .*0\.png: start"
    )
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.Variable(0.0, name="input").load(0.0, sess)
        with (
            nst_utils.Run(sess, 9, tmp_path) as run,
            pytest.raises(FloatingPointError, match=message),
        ):
            for i in run:
                if i == 3:  # not a 20th: an image that is not finite is due at once
                    image = image * np.nan
                if run.is_due(i, image):
                    run.report(image, *(broken if i == 3 else np.ones(3)))
    with Image.open(tmp_path / "0.png") as picture:
        assert picture.size == (8, 6)
    assert not (tmp_path / "3.png").exists()


def test_a_folder_in_use_by_another_process_is_refused(train, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / ".run.pid").write_text(str(os.getppid()))
    with pytest.raises(
        RuntimeError, match=r"output is in use by another run \(process \d+\): wait"
    ):
        train(2)
    assert [path.name for path in (tmp_path / "output").iterdir()] == [".run.pid"]


def test_a_folder_of_a_run_that_died_is_free(train, tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / ".run.pid").write_text(str(dead.pid))
    train(1)
    assert not (tmp_path / "output" / ".run.pid").exists()


def test_an_output_folder_that_cannot_be_made_gets_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(OSError, match=r"^the folder .*output cannot be made \(Not a direct"),
        nst_utils.Run(None, 2, tmp_path / "file" / "output"),
    ):
        pass


def test_ctrl_c_on_the_terminal_ends_make_run_with_a_picture(fake_weights, tmp_path):
    command = [sys.executable, "-u", ROOT / "notebooks" / "run.py", "--weights", fake_weights]
    command += ["--size", "48", "--iterations", "100000", "--output", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("  iteration ") and len(lines) < 100:
                process.send_signal(signal.SIGINT)
                lines += process.stdout
    assert process.returncode == 0, lines
    said = "".join(lines)
    assert re.search(r"\n  VGG-\d+, unknown weights, computed in float32: .*\n", said)
    assert re.search(
        r"\n  \d.\d\d s a step and .* GB of memory: 100000 iterations take about", said
    )
    assert said.index("GB of memory") < said.index("  iteration ")  # before training
    assert "Stopped after " in said
    hint = (
        r"\n  Stopped after iteration \d+, .*: to go on from here set RESUME = True \(make run RES"
    )
    assert re.search(hint, said)
    state = np.load(tmp_path / "state.npz")
    assert 0 <= state["iteration"] < 99999
    with Image.open(tmp_path / "generated_image.jpg") as picture:
        assert picture.size == (48, 36)


# --- out of order ------------------------------------------------------------------------------


def test_an_open_session_is_closed_before_a_new_one_is_made():
    for _ in range(2):  # the lab's session cell, run twice
        nst_utils.close_session()
        tf.reset_default_graph()
        sess = tf.InteractiveSession()
    assert tf.get_default_session() is sess
    nst_utils.close_session()
    assert tf.get_default_session() is None


@pytest.fixture
def lab_cells(shell, fake_weights, tmp_path, monkeypatch, capsys):
    """Run cells of the lab, by id, in one shell; stop at an error and return the last line said."""
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    monkeypatch.chdir(ROOT / "notebooks")
    sources = {c.id: c.source for c in nbformat.read(LAB, 4).cells if c.cell_type == "code"}
    values = {"OUTPUT_DIR": str(tmp_path), "VGG_MODEL": str(fake_weights), "ITERATIONS": 2}

    def run(ids):
        capsys.readouterr()
        for cell in ids:
            if not shell.run_cell(sources[cell], store_history=True).success:
                return capsys.readouterr().out.splitlines()[-1]
            if cell == "parameters":
                shell.push(values | {"SIZE": 48})
        return None

    run.ids = list(sources)[: list(sources).index("run") + 1]
    yield run
    nst_utils.close_session()


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
        model = nst_utils.load_vgg_model(fake_weights, HEIGHT, WIDTH)
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
            nst_utils.Run(sess, 1, tmp_path) as run,
        ):
            for _ in run:
                sess.run(train_step)
        with pytest.raises(ValueError, match=r"^train_step is None or of an earlier graph: run"):
            nst_utils.estimate(sess, train_step, 10)


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def said_of(shell, notebook, source, capsys):
    """Run a cell that misses a name; return the line behind the traceback."""
    nst_utils.explain_out_of_order(notebook)
    shell.run_cell(source, store_history=True)
    return capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("cell", "there", "missing", "heading", "start"),
    [
        ("images", "", "nst_utils", "Art Generation with Neural Style Transfer", "import os"),
        ("check-gram", "", "tf", "Art Generation with Neural Style Transfer", "import matplotlib"),
        ("check-gram", "tf", "gram_matrix", "3.2.1 - Gram matrix", "def gram_matrix(A):"),
        ("content-run", "", "sess", "4 - Solving the optimis", "nst_utils.close_session()"),
        ("total-run", "total_cost", "J_content", "4 - Solving the optimis", "sess.run(model["),
        ("optimizer", "tf", "J", "4 - Solving the optimis", "J = total_cost(J_content, J_style"),
        ("result", "nst_utils", "content_picture", "1 - Problem", "HEIGHT, WIDTH ="),
    ],
)
def test_a_missing_name_gets_the_cell_to_run_first(
    shell, capsys, cell, there, missing, heading, start
):
    sources = {cell.id: cell.source for cell in nbformat.read(LAB, as_version=4).cells}
    known = {"tf": tf, "nst_utils": nst_utils, "total_cost": lambda *costs, **weights: 0}
    shell.push({name: known[name] for name in there.split()})
    said = said_of(shell, LAB, sources[cell], capsys)
    before = f"name '{missing}' is not defined: run first the cell of “{heading}"
    assert said.startswith(before), said
    assert f"” that begins with “{start}" in said


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
    assert not nst_utils._makes("b = {i: 1 for i in a} and [i for i in a]", "i")


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
    assert said.endswith("begins with “nst_utils.close_session()”; then those below it")


def test_other_errors_get_no_advice(shell, capsys):
    assert said_of(shell, LAB, "raise ValueError('odd')", capsys).endswith(": odd")


def test_loading_the_network_again_keeps_it_and_the_costs_written_for_it(fake_weights, capsys):
    with tf.Graph().as_default(), tf.Session():
        model = nst_utils.load_vgg_model(fake_weights, HEIGHT, WIDTH)
        J = tf.reduce_sum(model["conv5_1"])
        model = nst_utils.load_vgg_model(fake_weights, HEIGHT, WIDTH)
        assert tf.gradients(J, model["input"])[0] is not None
        first, again = capsys.readouterr().out.splitlines()
        assert first == again
        assert nst_utils.load_vgg_model(fake_weights, HEIGHT, WIDTH, pooling="max") is not model
    with tf.Graph().as_default(), tf.Session():
        assert nst_utils.load_vgg_model(fake_weights, HEIGHT, WIDTH) is not model


def test_two_networks_in_one_graph_are_not_trained(fake_weights, tmp_path):
    message = r"^the graph holds 2 networks, a run takes 1: run the cell that opens the session aga"
    with tf.Graph().as_default(), tf.Session() as sess:
        for pooling in ("average", "max"):  # as after a change of settings
            model = nst_utils.load_vgg_model(fake_weights, HEIGHT, WIDTH, pooling=pooling)
        train_step = tf.train.AdamOptimizer(2.0).minimize(tf.reduce_sum(model["conv5_1"]))
        with pytest.raises(RuntimeError, match=message):
            nst_utils.estimate(sess, train_step, 10)
        with pytest.raises(RuntimeError, match=message), nst_utils.Run(sess, 10, tmp_path):
            pass


# --- what a run takes --------------------------------------------------------------------------


def test_an_estimate_says_time_and_memory_and_changes_nothing(capsys):
    with tf.Graph().as_default(), tf.Session() as sess:
        x = tf.Variable(5.0)
        train_step = tf.train.AdamOptimizer(2.0).minimize(x * x)
        nst_utils.estimate(sess, train_step, 200)
        assert sess.run(x) == 5
    said = capsys.readouterr().out
    assert re.match(r"\d+\.\d\d s a step and \d+\.\d GB of memory: 200 iterations take about", said)


def test_a_picture_too_large_for_the_memory_is_refused_with_the_size_that_fits(fake_weights):
    with pytest.raises(MemoryError, match=r"^training on 400000×300000 pixels takes ") as caught:
        nst_utils.load_vgg_model(fake_weights, 300_000, 400_000)
    width, height = map(int, re.search(r"(\d+)×(\d+) is the largest", str(caught.value)).groups())
    assert width / height == pytest.approx(4 / 3, rel=0.01)
    assert (
        0.5 < nst_utils.BYTES_PER_PIXEL * width * height / psutil.virtual_memory().available < 1.5
    )
