"""Grading takes any notebook, explains each wrong answer, and is not held up by any of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from nst.assignment.exercises import EXERCISES
from nst.assignment.spec import FUNCTIONS, TRAINING
from nst.core.config import LAB
from nst.grading import command, protocol, reports, sandbox, submissions, training_check
from tests.assignment.answers import CONTENT, GRAM, LAYER, MODEL, STYLE, TOTAL, course_notebook
from tests.conftest import ROOT

TROUBLE = {
    CONTENT: "def compute_content_cost(a_C, a_G):\n    while True:\n        pass",
    GRAM: "def gram_matrix(A):\n    print('x' * 2**20)\n    return tf.matmul(A, tf.transpose(A))",
    LAYER: "def compute_layer_style_cost(a_S, a_G):\n    os._exit(0)",
    STYLE: """
def compute_style_cost(model, STYLE_LAYERS):
    open('written.txt', 'w')
    raise ValueError('no style today')
""",
    TOTAL: """
def total_cost(J_content, J_style, alpha = 10, beta = 40):
    while True:
        try:
            total_cost.calls = 0
        except:
            pass
""",
    MODEL: "print 'Python 2'",
}
FOUND = {
    CONTENT: "it does not return in time",
    GRAM: "It prints 4,194,308 characters.",
    LAYER: "it ends Python itself",
    STYLE: "line 3, `raise ValueError('no style today')`, with ValueError: no style today",
    TOTAL: "it does not return in time",
    MODEL: "no cell defines it. cell 8 is not valid Python 3 (line 1: ",
    TRAINING: "it did not run, as compute_content_cost does not return",
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


def test_folder_gives_each_notebook_its_rows(tmp_path):
    """All in one run, as starting TensorFlow is what takes the time."""
    nbformat.write(filled_exercises(), tmp_path / "filled.ipynb")
    nbformat.write(course_notebook(**TROUBLE), tmp_path / "trouble.ipynb")
    (tmp_path / "broken.ipynb").write_text("{def gram_matrix(")
    (tmp_path / "helper.py").write_text("x = 1")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "copy.ipynb").write_text("def gram_matrix(")
    files = sorted(tmp_path.rglob("*"))

    run = run_grade(tmp_path, "--json", "--limit", "2", cwd=tmp_path)
    assert run.returncode == 1, run.stderr
    assert sorted(tmp_path.rglob("*")) == files, "a graded notebook writes elsewhere"
    results = json.loads(run.stdout)
    rows = {
        Path(result["notebook"]).stem: {row["function"]: row for row in result["rows"]}
        for result in results
    }
    assert list(rows) == ["broken", "filled", "trouble"]
    assert all(list(of_one) == [*FUNCTIONS, TRAINING] for of_one in rows.values())

    found = {name: row["diagnosis"] for name, row in rows["filled"].items()}
    assert found == dict.fromkeys(found, "")
    assert rows["filled"][CONTENT]["got"] == pytest.approx(6.76559, rel=1e-5)
    assert rows["filled"][LAYER]["got"] == pytest.approx(9.19028, rel=1e-5)
    training = rows["filled"][TRAINING]
    assert training["got"] == pytest.approx(training["published"], rel=1e-3)

    found = {name: row["diagnosis"] for name, row in rows["trouble"].items()}
    assert {name: said for name, said in found.items() if FOUND[name] not in said} == {}
    passed = [name for name, row in rows["trouble"].items() if row["verdict"] == "pass"]
    assert passed == [GRAM]

    for row in rows["broken"].values():
        assert "broken.ipynb cannot be read as a notebook: save it again" in row["diagnosis"]


def test_script_passes_with_all_that_its_functions_need(tmp_path):
    """Imports, helpers and constants come along, the last definition wins."""
    notebook = course_notebook(
        "import tensorflow as tf => import tensorflow.compat.v1 as tf",
        "%matplotlib inline => get_ipython().magic('matplotlib inline')",
        "n_H, n_W, n_C = a_G.get_shape().as_list() => n_H, n_W, n_C = dims(a_G)",
        "alpha = 10, beta = 40):\n => alpha = ALPHA, beta = BETA):\n",
    )
    cells = [
        "def gram_matrix(A):\n    return A",
        "def dims(a):\n    return shape_of(a)\n\nshape_of = lambda a: a.shape",
        "ALPHA, BETA = 10, 4 * 10",
        *(cell.source for cell in notebook.cells),
    ]
    script = "".join(f"# In[{i}]:\n\n{cell}\n\n" for i, cell in enumerate(cells, 1))
    (tmp_path / "mine.py").write_text(script)
    run = run_grade("mine.py", cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    header, content, *others = run.stdout.splitlines()
    assert header.split() == ["function", "published", "got", "verdict", "diagnosis"]
    assert content.split() == [CONTENT, "6.76559", "6.76559", "pass"]
    assert [line.split()[-1] for line in others] == ["pass"] * 6
    assert [file.name for file in tmp_path.iterdir()] == ["mine.py"]


ASSIGN = "sess.run(model['input'].assign({0})) => model['input'].assign({0})"
FAULTS = {
    "": [],
    "train_step did not run": ["sess.run(train_step) => train_step"],
    "assign did not run": [ASSIGN.format("input_image")],
    "not the optimised one but the noise": ["return generated_image => return input_image"],
    "A variable has no value yet": [ASSIGN.format("content_image")],
    "J_content compares with the style picture": ["assign(content_image => assign(style_image"],
    "J_style compares with the content picture": [ASSIGN.format("style_image")],
    "J_content differs from ours": ["model['conv4_2'] => model['conv3_2']"],
    "J is not 10 * J_content + 40 * J_style": [
        "J_style, alpha = 10, beta = 40)\nopt => J_style, 40, 10)\nopt"
    ],
    "The learning rate of Adam is 2.0": ["Optimizer(2.0) => Optimizer(0.02)"],
    "train_step must minimise J": ["minimize(J) => minimize(J_content)"],
    "model_nn is never called": ["model_nn(sess, generated_image) => print(model_nn)"],
}
OWN_CHOICES = {
    "alpha 5 and beta 100, not 10 and 40: its own choice": [
        "J_style, alpha = 10, beta = 40)\nopt => J_style, alpha=5, beta=100)\nopt"
    ],
    "moves a pixel by 5, not by 2. The learning rate of Adam is 2.0: its own choice": [
        "Optimizer(2.0) => Optimizer(5.0)"
    ],
}
DRIVER = """
import json, sys
from pathlib import Path
from nst.grading import worker
from nst.grading import protocol
from nst.grading import submissions
from nst.lab import tf1
tf1.install()
notebooks = json.load(sys.stdin)
worker.build_world([cell for cells in notebooks for cell in cells])
with open(sys.argv[1], "wb") as file:
    for cells in notebooks:
        statements, _ = submissions.compile_cells(cells)
        protocol.write(file, *worker.train(statements, 7))
