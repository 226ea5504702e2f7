"""The companion lessons as stored: clean, linked to each other, and with answers that are right."""

import ast
import re

import nbformat
import pytest

from nst.core.config import LAB
from tests.conftest import ROOT
from tests.lab.lessons import LESSONS, TASKS, markdown_of, notebook_of, outputs_of, solved, text_of

pytestmark = pytest.mark.numbers
each_lesson = pytest.mark.parametrize("lesson", LESSONS)


# --- the stored notebooks ------------------------------------------------------------------------


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


# --- what the reader does ------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", TASKS)
def test_a_lesson_asks_for_two_predictions_and_a_function(lesson):
    notebook = nbformat.read(notebook_of(lesson), as_version=4)
    text = "\n".join(markdown_of(notebook_of(lesson)))
    assert text.count("**Predict, then run.**") == 2
    assert text.count("**Your turn.**") == 1
    assert text.count("<details>") == text.count("</details>") >= 3
    assert f"{TASKS[lesson]}: not written yet" in text_of(outputs_of(notebook))
    assert callable(vars(solved(lesson))[TASKS[lesson]])


# --- what the lessons with a network of Keras share ----------------------------------------------

EAGER = [lesson for lesson in LESSONS if re.match("Lesson_[1236]_", lesson)]


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
