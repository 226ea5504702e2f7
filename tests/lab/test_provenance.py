"""A failed cell of the exercise edition names the cell to go back to."""

import ast
import re

import pytest

from nst.assignment.blanks import has_blank
from nst.assignment.exercises import EXERCISES
from nst.core.config import LAB
from tests.assignment.filling import answers_of, code_of, filled, start_of

BLANKS = {
    f"{cell}-{number}": (cell, number, ast.unparse(blank))
    for cell, source in code_of(EXERCISES).items()
    if has_blank(source)
    for number, blank in enumerate(answers_of(source))
}


@pytest.fixture
def edition(run_cell):
    """Run the exercise edition with one answer replaced; yield each later cell that failed.

    Yields:
    (id of the cell, its output)
    """

    def run(cell, number, text):
        cells = list(code_of(EXERCISES))
        for other in cells:
            said = run_cell(other, filled(other, {number: text} if other == cell else None))
            if said and cells.index(other) > cells.index(cell):
                yield other, said

    return run


def check_that_all_name(failures, cell, answers=None, or_failed=False):
    """Check the output of cells that failed: each ends in a sentence of ours that names `cell`.

    Arguments:
    answers -- as `filled` takes them: `cell` is named by the text that was run
    or_failed -- True: or another cell that failed before, which names `cell` itself
    """
    failures = list(failures)
    assert failures, "no later cell failed"
    starts = [start_of(filled(cell, answers))]
    for other, said in failures:
        if other.startswith("test-"):  # its sentence stands alone
            assert re.match(rf"{other[5:]}: [^\n]+\Z", said), said
            assert f"{cell}: " in said
        else:
            last = said.splitlines()[-1]
            assert any(f"” that begins with “{start}”" in last for start in starts), said
            starts += [start_of(filled(other))] * or_failed
            assert "site-packages" not in said
    return [other for other, _ in failures]


def test_the_edition_has_the_blanks_of_the_course():
    assert len(BLANKS) >= 12


@pytest.mark.parametrize(("cell", "number", "blank"), BLANKS.values(), ids=BLANKS)
def test_an_empty_blank_is_named_by_every_later_cell_that_fails(edition, cell, number, blank):
    failed = check_that_all_name(edition(cell, number, blank), cell, {number: blank})
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
        ("total-run", -1, "J = total_cost"),
        ("model_nn", -1, "generated_image = sess.run(J)"),
    ],
)
def test_a_wrong_answer_is_named_by_every_later_cell_that_fails(edition, cell, number, text):
    number %= len(answers_of(code_of(EXERCISES)[cell]))
    check_that_all_name(edition(cell, number, text), cell, {number: text}, or_failed=True)


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


def test_a_blank_filled_late_needs_the_cells_down_to_the_one_that_failed(run_cell):
    cells = list(code_of(EXERCISES))
    for cell in cells[: cells.index("curve") + 1]:
        said = run_cell(cell, filled(cell, {3: "None"} if cell == "compute_content_cost" else None))
        if cell in ("evolution", "curve"):
            assert said.endswith("run it, and the cells below it down to this one")


def test_a_loop_that_makes_optimizers_and_runs_no_train_step_is_noticed(run_cell):
    cells = list(code_of(EXERCISES))
    for cell in cells[: cells.index("run") + 1]:
        answers = {2: "sess.run(optimizer.minimize(J))"} if cell == "model_nn" else None
        said = run_cell(cell, filled(cell, answers))
    assert "no step was made: let the loop run sess.run(train_step)" in said