"""


def test_training_is_compared_with_a_right_one(tmp_path):
    faults = FAULTS | OWN_CHOICES
    notebooks = [
        [(f"cell {i}", cell.source) for i, cell in enumerate(course_notebook(*edits).cells, 1)]
        for edits in faults.values()
    ]
    for name, data in sandbox.stage().items():
        path = tmp_path / "stage" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for folder in ("stage/notebooks", "work"):
        (tmp_path / folder).mkdir()
    run = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path / "answers")],
        input=json.dumps(notebooks),
        cwd=tmp_path / "work",
        env=os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(tmp_path / "stage")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    rehearsals = training_check.Rehearsals((tmp_path / "stage" / "weights.mat").read_bytes())
    with open(tmp_path / "answers", "rb") as file:
        answers = {fault: protocol.read(file) for fault in faults}
    found = {fault: rehearsals.judge(*answer, 7)[0] for fault, answer in answers.items()}
    assert found.pop("").complaint == ""
    learnt, _ = rehearsals.judge(*answers[""], 8)  # as if its numbers had been known beforehand
    assert "right for one picture alone" in learnt.complaint
    for choice in OWN_CHOICES:
        outcome = found.pop(choice)
        assert outcome.complaint == ""
        assert choice in outcome.note
    assert {fault: said for fault, said in found.items() if fault not in said.complaint} == {}


def test_several_notebooks_make_one_line_each(tmp_path, capsys, monkeypatch):
    for name in ("a.ipynb", "b.ipynb"):
        (tmp_path / name).write_text("no notebook, though it has a def gram_matrix(A)")
    monkeypatch.setattr(sys, "argv", ["grading.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="1"):
        command.main()
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["notebook", "content_cost", "gram_matrix"]
    assert [line.split()[1:] for line in lines] == [["fail"] * 7] * 2


def test_table_wraps_its_diagnoses(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    row = {"function": GRAM, "published": [[6.42231, 1]], "got": "nan", "verdict": "fail"}
    reports.print_table([row | {"diagnosis": "so many words " * 8}])
    _, first, *more = capsys.readouterr().out.splitlines()
    assert first.split()[:4] == [GRAM, "6.42231", "nan", "fail"]
    assert more
    assert all(len(line) <= 110 and line.startswith(" " * 60) for line in more)


def test_missing_notebook_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["grading.py", "nowhere.ipynb"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    sentence = "nowhere.ipynb is not there: name a notebook, a .py, or a folder of them\n"
    assert capsys.readouterr().err == sentence
    with pytest.raises(FileNotFoundError, match="holds no graded function: name a notebook"):
        submissions.find_notebooks(tmp_path)


def test_help_warns_of_foreign_code(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["grading.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        command.main()
    text = " ".join(capsys.readouterr().out.split())
    assert "Grading runs the notebooks' code with your rights" in text
