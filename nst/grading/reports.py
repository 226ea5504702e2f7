"""Grading reports: terminal table, HTML page, CSV files, feedback for each student.

The names and diagnoses are untrusted: no control character is printed, a row stays one line.
"""

import csv
import json
import os
import re
import shutil
import textwrap
import unicodedata
from pathlib import Path

import jinja2

from nst.assignment.spec import TRAINING
from nst.core.files import make_folder, whole_file
from nst.grading.students import SHORT_NAMES, most_frequent_mistake

COLUMNS = list(SHORT_NAMES.values())
NAME_WIDTH = 40
JOINERS = "\u200c\u200d"  # which names in some scripts need
TEMPLATE = Path(__file__).with_name("report.html.jinja")


def printable(text, width=500):
    """Make one line of any text: no control, private or unassigned characters, cut to `width`."""
    text = "".join(map(_visible, str(text)[: 4 * width]))
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _visible(character):
    if character.isspace():
        return " "
    is_control = unicodedata.category(character)[0] == "C" and character not in JOINERS
    return "�" if is_control else character


def short_name(name, width=NAME_WIDTH):
    """Show a name in `width` characters: its end, which differs from that of others."""
    text = printable(name, 4096)
    return text if len(text) <= width else "…" + text[1 - width :]


# --- the terminal ------------------------------------------------------------------------------


def print_table(rows):
    """Print the rows of one notebook, the diagnoses wrapped to the terminal."""
    width = max(40, shutil.get_terminal_size((120, 24)).columns - 66)
    for row in [{key: key for key in rows[0]}, *rows]:
        published, got = _short(row["published"]), _short(row["got"])
        if row["function"] == TRAINING:
            published = f"ours {published}"
        lines = textwrap.wrap(printable(row["diagnosis"], 1000), width) or [""]
        first = f"{row['function']:26}{published:17}{got:13}{row['verdict']:9}{lines[0]}"
        print(first.rstrip())
        for line in lines[1:]:
            print(" " * 65 + line)


def _short(value):
    """Show a value in a few characters: of a matrix or a list of costs the first number."""
    while isinstance(value, list):
        value = value[0] if value else None
    return f"{value:.6g}" if isinstance(value, int | float) else printable(value or "-", 12)


def print_line(first, texts, width):
    """Print a line of the table of several notebooks: its header, or one notebook's verdicts."""
    columns = zip(texts, COLUMNS, strict=True)
    cells = [f"{first:{width}}", *(f"{text:{len(column)}}" for text, column in columns)]
    print("  ".join(cells).rstrip(), flush=True)


# --- files -------------------------------------------------------------------------------------


