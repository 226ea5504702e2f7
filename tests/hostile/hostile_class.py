"""Grade hostile submissions amid a class, and check that the class has its own grades."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import unicodedata

import nbformat
import psutil
import pytest

from nst.assignment.spec import FUNCTIONS, TRAINING
from nst.grading.sandbox import bubblewrap
from tests.assignment.answers import CONTENT, GRAM, course_notebook, wrong_source
from tests.conftest import ROOT
from tests.hostile import attacks

WALLS = bubblewrap()
CLASS = {  # the class around them: what is wrong with each
    "good_a": {},
    "good_b": {},
    "wrong_content": {CONTENT: "the right value times 4"},
    "wrong_gram": {GRAM: "the wrong side", TRAINING: "First correct gram_matrix"},
    "wrong_training": {TRAINING: "J is not 10 * J_content + 40 * J_style"},
}


def write_class(folder):
    """Five students: two right, one with a wrong fraction, one with a wrong side, one swapped."""
    fraction = wrong_source(CONTENT, ["4 * n_H => n_H"])
    side = wrong_source(GRAM, ["A, tf.transpose(A) => tf.transpose(A), A"])
    notebooks = {
        "good_a": course_notebook(),
        "good_b": course_notebook(),
        "wrong_content": course_notebook(**{CONTENT: fraction}),
        "wrong_gram": course_notebook(**{GRAM: side}),
        "wrong_training": course_notebook(
            "J_style, alpha = 10, beta = 40)\nopt => J_style, 40, 10)\nopt"
        ),
    }
    for name, notebook in notebooks.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")


def grade(folder, *options, walls=True, path=str(ROOT), **popen):
    """Run the command on a folder; return (exit status, stdout, stderr)."""
    environment = os.environ | {"PYTHONPATH": path, "TMPDIR": str(folder.parent / "tmp")}
    if not walls:
        environment["PATH"] = str(folder.parent)  # where no bwrap is
    (folder.parent / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "nst", "grade", str(folder), *options]
    run = subprocess.run(
        command, cwd=folder.parent, env=environment, capture_output=True, text=True, **popen
    )
    return run.returncode, run.stdout, run.stderr


def by_name(output):
    """Read the JSON of a grading: {name: {function: row}}."""
    return {
        os.path.basename(result["notebook"]): {row["function"]: row for row in result["rows"]}
        for result in json.loads(output)
    }


def check_class(rows):
    """Each of the class has its own grade, as if it were alone."""
    for name, faults in CLASS.items():
        found = rows[f"{name}.ipynb"]
        failed = {function for function, row in found.items() if row["verdict"] == "fail"}
        expected = {*faults, *([TRAINING] if name == "wrong_content" else [])}
        assert failed == expected, f"{name}: {found}"
        for function, said in faults.items():
            assert said in found[function]["diagnosis"], name


def check_hostile(rows, titles):
    for title in titles:
        found = rows[f"{title}.ipynb"]
        assert list(found) == [*FUNCTIONS, TRAINING], title
        passed = [function for function, row in found.items() if row["verdict"] == "pass"]
        assert passed == [], title


def check_nothing_is_left(folder):
    """No process and no folder of the grader's remains."""
    assert list((folder.parent / "tmp").iterdir()) == []
    for process in psutil.process_iter(["cmdline", "environ"]):
        told = " ".join(process.info["cmdline"] or [])
        place = (process.info["environ"] or {}).get("PYTHONPATH", "")
        assert f"# stays in {folder}" not in told, process
        assert str(folder.parent) not in place, process


def check_attacks(tmp_path, titles):
    """Grade attacks, files of any kind, and a class of five in one run."""
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "secret.txt").write_text("the teacher's secret")
    titles = [title for title in titles if WALLS or title not in attacks.NEEDS_BUBBLEWRAP]
    project = tmp_path / "project"  # what an attack that gets out would damage
    shutil.copytree(ROOT / "nst", project / "nst")
    shutil.copytree(ROOT / "tests", project / "tests")
    packages = tmp_path / "site-packages"  # where a copy of the project is installed
    shutil.copytree(ROOT / "nst", packages / "nst")
    before = {file: file.read_bytes() for file in project.rglob("*.py")}
    write_class(folder)
    nbformat.write(course_notebook(), tmp_path / "solution.ipynb")
    attacks.write_unreadable(folder, tmp_path / "solution.ipynb")
    report = tmp_path / "report.html"
    options = ("--report", str(report), "--limit", "2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        paths = {"ROOT": str(project), "CLASS": str(folder), "PACKAGES": str(packages)}
        attacks.write_attacks(folder, titles, PORT=port, **paths)
        path = f"{ROOT}{os.pathsep}{packages}"
        status, output, errors = grade(
            folder, *options, "--json", "--strict", "--jobs", "2", path=path
        )
        with pytest.raises(BlockingIOError):  # nobody called
            server.accept()
    assert status == 1, errors
    assert "Traceback" not in errors
    rows = by_name(output)
    count = len(list(folder.iterdir())) - 1  # without the secret
    assert len(rows) == count
    check_hostile(rows, titles)
    check_class(rows)
    check_nothing_is_left(folder)
    assert {file: file.read_bytes() for file in project.rglob("*.py")} == before
    assert "the teacher's secret" not in output
    assert "FORGED" not in output + errors
    assert "Tables of the mistakes" not in output  # of an installed copy
    check_table(*grade(folder, *options), count)  # what is graded already is shown again
    check_report(report, count)
    return rows


def check_table(status, output, errors, count):
    """The terminal's table has a line for each submission, and no control character."""
    assert status == 0, errors
    _, *lines = output.splitlines()
    assert len(lines) == count
    passed = {line.split()[0] for line in lines if line.split()[-7:] == ["pass"] * 7}
    assert passed == {"good_a", "good_b"}
    characters = {unicodedata.category(c) for c in output.replace("\n", "")}
    assert not [kind for kind in characters if kind in ("Cc", "Cf", "Cs", "Co")]
    assert max(map(len, lines)) < 140


def check_report(report, count):
    """Page, spreadsheet and feedback have all submissions, and nothing in them is active."""
    page = report.read_text("utf-8")
    assert page.count('class="row') == count + 1
    assert "<script" not in page.lower()
    assert not re.search(r"\b(src|href)=|url\(", page)  # it needs nothing else
    assert page.index(">good1<") < page.index(">good2<") < page.index(">good_a<")
    assert "&lt;script&gt;" in page
    assert page.count("<details>") == count - 2
    with open(report.with_suffix(".csv"), encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    assert len(table) == count + 1
    assert not [cell for row in table for cell in row if cell[:1] in ("=", "+", "@")]
    feedback = report.with_name("report-feedback")
    assert len(list(feedback.iterdir())) == count
    assert "gram_matrix: All tests passed." in (feedback / "good_a.txt").read_text()
