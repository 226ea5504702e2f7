"""The command: what it prints and writes, how it ends, and that it continues an earlier grading."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nst.assignment.exercises import EXERCISES
from nst.assignment.spec import FUNCTIONS, TRAINING
from nst.core.config import LAB
from nst.grading import command, submissions
from tests.assignment.answers import CONTENT, GRAM, LAYER, MODEL, NOTEBOOK, STYLE, TOTAL
from tests.conftest import ROOT

TROUBLE = {
    CONTENT: "def compute_content_cost(a_C, a_G):\n    while True:\n        pass",
    GRAM: "def gram_matrix(A):\n    print('x' * 2**20)\n    return tf.matmul(A, tf.transpose(A))",
    LAYER: "def compute_layer_style_cost(a_S, a_G):\n    os._exit(0)",
    STYLE: """
def compute_style_cost(model, STYLE_LAYERS):
    open('written.txt', 'w')
    raise ValueError(open('/proc/self/oom_score_adj').read())
""",
    TOTAL: "print 'Python 2'",
    MODEL: """
def model_nn(sess, input_image, num_iterations = 200):
    while True:
        try:
            model_nn.calls = 0
        except:
            pass
""",
}
FOUND = {
    CONTENT: "it does not return in time",
    GRAM: "",
    LAYER: "it ends Python itself",
    STYLE: "line 3, `raise ValueError(open('/proc/self/oom_score_adj').read())`, with ValueError",
    TOTAL: "no cell defines it. cell 6 is not valid Python 3 (line 1: ",
    MODEL: "it does not return in time",
    TRAINING: "it does not begin: model_nn is never called",
}


def run_grade(*arguments, cwd):
    command = [sys.executable, "-m", "nst", "grade", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8"
    )


def filled_exercises():
    """Fill the blanks of the exercise edition with the lab's own lines."""
    solved = {cell.id: cell for cell in nbformat.read(LAB, as_version=4).cells}
    edition = nbformat.read(EXERCISES, as_version=4)
    edition.cells = [solved.get(cell.id, cell) for cell in edition.cells]
    return edition


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A folder, the run that graded it, and what it printed: {name: {function: row}}."""
    folder = tmp_path_factory.mktemp("class")
    nbformat.write(filled_exercises(), folder / "filled.ipynb")
    cells = [new_code_cell(source) for source in (NOTEBOOK[0], *TROUBLE.values())]
    nbformat.write(new_notebook(cells=cells), folder / "trouble.ipynb")
    (folder / "broken.ipynb").write_text("{def gram_matrix(")
    (folder / "helper.py").write_text("x = 1")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "copy.ipynb").write_text("def gram_matrix(")
    files = sorted(folder.rglob("*"))
    report = folder.parent / f"{folder.name}.html"
    run = run_grade(folder, "--json", "--limit", "2", "--report", report, cwd=folder)
    assert run.returncode == 0, run.stderr
    assert sorted(folder.rglob("*")) == files, "a graded notebook writes elsewhere"
    results = json.loads(run.stdout)
    rows = {r["student"]: {row["function"]: row for row in r["rows"]} for r in results}
    return folder, report, rows


def test_folder_gives_each_notebook_its_rows(graded):
    _, _, rows = graded
    assert list(rows) == ["broken", "filled", "trouble"]
    assert all(list(of_one) == [*FUNCTIONS, TRAINING] for of_one in rows.values())
    for row in rows["broken"].values():
        assert "broken.ipynb cannot be read as a notebook: save it again" in row["diagnosis"]


def test_filled_exercises_pass(graded):
    _, _, rows = graded
    found = {name: row["diagnosis"] for name, row in rows["filled"].items()}
    assert found == dict.fromkeys(found, "")


def test_function_that_hangs_or_ends_python_costs_its_row(graded):
    _, _, rows = graded
    found = {name: row["diagnosis"] for name, row in rows["trouble"].items()}
    assert {name: text for name, text in found.items() if FOUND[name] not in text} == {}
    passed = [name for name, row in rows["trouble"].items() if row["verdict"] == "pass"]
    assert passed == [GRAM]


def test_full_memory_ends_a_sandbox_before_the_grader(graded):
    _, _, rows = graded
    score = re.search(r"ValueError: (-?\d+)", rows["trouble"][STYLE]["diagnosis"])
    assert int(score[1]) > int(Path("/proc/self/oom_score_adj").read_text())


def test_grading_continues_with_what_has_changed(graded, monkeypatch, capsys):
    folder, report, rows = graded
    (folder / "broken.ipynb").write_text("{}")
    again = []

    def grade_all(paths, limit, jobs):
        again.extend(path.stem for path in paths)
        yield [row | {"diagnosis": "new"} for row in rows["broken"].values()]

    monkeypatch.setattr(command, "grade_all", grade_all)
    with pytest.raises(SystemExit) as end:
        command.main([str(folder), "--report", str(report), "--strict"])
    assert end.value.code == 1
    assert again == ["broken"]
    out, errors = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert "Most often wrong: " in errors
    page = report.read_text("utf-8")
    assert page.index("broken") < page.index("filled") < page.index("trouble")
    with pytest.raises(SystemExit) as end:
        command.main([str(folder), "--report", str(report)])
    assert end.value.code == 0
    assert again == ["broken"]


def test_missing_notebook_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["nowhere.ipynb"])
    sentence = "nowhere.ipynb not found: name a notebook, a .py, or a folder of them\n"
    assert capsys.readouterr().err == sentence
    with pytest.raises(FileNotFoundError, match="holds no graded function: name a notebook"):
        submissions.find_notebooks(tmp_path)


def test_what_students_hand_in_instead_of_a_notebook_is_found(tmp_path):
    names = ["a.ipynb", "b.IPYNB", "c.ipynb.txt", "d.ipynb.json", "e.html", "f.zip", "g.py"]
    for name in [*names, "notes.txt", "data.json", "._a.ipynb"]:
        (tmp_path / name).write_text("def Gram_Matrix(A)")
    (tmp_path / "helper.py").write_text("def other()")
    assert [path.name for path in submissions.find_notebooks(tmp_path)] == names


def test_help_warns_of_foreign_code(capsys):
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Grading runs the notebooks' code with your rights" in text
