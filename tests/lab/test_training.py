"""The lab's training loop on the miniature network: reports, interrupts, resuming, refusals."""

import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from nst.core.config import LAB
from nst.core.files import claimed, stored_state
from nst.core.memory import free_memory
from nst.lab import training
from nst.lab.notebook import functions_of
from nst.lab.training import Run, estimate
from nst.vgg.network import BYTES_PER_PIXEL, load_vgg_model
from tests.conftest import ROOT

pytestmark = pytest.mark.numbers
HEIGHT, WIDTH = 24, 32


@pytest.fixture(scope="module")
def train_in(fake_weights):
    """Wire the lab's functions as the lab does, and call its model_nn with an output folder.

    `interrupt_at` sends this process SIGINT while the session runs that step; `other` is what
    differs from the usual run.
    """

    def train(folder, iterations, interrupt_at=None, resume=False, other=None):
        lab = functions_of(LAB)
        rng = np.random.default_rng(0)
        content, style, start = rng.uniform(-100, 100, (3, 1, HEIGHT, WIDTH, 3)).astype(np.float32)
        if other == "content":
            content = content[:, ::-1]
        if other == "style":
            style = 100 - abs(style)
        if other == "layers":
            lab.STYLE_LAYERS = lab.STYLE_LAYERS[1:]
        steps = iter(range(iterations))

        def count_step():
            if next(steps) == interrupt_at:
                os.kill(os.getpid(), signal.SIGINT)

        with tf.Graph().as_default(), tf.Session() as sess:
            lab.sess = sess
            lab.model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
            sess.run(lab.model["input"].assign(content))
            a_C = sess.run(lab.model["conv4_2"])
            lab.J_content = lab.compute_content_cost(a_C, lab.model["conv4_2"])
            sess.run(lab.model["input"].assign(style))
            lab.J_style = lab.compute_style_cost(lab.model, lab.STYLE_LAYERS)
            weights = {other: 20} if other in ("alpha", "beta") else {}
            lab.J = lab.total_cost(lab.J_content, lab.J_style, **weights)
            with tf.control_dependencies([tf.train.AdamOptimizer(2.0).minimize(lab.J)]):
                lab.train_step = tf.py_func(count_step, [], [])
            lab.OUTPUT_DIR = str(folder)
            costs = [lab.J, lab.J_content, lab.J_style]
            with Run(sess, lab.train_step, costs, iterations, lab.OUTPUT_DIR, resume) as run:
                lab.model_nn(sess, start, iterations)
            return run.image

    return train


@pytest.fixture
def train(train_in, tmp_path):
    """Train as `train_in` does, in this test's own folder."""
    return lambda iterations, folder="output", **options: train_in(
        tmp_path / folder, iterations, **options
    )


