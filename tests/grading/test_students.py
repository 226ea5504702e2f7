"""Names from the files of learning platforms, points, the class list, and what is written."""

import argparse
import csv
from pathlib import Path

import pytest

from nst.assignment.spec import FUNCTIONS, TRAINING
from nst.grading import reports, students
from tests.assignment.answers import CONTENT, GRAM, LAYER


def result(student, number="", wrong=(), follows="", diagnosis="the 1/4 is forgotten. More."):
    rows = [
        {
            "function": name,
            "verdict": "fail" if name in (*wrong, *([TRAINING] if follows else [])) else "pass",
            "diagnosis": diagnosis if name in wrong else "",
            "follows": follows if name == TRAINING else "",
        }
        for name in (*FUNCTIONS, TRAINING)
    ]
    points = students.points(rows, dict.fromkeys(students.SHORT_NAMES, 1))
    return {
        "notebook": f"class/{student}.ipynb",
        "student": student,
        "id": number,
        "digest": student,
        "rows": rows,
        "points": points,
        "maximum": 7,
    }


@pytest.mark.parametrize(
    ("path", "name", "number"),
    [
        ("ZOE ÁLVAREZ_1045231_assignsubmission_file_/lab.ipynb", "ZOE ÁLVAREZ", "1045231"),
        ("Zoe Alvarez_1045231_assignsubmission_file_lab.ipynb", "Zoe Alvarez", "1045231"),
        ("alvarezzoe_1045_98765_Art_Generation.ipynb", "alvarezzoe", "1045"),
        ("alvarezzoe_LATE_1045_98765_lab-1.ipynb", "alvarezzoe", "1045"),
        ("Lab 4_zalvarez_attempt_2026-03-01-10-11-12_lab.ipynb", "zalvarez", ""),
        ("section-1/zoe.ipynb", "section-1", ""),
        ("Art_Generation_2.ipynb", "Art_Generation_2", ""),
        ("张伟_1045231_assignsubmission_file_/a.ipynb", "张伟", "1045231"),
    ],
)
def test_student_is_known_by_the_platforms_names(path, name, number):
    assert students.identify(Path("class", path), Path("class")) == (name, number)


def test_points_count_a_mistake_once():
    weights = students.weights("content_cost:3,gram_matrix:2, training:1.5")
    rows = result("a", wrong=[GRAM], follows=GRAM)["rows"]
    assert students.points(rows, weights) == 4.5
    assert students.points(result("a", wrong=[GRAM, TRAINING])["rows"], weights) == 3


@pytest.mark.parametrize("text", ["content:3", "content_cost", "content_cost:x", ""])
def test_points_of_another_form_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="like content_cost:3"):
        students.weights(text)


def test_class_is_compared_with_its_list(tmp_path):
    roster = tmp_path / "class.csv"
    roster.write_text(
        "\ufeffGiven name;Family name;ID\nZoë;Álvarez;77\nAda;Lovelace;78\nAlan;Turing;1045\n"
        "Emmy;Noether;80\n",
        "utf-8",
    )
    handed_in = [
        result("ZOË ÁLVAREZ", "1045231"),
        result("lovelaceada", "5"),
        result("anybody", "1045"),
        result("Turing Alan"),
        result("A stranger"),
    ]
    assert students.compare_with_roster(handed_in, students.read_roster(roster)) == [
        "Handed in nothing: Emmy Noether.",
        "Handed in more than once: Alan Turing.",
        "Not on the roster: A stranger.",
    ]
    roster.write_text("Name,Email\n")
    with pytest.raises(ValueError, match="names nobody"):
        students.read_roster(roster)
    with pytest.raises(ValueError, match="cannot be read"):
        students.read_roster(tmp_path / "none.csv")


def test_most_frequent_mistake_is_summarized():
    found = students.most_frequent_mistake(
        [result("a", wrong=[CONTENT]), result("b", wrong=[CONTENT, LAYER]), result("c")]
    )
    assert found == [
        "Most often wrong: content_cost (2 of 3). Most frequent reason (2): the 1/4 is forgotten."
    ]
    assert students.most_frequent_mistake([result("a")]) == []


HOSTILE = ["=HYPERLINK(1)", "\uff1d1+1", "a; =1+1", "b\n\x1b[31m=1", "<script>x</script>", "q\"'"]


def test_spreadsheets_keep_their_rows_and_compute_nothing(tmp_path):
    report = reports.Report(tmp_path / "report.html")
    report.write([result(name, wrong=[GRAM], diagnosis=f"x;{name}") for name in HOSTILE])
    for file, columns in ((report.table, 13), (report.grades, 7)):
        with open(file, encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
        table = list(csv.reader(text.splitlines()))
        assert len(table) == 1 + len(HOSTILE)
        assert {len(row) for row in table} == {columns}
        assert not [cell for row in table for cell in row if cell[:1] in tuple("=+-@\uff1d")]
        assert ";" not in text
    assert "<script" not in report.page.read_text("utf-8")


def test_grades_are_for_moodle_and_canvas(tmp_path):
    report = reports.Report(tmp_path / "report")
    report.write([result("Zoe Álvarez", "1045231", wrong=[GRAM])])
    with open(report.grades, encoding="utf-8-sig", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert list(row)[:3] == ["Student", "ID", "Section"]  # the header by which Canvas knows it
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(row)  # which Moodle asks for
    assert row["Identifier"] == "Participant 1045231"
    assert (row["ID"], row["Student"], row["Grade"]) == ("1045231", "Zoe Álvarez", "6")
    assert row["Feedback comments"] == "gram_matrix: the 1/4 is forgotten. More."


def test_feedback_is_named_by_the_person_in_any_script(tmp_path):
    names = [
        "Zoe Álvarez",
        "张伟",
        "श्रेया",
        "علی‌رضا",
        "O'Neil, Jr.",
        "ß" * 200,
        "a/b",
        "zoe álvarez",
    ]
    report = reports.Report(tmp_path / "report.html")
    report.write([result(name) for name in names])
    found = {file.stem for file in report.folder.iterdir()}
    assert len(found) == len(names)
    assert found >= {"张伟", "श्रेया", "علی‌رضا", "a_b"}
    assert "Zoe Álvarez" in found or "Zoe Álvarez-2" in found
    text = (report.folder / "张伟.txt").read_text("utf-8")
    assert text.startswith("张伟: 7 of 7 passed, 7 of 7 points.")


def test_report_of_another_program_is_not_overwritten(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(FileExistsError, match="name another report"):
        reports.Report(tmp_path / "report.html")


def test_report_continues_an_earlier_one(tmp_path):
    reports.Report(tmp_path / "report.html").write([result("zoe", wrong=[GRAM])])
    earlier = reports.Report(tmp_path / "report.html").earlier
    ((key, rows),) = earlier.items()
    assert key == ("class/zoe.ipynb", "zoe")
    assert rows == result("zoe", wrong=[GRAM])["rows"]


def test_printed_text_is_one_line_without_controls():
    forged = "a\x1b[2J\r\nb\u2028c\u202ed\ud800e\x9bf\x00" + "x" * 600
    shown = reports.printable(forged)
    assert shown.startswith("a�[2J b c�d�e�f�xxx")
    assert len(shown) == 500
    assert shown.endswith("…")


def test_row_of_one_notebook_is_a_line(capsys):
    row = {"function": GRAM, "verdict": "fail", "diagnosis": "so many\nwords", "follows": ""}
    reports.print_rows([row, row | {"verdict": "pass", "diagnosis": ""}])
    assert capsys.readouterr().out.splitlines() == [
        "gram_matrix               fail  so many words",
        "gram_matrix               pass",
    ]