class Report:
    """A page, spreadsheets, feedback files, and what a later grading needs to go on."""

    def __init__(self, path):
        """Name the files, and read what an earlier grading left in them.

        Raises FileExistsError if one of them exists and no grading wrote it.
        """
        page = Path(path)
        if page.suffix.lower() not in (".html", ".htm"):
            page = page.with_name(page.name + ".html")
        self.page, self.table = page, page.with_suffix(".csv")
        self.grades = page.with_name(f"{page.stem}-grades.csv")
        self.folder = page.with_name(f"{page.stem}-feedback")
        self._state = page.with_suffix(".json")
        self.earlier, self._written = self._earlier(), {}
        for file in (self.page, self.table, self.grades, self.folder, self._state):
            if self.earlier is None and os.path.lexists(file):
                raise FileExistsError(f"{file} exists: name another report, or move it away")

    def _earlier(self):
        """Return {digest: rows} of an earlier grading, None if there is none."""
        try:
            results = json.loads(self._state.read_text("utf-8"))["graded by nst"]
            return {(r["notebook"], r["digest"]): r["rows"] for r in results if r["digest"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, results, lines=()):
        """Write all files, as far as the grading is.

        Arguments:
        results -- list of dicts: notebook, student, id, digest, rows, points, maximum
        lines -- about the class, for the page
        """
        results = sorted(results, key=lambda result: _sorting(result["student"]))
        make_folder(self.folder)
        texts = dict(zip(_feedback_names(results), map(feedback, results), strict=True))
        for name, text in texts.items():
            if self._written.get(name) != text:
                with whole_file(self.folder / name) as file:
                    file.write_text(text, "utf-8", "replace")
        self._written = texts
        with whole_file(self.table) as file:
            _write_csv(file, _table(results))
        with whole_file(self.grades) as file:
            _write_csv(file, _grades(results))
        with whole_file(self.page) as file:
            file.write_text(as_html(results, lines), "utf-8", "replace")
        with whole_file(self._state) as file:
            file.write_text(json.dumps({"graded by nst": results}), "utf-8", "replace")


def _sorting(name):
    """Sort 2 before 10, and a before B."""
    parts = re.split(r"(\d{1,9})", printable(name, 4096).casefold())
    return [int(part) if part.isdecimal() else part for part in parts], str(name)


def _feedback_names(results):
    used = set()
    for result in results:
        base = "".join(c if _is_of_name(c) else "_" for c in printable(result["student"], 80))
        base = base.strip("._ ").encode()[:180].decode(errors="ignore") or "submission"
        name, number = f"{base}.txt", 1
        while name.casefold() in used:
            number += 1
            name = f"{base}-{number}.txt"
        used.add(name.casefold())
        yield name


def _is_of_name(character):
    kept = unicodedata.category(character)[0] in "LMN" or character in JOINERS
    return kept or character in " .-_'"


def diagnoses(rows, width=1000):
    """List (function, diagnosis); if it is the same for all functions, once."""
    found = [(row["function"], printable(row["diagnosis"], width)) for row in rows]
    if len({text for _, text in found}) == 1:
        found = [("all", found[0][1])]
    return [(function, text) for function, text in found if text]


def feedback(result):
    """Write to one student, in the words of the public tests."""
    name = printable(result["student"], 120)
    verdicts = {row["function"]: row["verdict"] for row in result["rows"]}
    found, count = dict(diagnoses(result["rows"])), list(verdicts.values()).count("pass")
    score = f"{count} of {len(verdicts)} passed"
    paragraphs = [f"{name}: {score}, {result['points']:g} of {result['maximum']:g} points."]
    for function in ["all"] if "all" in found else verdicts:
        passed = "All tests passed. " if verdicts.get(function) == "pass" else ""
        text = f"{function}: {passed}{found.get(function, '')}"
        paragraphs.append(textwrap.fill(text, 90))
    return "\n\n".join(paragraphs) + "\n"


def _table(results):
    yield ["student", "submission", "passed", *COLUMNS, "points", "maximum", "diagnosis"]
    for result in results:
        verdicts = [row["verdict"] for row in result["rows"]]
        scores = [*verdicts, result["points"], result["maximum"], _comment(result)]
        yield [result["student"], result["notebook"], verdicts.count("pass"), *scores]


def _grades(results):
    """Yield rows for the import of grades by Moodle and Canvas, which know these columns."""
    yield ["Identifier", "ID", "Student", "Grade", "Feedback comments"]
    for result in results:
        number = result["id"]
        participant = f"Participant {number}" if number else ""
        yield [participant, number, result["student"], result["points"], _comment(result)]


def _comment(result):
    return " / ".join(": ".join(pair) for pair in diagnoses(result["rows"], 500))


def _write_csv(path, rows):
    with open(path, "w", encoding="utf-8-sig", errors="replace", newline="") as file:
        csv.writer(file).writerows([_safe(cell) for cell in row] for row in rows)


def _safe(cell):
    """Keep a spreadsheet from computing a cell, or from splitting it: some split at semicolons."""
    if not isinstance(cell, str):
        return cell
    text = printable(cell, 4000).replace(";", ",")
    starts = unicodedata.normalize("NFKC", text)[:1]
    return f"'{text}" if starts in tuple("=+-@") else text


def as_html(results, lines=()):
    """Make a page that needs nothing else: a row for each submission, its diagnosis on a click."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    submissions = [
        {
            "student": printable(result["student"], 120),
            "verdicts": [row["verdict"] for row in result["rows"]],
            "points": f"{result['points']:g} of {result['maximum']:g}",
            "diagnoses": diagnoses(result["rows"]),
        }
        for result in results
    ]
    right = sum(set(each["verdicts"]) == {"pass"} for each in submissions)
    lines = [printable(line, 4000) for line in [most_frequent_mistake(results), *lines] if line]
    return template.render(submissions=submissions, columns=COLUMNS, right=right, lines=lines)
