"""What a teacher reads of a grading: tables, a page, a spreadsheet, and feedback to send.

The names and diagnoses come from strangers: no control character is printed, a row stays one line.
"""

import csv
import html
import os
import re
import shutil
import textwrap
import unicodedata
from pathlib import Path

from nst.assignment.spec import FUNCTIONS, TRAINING
from nst.core.files import make_folder, whole_file

COLUMNS = [name.removeprefix("compute_").partition(",")[0] for name in (*FUNCTIONS, TRAINING)]
NAME_WIDTH = 40
NO_BUBBLEWRAP = (
    "bubblewrap is missing, or is not allowed to work here, so submissions can read your files and "
    "use the network: install it (apt install bubblewrap), or grade in a container"
)


def printable(text, width=500):
    """Make one line of any text: no control, private or unassigned characters, cut to `width`."""
    text = "".join(_visible(character) for character in str(text)[: 4 * width])
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"


def _visible(character):
    if character.isspace():
        return " "
    return "�" if unicodedata.category(character)[0] == "C" else character


def short_name(path, width=NAME_WIDTH):
    """Show a path in `width` characters: its end, which tells it from the others."""
    text = printable(path, 4096)
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


def report_files(report):
    """Name what a report consists of: the page, the spreadsheet, the folder of feedback.

    Raises FileExistsError where one is there already.
    """
    page = Path(report)
    if page.suffix.lower() not in (".html", ".htm"):
        page = page.with_name(page.name + ".html")
    files = page, page.with_suffix(".csv"), page.with_name(page.stem + "-feedback")
    for file in files:
        if os.path.lexists(file):
            raise FileExistsError(f"{file} is there already: name another report, or move it away")
    return files


def write_report(report, results):
    """Write the page, the spreadsheet, and a file of feedback for each submission.

    Arguments:
    report -- path of the page
    results -- list of dicts: notebook, rows

    Returns:
    the three paths
    """
    page, table, folder = report_files(report)
    results = sorted(results, key=lambda result: _sorting(result["notebook"]))
    make_folder(folder)
    for result, name in zip(results, _feedback_names(results), strict=True):
        with whole_file(folder / name) as file:
            file.write_text(feedback(result), "utf-8", "replace")
    with whole_file(table) as file:
        _write_csv(file, results)
    with whole_file(page) as file:
        file.write_text(as_html(results), "utf-8", "replace")
    return page, table, folder


def _sorting(name):
    """Sort 2 before 10, and a before B."""
    parts = re.split(r"(\d{1,9})", printable(name, 4096).casefold())
    return [int(part) if part.isdecimal() else part for part in parts], str(name)


def _feedback_names(results):
    used = set()
    for result in results:
        base = re.sub(r"[^\w.-]+", "_", printable(result["notebook"], 4096)).strip("._")[-80:]
        name, number = f"{base or 'submission'}.txt", 1
        while name.casefold() in used:
            number += 1
            name = f"{base or 'submission'}-{number}.txt"
        used.add(name.casefold())
        yield name


def diagnoses(rows, width=1000):
    """List (function, what is said about it); where the same is said about all, it is said once."""
    said = [(row["function"], printable(row["diagnosis"], width)) for row in rows]
    if len({text for _, text in said}) == 1:
        said = [("all", said[0][1])]
    return [(function, text) for function, text in said if text]


def feedback(result):
    """Write to one student, in the words of the public tests."""
    name = printable(Path(result["notebook"]).name, 120)
    verdicts = {row["function"]: row["verdict"] for row in result["rows"]}
    said, count = dict(diagnoses(result["rows"])), list(verdicts.values()).count("pass")
    paragraphs = [f"{name}: {count} of {len(verdicts)} passed."]
    for function in ["all"] if "all" in said else verdicts:
        passed = "All tests passed. " if verdicts.get(function) == "pass" else ""
        text = f"{function}: {passed}{said.get(function, '')}"
        paragraphs.append(textwrap.fill(text, 90))
    return "\n\n".join(paragraphs) + "\n"


def _write_csv(path, results):
    with open(path, "w", encoding="utf-8-sig", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["submission", "passed", *COLUMNS, "diagnosis"])
        for result in results:
            verdicts = [row["verdict"] for row in result["rows"]]
            said = "; ".join(": ".join(pair) for pair in diagnoses(result["rows"], 500))
            row = [printable(result["notebook"], 300), verdicts.count("pass"), *verdicts, said]
            writer.writerow([_no_formula(cell) for cell in row])


def _no_formula(cell):
    """Keep a spreadsheet from computing what a stranger's file is called."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@") else cell


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff; overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: minmax(0, 1fr) repeat(7, 6.5rem); gap: 0 .5rem;
       padding: .3rem 0; border-bottom: 1px solid #ddd; }
.head { font-weight: 600; }
.pass { color: #176639; }
.fail { color: #a3161f; font-weight: 600; }
summary { cursor: pointer; }
summary :first-child::before { content: "▸ "; }
[open] summary :first-child::before { content: "▾ "; }
dl { margin: .5rem 1rem 1rem; }
dt { font-weight: 600; }
dd { margin: 0 0 .5rem 1rem; }
@media (max-width: 60rem) {
  .row { grid-template-columns: repeat(7, minmax(0, 1fr)); font-size: .75rem; }
  .row :first-child { grid-column: 1 / -1; font-size: 1rem; }
}
"""


def as_html(results):
    """Make a page that needs nothing else: a row for each submission, its diagnosis on a click."""
    right = sum(all(row["verdict"] == "pass" for row in r["rows"]) for r in results)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>Grades</title>\n<style>{STYLE}</style>",
            f"<h1>Grades</h1>\n<p>{len(results)} submissions, {right} of them entirely right.</p>",
            _html_row("div", "row head", ["submission", *COLUMNS]).replace("_", "_<wbr>"),
            *map(_html_submission, results),
            "</html>\n",
        ]
    )


def _html_row(element, kind, texts):
    cells = (f'<span class="{html.escape(text)}">{html.escape(text)}</span>' for text in texts[1:])
    name = f"<span>{html.escape(texts[0])}</span>"
    return f'<{element} class="{kind}">{name}{"".join(cells)}</{element}>'


def _html_submission(result):
    texts = [printable(result["notebook"], 120), *(row["verdict"] for row in result["rows"])]
    said = [tuple(map(html.escape, pair)) for pair in diagnoses(result["rows"])]
    if not said:
        return _html_row("div", "row", texts)
    items = "".join(f"<dt>{function}</dt><dd>{text}</dd>" for function, text in said)
    return f"<details>{_html_row('summary', 'row', texts)}<dl>{items}</dl></details>"
