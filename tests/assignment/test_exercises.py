"""The exercise edition is the solved lab with blanks, and no staler than it."""

import re

import nbformat
import pytest

from nst.assignment.blanks import blank_out, still_empty
from nst.assignment.exercises import EXERCISES, exercise_edition
from nst.assignment.spec import FUNCTIONS
from nst.core.config import LAB

SOLVED = """\
def f(a, b):
    ### START CODE HERE ### (3 lines)
    # dimensions
    m, (n, _) = g(
        a,
    )  # two
    A[0] = B = "é" + b  # (n, m)
    A += 1

    for i in range(n):
        sess.run(i)
    return A
    ### END CODE HERE ###
"""
BLANK = """\
def f(a, b):
    ### START CODE HERE ### (3 lines)
    # dimensions
    m, (n, _) = None  # two
    A[0] = B = None  # (n, m)
    None

    for i in range(n):
        None
    return None
    ### END CODE HERE ###"""


@pytest.fixture(scope="module")
def lab():
    return nbformat.read(LAB, as_version=4)


@pytest.fixture(scope="module")
def edition(lab):
    return exercise_edition(lab)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_committed_edition_is_that_of_the_lab(edition):
    committed = EXERCISES.read_text(encoding="utf-8")
    assert committed == nbformat.writes(edition) + "\n", "stale: run make exercises"


def test_only_marked_statements_become_blanks():
    assert blank_out(SOLVED) == BLANK


@pytest.mark.parametrize(
    ("answer", "empty"),
    [
        ("x = None", True),
        ("x, y = None", True),
        ("return None", True),
        ("None", True),
        ("# deleted", True),
        ("x = y = 1", False),
        ("pass", False),
        ("f(None)", False),
        ("x = 1\n    y = None", True),
        ("x = (", False),
    ],
)
def test_a_blank_is_empty_while_it_is_none_or_gone(answer, empty):
    lines = ["def f():", "### START CODE HERE ###", answer, "### END CODE HERE ###", "return"]
    source = "\n    ".join(lines)
    assert still_empty(source) is empty


def test_none_outside_a_region_is_no_blank():
    assert not still_empty("x = None\n### START CODE HERE ###\ny = 1\n### END CODE HERE ###")


def test_region_without_an_end_is_refused():
    with pytest.raises(ValueError, match="a region has no end: add ### END CODE HERE ###"):
        blank_out("### START CODE HERE ###\nx = 1")


def test_nothing_of_the_solution_is_left(lab, edition):
    """Outside its regions the edition has the lab's lines, inside them comments and None."""
    solved = {cell.id: cell.source.replace(LAB.name, EXERCISES.name) for cell in lab.cells}
    blanks = 0
    for cell in edition.cells:
        if cell.id not in solved:
            continue
        regions = re.compile(r"(### START CODE HERE.*?### END CODE HERE)", re.S)
        ours, theirs = regions.split(cell.source), regions.split(solved[cell.id])
        assert ours[::2] == theirs[::2]
        for region in ours[1::2]:
            blanks += len(re.findall(r"\bNone\b", region))
            for line in region.splitlines():
                assert re.fullmatch(r"\s*([\w, ]+ = None|None|)(  #.*)?|\s*#.*", line)
    assert blanks >= 12


def test_every_function_has_its_test_behind_its_check(edition):
    cells = code(edition)
    for function in FUNCTIONS:
        call = f"public_tests.{function}_test({function})"
        (at,) = (i for i, cell in enumerate(cells) if cell.source == call)
        assert f"{function}(" in cells[at - 1].source
        assert any(f"def {function}(" in cell.source for cell in cells[at - 2 : at])


def test_edition_says_what_it_is_and_imports_the_public_tests_first(edition):
    ids = [cell.id for cell in edition.cells]
    assert ids.index("imports") + 1 == ids.index("exercise-note")
    assert ids.index("exercise-note") + 1 == ids.index("public-tests")


def test_the_file_browser_tells_the_editions_apart():
    """It shows some 25 letters of a name."""
    assert EXERCISES.name[:10] != LAB.name[:10]


def test_edition_has_no_outputs_and_is_valid(edition):
    nbformat.validate(edition)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code(edition))
