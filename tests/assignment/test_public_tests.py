"""The public tests catch and name what students get wrong, and pass whatever is right."""

import linecache
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from nst.assignment import public_tests
from nst.assignment.reference import right_value
from nst.assignment.spec import PARAMETERS
from tests.assignment.answers import (
    CONTENT,
    GRAM,
    LAYER,
    MODEL,
    RIGHT,
    SOLUTION,
    STYLE,
    WRONG,
    wrong_source,
)

pytestmark = pytest.mark.numbers


def notebook(**functions):
    """Run the solution's cells, some replaced, and return the namespace that they leave."""
    with tf.Graph().as_default():  # a graph that the notebook has left behind
        namespace = {"tf": tf, "np": np, "FOUR": tf.constant(4.0)}
    for name, source in (SOLUTION | functions).items():
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        exec(compile(source, name, "exec"), namespace)
    return namespace


def complaint_about(function, **functions):
    return public_tests.examine(function, notebook(**functions)[function])


@pytest.fixture
def as_in_the_course(monkeypatch):
    """Tensors as the lab's kernel has them: there np.power(tensor, 2) makes an op."""
    monkeypatch.delattr(tf.Tensor, "__array__")


@pytest.mark.usefixtures("as_in_the_course")
@pytest.mark.parametrize("title", RIGHT)
def test_right_answer_passes(title):
    names = re.findall(rf"^(?:def )?({'|'.join(PARAMETERS)})\b", RIGHT[title], re.M)
    function = names[-1]
    assert complaint_about(function, **{function: RIGHT[title]}) == ""


def test_numpy_on_tensors_fails_where_the_check_cell_would_fail_too():
    complaint = complaint_about(CONTENT, compute_content_cost=RIGHT["np.power(tensor, 2)"])
    assert "NumPy cannot compute with tensors: use the tf function" in complaint


@pytest.mark.usefixtures("as_in_the_course")
@pytest.mark.parametrize(
    ("function", "says", "edits"), [(function, says, edits) for function, says, *edits in WRONG]
)
def test_wrong_answer_is_named(function, says, edits):
    complaint = complaint_about(function, **{function: wrong_source(function, edits)})
    assert complaint.startswith(f"{function}: ")
    assert says in complaint


def test_shape_counts_in_numbers_where_tensorflow_2_shapes_are_on():
    source = wrong_source("compute_content_cost", ["a_G.get_shape().as_list() => a_G.shape"])
    tf.enable_v2_tensorshape()
    try:
        assert complaint_about("compute_content_cost", compute_content_cost=source) == ""
    finally:
        tf.disable_v2_tensorshape()


def test_formulas_give_the_published_numbers():
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.set_random_seed(1)
        a, b = sess.run([tf.random_normal([1, 4, 4, 3], 1, 4, seed=seed) for seed in (3, 9)])
    content, layer = right_value(CONTENT, [a, b]), right_value(LAYER, [1, a, b])
    assert f"{content:.6g} {layer:.6g}" == "6.76559 9.19028"


def test_session_graph_globals_and_noise_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = notebook(**{MODEL: wrong_source(MODEL, ["sess.run(train_step) => train_step"])})
    with tf.Graph().as_default() as graph:
        sess = namespace["sess"] = tf.InteractiveSession()
        x = tf.Variable(3.0)
        sess.run(x.initializer)
        np.random.seed(3)
        state, operations = np.random.get_state()[1].copy(), len(graph.get_operations())
        before = dict(namespace)
        for name in SOLUTION:
            public_tests.examine(name, namespace[name])
        assert tf.get_default_session() is sess
        assert tf.get_default_graph() is graph
        assert len(graph.get_operations()) == operations
        assert x.eval() == 3
        assert namespace == before
        assert (np.random.get_state()[1] == state).all()
        assert "__array__" in vars(tf.Tensor)
        assert list(tmp_path.iterdir()) == []
        sess.close()


@pytest.mark.parametrize("wrong", ["tf.transpose(A), A", "A, A", "None, A"])
def test_wrong_gram_matrix_fails_alone(wrong):
    source = wrong_source(GRAM, [f"A, tf.transpose(A) => {wrong}"])
    assert complaint_about(GRAM, gram_matrix=source) != ""
    assert complaint_about(LAYER, gram_matrix=source) == ""
    assert complaint_about(STYLE, gram_matrix=source) == ""


def test_initializer_after_assign_undoes_it():
    first, second, *rest = SOLUTION[MODEL].splitlines(True)[2:]
    source = "".join([*SOLUTION[MODEL].splitlines(True)[:2], second, first, *rest])
    assert "after the initializer, which would undo it" in complaint_about(MODEL, model_nn=source)


def test_error_shows_its_line():
    source = wrong_source("total_cost", ["J = alpha => J = gamma"])
    complaint = complaint_about("total_cost", total_cost=source)
    assert "in line 3, `J = gamma * J_content + beta * J_style`, with NameError" in complaint


@pytest.mark.parametrize("name", PARAMETERS)
def test_public_test_says_passed_or_raises(name, capsys):
    public_test = getattr(public_tests, f"{name}_test")
    public_test(notebook()[name])
    assert capsys.readouterr().out == "All tests passed.\n"
    with pytest.raises(AssertionError, match=f"^{name}: it is None, not a function") as failure:
        public_test(None)
    assert failure.value.__context__ is None  # one traceback, and a short one