def test_every_20th_iteration_is_reported(train, tmp_path, capsys):
    train(43)
    names = {path.name for path in (tmp_path / "output").iterdir()}
    pictures = {"0.png", "20.png", "40.png", "generated_image.jpg"}
    assert names == pictures | {"costs.csv", "state.npz", ".run.lock"}
    rows = np.loadtxt(tmp_path / "output" / "costs.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(rows[:, 0], [0, 20, 40])
    np.testing.assert_allclose(rows[:, 1], 10 * rows[:, 2] + 40 * rows[:, 3], rtol=1e-4)
    assert rows[-1, 1] < rows[0, 1] / 10  # the cost falls
    printed = re.search(r"Iteration 20 :\ntotal cost = (\S+)\n", capsys.readouterr().out)
    assert float(printed[1]) == pytest.approx(rows[1, 1], rel=1e-5)


def test_the_line_says_how_far_the_run_is(train, monkeypatch):
    shown = []
    monkeypatch.setattr(training, "_display", lambda handle, data, *_: shown.append(data))
    train(3)
    lines = [data["text/plain"] for data in shown if "image/jpeg" not in data]
    costs = r"total \S+ +content \S+ +style \S+"
    assert re.fullmatch(rf"iteration 1/3 +{costs}", lines[0])  # no time is known yet
    assert re.fullmatch(rf"iteration 2/3 +{costs} +\d\.\d\d s/iteration +\d s left", lines[1])
    assert re.fullmatch(rf"iteration 3/3 +{costs} +\d\.\d\d s/iteration +0 s left", lines[-1])


@pytest.fixture(scope="module")
def whole(train_in, tmp_path_factory):
    """The folder of an uninterrupted run of 25 iterations, and its picture."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train_in(folder, 25)


@pytest.mark.parametrize("step", [0, 7, 20])
def test_an_interrupted_run_keeps_its_picture_and_goes_on_to_the_same_end(
    train, whole, tmp_path, capsys, step
):
    of_whole, uninterrupted = whole
    until_step = train(step + 1, "short")
    capsys.readouterr()

    stopped = train(25, interrupt_at=step)
    assert (
        f"Stopped after iteration {step}, the picture is saved. To continue "
        in capsys.readouterr().out
    )
    np.testing.assert_allclose(stopped, until_step, rtol=1e-4, atol=1e-3)
    with Image.open(tmp_path / "output" / "generated_image.jpg") as picture:
        assert picture.size == (WIDTH, HEIGHT)

    finished = train(25, resume=True)
    np.testing.assert_allclose(finished, uninterrupted, rtol=1e-4, atol=1e-3)
    rows = [
        np.loadtxt(folder / "costs.csv", delimiter=",", skiprows=1)
        for folder in (tmp_path / "output", of_whole)
    ]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-4)


def test_costs_are_printed_again_as_at_first(train, capsys):
    printed = []
    for options in ({"interrupt_at": 22}, {"resume": True}):
        train(25, **options)
        printed.append(re.findall(r"^\w+ cost = .*$", capsys.readouterr().out, re.MULTILINE))
    assert printed[0] == printed[1]
    assert len(printed[0]) == 6


def test_an_interrupt_in_the_last_step_changes_nothing(train, tmp_path, capsys):
    train(3, interrupt_at=2)
    assert "Stopped" not in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"is from a run that finished its 3 iterations: set "):
        train(3, resume=True)
    train(4, resume=True)
    with np.load(tmp_path / "output" / "state.npz") as state:
        assert state["iteration"] == 3


def test_after_a_run_ctrl_c_means_again_what_it_meant(train):
    before = signal.getsignal(signal.SIGINT)
    train(2, interrupt_at=0)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def tiny():
    """A session with the smallest problem that a Run can watch: (sess, train_step, costs)."""
    with tf.Graph().as_default(), tf.Session() as sess:
        image = tf.Variable(np.ones((1, 6, 8, 3), np.float32), name="input")
        cost = tf.reduce_sum(image)
        train_step = tf.train.GradientDescentOptimizer(0.1).minimize(cost)
        sess.run(tf.global_variables_initializer())
        yield sess, train_step, [cost, 2 * cost, 3 * cost]


def test_a_second_interrupt_stops_at_once(tiny, tmp_path):
    sess, train_step, costs = tiny
    before = sess.run
    with pytest.raises(KeyboardInterrupt), Run(sess, train_step, costs, 9, tmp_path):
        for _ in range(9):
            sess.run(train_step)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    assert [path.name for path in tmp_path.iterdir()] == [".run.lock"]
    assert sess.run == before


def test_a_run_that_would_overwrite_a_stopped_one_says_so_first(tiny, tmp_path, monkeypatch):
    """RESUME = True is written, but the settings cell was not run; also in a fresh kernel."""
    sess, train_step, costs = tiny
    message = r"overwrite the run that was stopped after iteration 0: "

    def run(interrupt=False):
        with Run(sess, train_step, costs, 3, tmp_path):
            for _ in range(3):
                sess.run(train_step)
                if interrupt:
                    signal.raise_signal(signal.SIGINT)

    run(interrupt=True)
    before = (tmp_path / "state.npz").read_bytes()
    for _ in range(2):
        monkeypatch.setattr(training, "_may_be_overwritten", set())  # as in a fresh kernel
        with pytest.raises(ValueError, match=message):
            run()
    assert (tmp_path / "state.npz").read_bytes() == before
    run(interrupt=True)
    with pytest.raises(ValueError, match=message):
        run()
    run()  # once more
    run()
    assert (tmp_path / "state.npz").read_bytes() != before


def test_a_loop_without_a_step_is_noticed(tiny, tmp_path):
    message = r"^no step was made: let the loop run sess.run\(train_step\)"
    with pytest.raises(RuntimeError, match=message), Run(*tiny, 3, tmp_path):
        pass


def test_a_cost_that_is_not_one_number_is_noticed(tiny, tmp_path):
    sess, train_step, (J, *others) = tiny
    with pytest.raises(ValueError, match=r"^J has the shape \(2,\), a cost is one number: correct"):
        Run(sess, train_step, [tf.stack([J, J]), *others], 3, tmp_path).__enter__()


def test_a_negative_cost_is_noticed(tiny, tmp_path):
    """For example from a factor that overflows int32."""
    sess, train_step, (J, J_content, J_style) = tiny
    costs = [J, J_content, -J_style]
    with (
        pytest.raises(ValueError, match=r"^the style cost is -\d.*, but a sum of squares is never"),
        Run(sess, train_step, costs, 3, tmp_path),
    ):
        sess.run(train_step)
        sess.run(costs)


@pytest.mark.parametrize(
    ("weights", "note"), [((10, 40), ""), ((40, 10), "Note: J is 40 J_content + 10 J_style; ")]
)
def test_costs_that_were_mixed_up_are_noticed(tiny, tmp_path, capsys, weights, note):
    sess, train_step, (_, J_content, J_style) = tiny
    costs = [weights[0] * J_content + weights[1] * J_style, J_content, J_style]
    with Run(sess, train_step, costs, 3, tmp_path):
        sess.run(train_step)
        sess.run(costs)
    out = capsys.readouterr().out
    assert note in out
    assert ("Note" in out) == bool(note)


def test_going_on_without_a_stopped_run_gets_one_sentence(train):
    with pytest.raises(
        FileNotFoundError, match=r"state.npz not found, so there is no run to contin"
    ):
        train(2, resume=True)


def test_going_on_with_another_run_s_state_gets_one_sentence(train, tmp_path):
    (tmp_path / "output").mkdir()
    state = {"history": [], "costs": np.ones(5), "input": np.zeros((1, 2, 2, 3))}
    np.savez(tmp_path / "output" / "state.npz", iteration=0, **state)
    with pytest.raises(ValueError, match=r"is from a run with a different size or optimizer: "):
        train(2, resume=True)


def test_going_on_with_the_state_of_two_optimizers_gets_one_sentence(train, tmp_path):
    train(1)
    path = tmp_path / "output" / "state.npz"
    with np.load(path) as file:
        state = dict(file)
    np.savez(path, **state, **{"input/Adam_2": state["input/Adam"]})
    with pytest.raises(ValueError, match=r"is from a run with a different size or optimizer: "):
        train(2, resume=True)


@pytest.fixture(scope="module")
def stopped(train_in, tmp_path_factory):
    """The folder of a run that was stopped at step 5."""
    folder = tmp_path_factory.mktemp("stopped")
    train_in(folder, 25, interrupt_at=5)
    return folder


@pytest.mark.parametrize("other", ["content", "style", "alpha", "beta", "layers"])
def test_going_on_towards_other_pictures_gets_one_sentence(train, stopped, tmp_path, other):
    output = shutil.copytree(stopped, tmp_path / "output")
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    message = (
        r"state.npz is from a run with different pictures or settings: use the same ones, or set"
    )
    with pytest.raises(ValueError, match=message):
        train(25, resume=True, other=other)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_a_state_that_is_cut_or_flipped_anywhere_gets_one_sentence(tiny, tmp_path):
    """16 cuts and 32 flipped bits; a flip in a field that is not read, such as a date, may pass."""
    sess, train_step, costs = tiny
    with Run(sess, train_step, costs, 1, tmp_path):
        sess.run(train_step)
        sess.run(costs)
    path = tmp_path / "state.npz"
    data, rng = path.read_bytes(), np.random.default_rng(0)
    with np.load(path) as file:
        whole = dict(file)
    said = []
    for i in range(48):
        damaged, place = bytearray(data), rng.integers(len(data))
        if i < 16:
            del damaged[place:]
        else:
            damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            with Run(sess, train_step, costs, 2, tmp_path, resume=True) as run:
                np.testing.assert_equal(run._state, whole)
        except ValueError as error:
            said.append(str(error))
    assert set(said) == {f"{path} is corrupt: set RESUME = False"}
    assert len(said) >= 36


def test_an_error_of_the_program_is_not_taken_for_a_corrupt_state(tmp_path, monkeypatch):
    np.savez(tmp_path / "state.npz", iteration=1)
    for error in (KeyError, MemoryError):
        with pytest.raises(error), stored_state(tmp_path / "state.npz", "start again") as state:
            assert state["iteration"] == 1
            raise error
    with (
        pytest.raises(ValueError, match=r"state.npz is corrupt: start again$"),
        stored_state(tmp_path / "state.npz", "start again") as state,
    ):
        state["history"]
    monkeypatch.setattr(np, "load", lambda path: [0] * 10**15)
    with pytest.raises(MemoryError), stored_state(tmp_path / "state.npz", "start again"):
        pass


def test_a_state_before_the_first_iteration_gets_one_sentence(tiny, tmp_path):
    np.savez(tmp_path / "state.npz", iteration=-5, history=np.zeros((0, 4)), costs=np.ones(5))
    with (
        pytest.raises(ValueError, match=r"state.npz is corrupt: set RESUME = False$"),
        Run(*tiny, 2, tmp_path, resume=True),
    ):
        pass


@pytest.mark.parametrize("iterations", [0, -5])
def test_a_run_without_iterations_gets_one_sentence(tiny, tmp_path, iterations):
    message = rf"^num_iterations is {iterations}: ask for 1 or more$"
    with pytest.raises(ValueError, match=message), Run(*tiny, iterations, tmp_path):
        pass


@pytest.mark.parametrize(("broken", "name"), [(0, "total"), (1, "content"), (2, "style")])
def test_a_cost_that_is_not_finite_ends_the_run_by_name(tiny, tmp_path, broken, name):
    """Not at a 20th iteration: an image that is not finite is looked into at once."""
    sess, train_step, costs = tiny
    image = tf.trainable_variables()[0]
    costs[broken] = costs[broken] + 0 * tf.reduce_sum(image)  # NaN where the image is
    for other in {0, 1, 2} - {broken}:
        costs[other] = tf.constant(1.0)
    message = (
        rf"^the {name} cost is nan after iteration 3, the last good picture is .*0\.png: start"
    )
    with (
        pytest.raises(FloatingPointError, match=message),
        Run(sess, train_step, costs, 9, tmp_path),
    ):
        for i in range(9):
            sess.run(train_step)
            if i == 0:
                sess.run(costs)
            if i == 3:
                image.load(np.full((1, 6, 8, 3), np.nan), sess)
            sess.run(image)
    assert not (tmp_path / "3.png").exists()


IN_USE = """
import sys
from nst.core.files import claimed, stored_state
with claimed(sys.argv[1]):
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(tmp_path):
    """A second process that has claimed the folder tmp_path/output."""
    command = [sys.executable, "-c", IN_USE, str(tmp_path / "output")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


@pytest.mark.usefixtures("other_process")
def test_a_folder_in_use_by_another_process_is_refused(train, tmp_path):
    with pytest.raises(RuntimeError, match=r"output is in use by another run: wait for it, or "):
        train(2)
    assert [path.name for path in (tmp_path / "output").iterdir()] == [".run.lock"]


def test_a_folder_of_a_run_that_died_is_free(train, tmp_path, other_process):
    other_process.kill()
    other_process.wait()
    train(1)
    assert (tmp_path / "output" / "0.png").exists()


def test_an_old_lock_file_locks_nothing(tmp_path):
    (tmp_path / ".run.lock").write_text("1")  # a process that runs
    with claimed(tmp_path):
        pass


AT_ONCE = """
import os, sys
from nst.core.files import claimed, stored_state
print("ready", flush=True)
os.read(int(sys.argv[2]), 1)
try:
    with claimed(sys.argv[1]):
        print("claimed", flush=True)
        sys.stdin.read()
except RuntimeError as error:
    print(error, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe that processes share")
def test_of_60_starts_at_once_one_gets_the_folder(tmp_path):
    wait, start = os.pipe()
    command = [sys.executable, "-c", AT_ONCE, str(tmp_path / "output"), str(wait)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, cwd=ROOT, pass_fds=[wait], **pipes) for _ in range(60)]
    try:
        assert {process.stdout.readline() for process in started} == {"ready\n"}
        os.write(start, bytes(60))
        said = [process.stdout.readline().strip() for process in started]
    finally:
        os.close(start)
        os.close(wait)
        for process in started:
            process.communicate()  # which closes its input
    assert said.count("claimed") == 1
    said.remove("claimed")
    (sentence,) = set(said)
    assert sentence.startswith(f"{tmp_path / 'output'} is in use by another run")
    with claimed(tmp_path / "output"):
        pass


def test_a_lock_that_cannot_be_written_gets_one_sentence(tmp_path):
    (tmp_path / ".run.lock").mkdir()
    with (
        pytest.raises(OSError, match=r"\.run\.lock cannot be written \(.*\): free some disk space"),
        claimed(tmp_path),
    ):
        pass


def test_an_output_folder_that_cannot_be_made_gets_one_sentence(tiny, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(OSError, match=r"^cannot create folder .*output \(Not a direct"),
        Run(*tiny, 2, tmp_path / "file" / "output"),
    ):
        pass


def test_ctrl_c_on_the_terminal_ends_make_run_with_a_picture(fake_weights, tmp_path):
    command = [sys.executable, "-u", "-m", "nst", "run", "--weights", fake_weights]
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
        r"\n  \d.\d\d s per step and .* GB of memory: 100000 iterations take about", said
    )
    assert said.index("GB of memory") < said.index("  iteration ")  # before training
    assert "Stopped after " in said
    hint = r"\n  Stopped after iteration \d+, .*: set RESUME = True in the settings cell, run it, "
    assert re.search(hint, said)
    assert f" run --size=48 --iterations=100000 --weights={fake_weights} --output=" in said
    assert said.endswith(" --resume=1\n")
    state = np.load(tmp_path / "state.npz")
    assert 0 <= state["iteration"] < 99999
    with Image.open(tmp_path / "generated_image.jpg") as picture:
        assert picture.size == (48, 36)


def test_loading_the_network_again_keeps_it_and_the_costs_written_for_it(fake_weights, capsys):
    with tf.Graph().as_default(), tf.Session():
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        J = tf.reduce_sum(model["conv5_1"])
        model = load_vgg_model(fake_weights, HEIGHT, WIDTH)
        assert tf.gradients(J, model["input"])[0] is not None
        first, again = capsys.readouterr().out.splitlines()
        assert first == again
        assert load_vgg_model(fake_weights, HEIGHT, WIDTH, pooling="max") is not model
    with tf.Graph().as_default(), tf.Session():
        assert load_vgg_model(fake_weights, HEIGHT, WIDTH) is not model


def test_two_networks_in_one_graph_are_not_trained(fake_weights, tmp_path):
    message = r"^the graph holds 2 networks, a run takes 1: run the cell that opens the session aga"
    with tf.Graph().as_default(), tf.Session() as sess:
        for pooling in ("average", "max"):  # as after a change of settings
            model = load_vgg_model(fake_weights, HEIGHT, WIDTH, pooling=pooling)
        train_step = tf.train.AdamOptimizer(2.0).minimize(tf.reduce_sum(model["conv5_1"]))
        with pytest.raises(RuntimeError, match=message):
            estimate(sess, train_step, 10)
        with pytest.raises(RuntimeError, match=message), Run(sess, train_step, [], 10, tmp_path):
            pass


# --- what a run takes --------------------------------------------------------------------------


def test_an_estimate_says_time_and_memory_and_changes_nothing(capsys):
    with tf.Graph().as_default(), tf.Session() as sess:
        x = tf.Variable(5.0)
        train_step = tf.train.AdamOptimizer(2.0).minimize(x * x)
        estimate(sess, train_step, 200)
        assert sess.run(x) == 5
    said = capsys.readouterr().out
    assert re.match(
        r"\d+\.\d\d s per step and \d+\.\d GB of memory: 200 iterations take about", said
    )


def test_a_picture_too_large_for_the_memory_is_refused_with_the_size_that_fits(fake_weights):
    with pytest.raises(MemoryError, match=r"^training at 400000×300000 pixels takes ") as caught:
        load_vgg_model(fake_weights, 300_000, 400_000)
    width, height = map(int, re.search(r"(\d+)×(\d+), the largest", str(caught.value)).groups())
    assert width / height == pytest.approx(4 / 3, rel=0.01)
    assert 0.5 < BYTES_PER_PIXEL * width * height / free_memory() < 1.5
