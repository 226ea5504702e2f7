"""Grading reports: lines for the terminal, HTML page, CSV files, feedback for each student.

The names and diagnoses are untrusted: no control character is printed, a row stays one line.
"""

import csv
import io
import json
import os
import re
import textwrap
import unicodedata
from pathlib import Path

import jinja2

from nst.core.files import make_folder, whole_file
from nst.grading.students import SHORT_NAMES

COLUMNS = list(SHORT_NAMES.values())
JOINERS = "\u200c\u200d"  # which names in some scripts need
TEMPLATE = Path(__file__).with_name("report.html.jinja")


def printable(text, width=500):
    """Make one line of any text: no control, private or unassigned characters, cut to `width`."""
    text = " ".join("".join(map(_visible, str(text)[: 4 * width])).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _visible(character):
    if character.isspace():
        return " "
    return character if character.isprintable() or character in JOINERS else "�"


def print_line(name, texts):
    """Print a line of the table of several notebooks: its header, or one notebook's verdicts."""
    columns = zip(texts, COLUMNS, strict=True)
    cells = [f"{printable(name, 40):40}", *(f"{text:{len(column)}}" for text, column in columns)]
    print("  ".join(cells).rstrip(), flush=True)


def print_rows(rows):
    """Print the rows of one notebook."""
    for row in rows:
        line = f"{row['function']:26}{row['verdict']:6}{printable(row['diagnosis'], 1000)}"
        print(line.rstrip())


class Report:
    """A page, spreadsheets, feedback files, and what a later grading needs to continue."""

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
        self.earlier, self._written = {}, {}
        try:
            results = json.loads(self._state.read_text("utf-8"))["graded by nst"]
            self.earlier = {(r["notebook"], r["digest"]): r["rows"] for r in results if r["digest"]}
        except (OSError, ValueError, KeyError, TypeError):
            files = self.page, self.table, self.grades, self.folder, self._state
            for file in filter(os.path.lexists, files):
                advice = "name another report, or move it away"
                raise FileExistsError(f"{file} exists: {advice}") from None

    def write(self, results, lines=()):
        """Write all files, as far as the grading is.

        Arguments:
        results -- list of dicts: notebook, student, id, digest, rows, points, maximum
        lines -- about the class, for the page
        """
        results = sorted(results, key=lambda result: result["student"].casefold())
        make_folder(self.folder)
        files = {
            self.table: _csv(_table(results)),
            self.grades: _csv(_grades(results)),
            self.page: as_html(results, lines),
            self._state: json.dumps({"graded by nst": results}),
        }
        for name, result in zip(_file_names(results), results, strict=True):
            files[self.folder / name] = feedback(result)
        for path, text in files.items():
            if self._written.get(path) != text:
                with whole_file(path) as file:
                    file.write_text(text, "utf-8", "replace", newline="")
        self._written = files


def _file_names(results):
    """Name a file by each student: what file systems forbid becomes _, and no name comes twice."""
    used = set()
    for result in results:
        base = re.sub(r'[<>:"/\\|?*]', "_", printable(result["student"], 80)).strip("._ ")
        base = base.encode()[:180].decode(errors="ignore") or "submission"
        name, number = f"{base}.txt", 1
        while name.casefold() in used:
            number += 1
            name = f"{base}-{number}.txt"
        used.add(name.casefold())
        yield name


def diagnoses(rows, width=1000):
    """List (function, diagnosis) as far as there is one; if all have the same, once."""
    found = [(row["function"], printable(row["diagnosis"], width)) for row in rows]
    if len({text for _, text in found}) == 1:
        found = [("all", found[0][1])]
    return [(function, text) for function, text in found if text]


def feedback(result):
    """Write to one student, in the words of the public tests."""
    rows, found = result["rows"], dict(diagnoses(result["rows"]))
    passed = [row["function"] for row in rows if row["verdict"] == "pass"]
    score = f"{len(passed)} of {len(rows)} passed, {_score(result)} points"
    paragraphs = [f"{printable(result['student'], 120)}: {score}."]
    for function in ["all"] if "all" in found else [row["function"] for row in rows]:
        praise = "All tests passed. " if function in passed else ""
        paragraphs.append(textwrap.fill(f"{function}: {praise}{found.get(function, '')}", 90))
    return "\n\n".join(paragraphs) + "\n"


def _score(result):
    return f"{result['points']:g} of {result['maximum']:g}"


def _table(results):
    yield ["student", "submission", "passed", *COLUMNS, "points", "maximum", "diagnosis"]
    for result in results:
        verdicts = [row["verdict"] for row in result["rows"]]
        scores = [*verdicts, result["points"], result["maximum"], _comment(result)]
        yield [result["student"], result["notebook"], verdicts.count("pass"), *scores]


def _grades(results):
    """Yield rows for the import of grades: Canvas goes by the order of columns, Moodle by name."""
    columns = "Student,ID,Section,Grade,Identifier,Last modified (grade),Feedback comments"
    yield columns.split(",")
    for result in results:
        number = result["id"]
        participant = f"Participant {number}" if number else ""
        student = [result["student"], number, "", result["points"]]
        yield [*student, participant, "", _comment(result)]


def _comment(result):
    return " / ".join(": ".join(pair) for pair in diagnoses(result["rows"], 500))


def _csv(rows):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([_safe(cell) for cell in row] for row in rows)
    return "\ufeff" + stream.getvalue()


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
    environment.filters |= {"printable": printable, "diagnoses": diagnoses, "score": _score}
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    right = sum(all(row["verdict"] == "pass" for row in result["rows"]) for result in results)
    return template.render(results=results, columns=COLUMNS, right=right, lines=lines)
