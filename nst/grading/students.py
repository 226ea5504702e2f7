"""Students: their names, their points, and the most common mistake of a class."""

import argparse
import csv
import re
import unicodedata
from collections import Counter
from pathlib import Path

from nst.assignment.spec import FUNCTIONS, TRAINING

SHORT_NAMES = {name: name.removeprefix("compute_").partition(",")[0] for name in FUNCTIONS}
SHORT_NAMES[TRAINING] = "training"
MOODLE = re.compile(r"(.+?)_(\d+)_assignsubmission_")  # a folder, or a file in a flat download
BLACKBOARD = re.compile(r".*?_([^_]+)_attempt_\d{4}-\d\d-\d\d")
CANVAS = re.compile(r"([^\W\d_][^\d_]+)_(?:LATE_)?(\d{3,})_")


def identify(path, folder=None):
    """Find out who handed in a file, by the names that Moodle, Canvas and Blackboard give.

    Arguments:
    folder -- folder of the class, if it was given

    Returns:
    name -- of the student if it is known, else of the student's folder or of the file
    number -- the platform's number of the submission or the user, or ""
    """
    path = Path(path)
    parts = path.relative_to(folder).parts if folder else (path.parent.name, path.name)
    for part in parts:
        if found := MOODLE.match(part):
            return found[1].strip(), found[2]
    if found := BLACKBOARD.match(path.name):
        return found[1], ""
    if found := CANVAS.match(path.name):
        return found[1], found[2]
    return (parts[0] if folder and len(parts) > 1 else path.name.partition(".ipynb")[0]), ""


# --- points ------------------------------------------------------------------------------------


def weights(text):
    """Parse "content_cost:3,gram_matrix:2" as {function: points}; what is not named gets none."""
    names = {short: name for name, short in SHORT_NAMES.items()} | {
        name: name for name in FUNCTIONS
    }
    found = {}
    for item in text.split(","):
        name, _, number = map(str.strip, item.partition(":"))
        try:
            found[names[name]] = float(number)
        except (KeyError, ValueError):
            raise argparse.ArgumentTypeError(
                f"{item!r} is not a name and its points: write {','.join(SHORT_NAMES.values())} "
                "like content_cost:3"
            ) from None
    return found


def points(rows, weights):
    """Add up the points of rows; a mistake that only follows from another one counts once."""
    right = [row["function"] for row in rows if row["verdict"] == "pass" or row["follows"]]
    total = sum(weights.get(function, 0) for function in right)
    return int(total) if total == int(total) else total


# --- the class ---------------------------------------------------------------------------------


def most_frequent_mistake(results):
    """Summarize what most of a class got wrong in one line, or return "" if nobody did."""
    failed = [
        row
        for result in results
        for row in result["rows"]
        if row["verdict"] == "fail" and not row["follows"]
    ]
    if not failed:
        return ""
    ((function, count),) = Counter(row["function"] for row in failed).most_common(1)
    said = (row["diagnosis"].partition(". ")[0] for row in failed if row["function"] == function)
    ((mistake, times),) = Counter(said).most_common(1)
    return (
        f"Most often wrong: {SHORT_NAMES[function]} ({count} of {len(results)}). "
        f"Most frequent reason ({times}): {mistake}."
    )


def compare_with_roster(results, roster):
    """Compare submissions with a roster: lines on who is missing, is there twice, or is unknown.

    Arguments:
    roster -- list of dicts from `read_roster`
    """
    found = [next((n for n, p in enumerate(roster) if _is_same(r, p)), None) for r in results]
    counts = Counter(found)
    absent = [person["name"] for number, person in enumerate(roster) if not counts[number]]
    twice = [person["name"] for number, person in enumerate(roster) if counts[number] > 1]
    unknown = [r["student"] for r, number in zip(results, found, strict=True) if number is None]
    kinds = {"Handed in nothing": absent, "Handed in more than once": twice}
    kinds["Not on the roster"] = unknown
    return [f"{kind}: {', '.join(names)}." for kind, names in kinds.items() if names]


def read_roster(path):
    """Read a class list, a CSV with or without a header: list of dicts name, keys.

    Raises ValueError if the file cannot be read.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ValueError(
            f"{path} cannot be read ({reason}): name a CSV file of the class"
        ) from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = [[c.strip() for c in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)]
    rows = [row for row in rows if any(row)]
    header = [cell.casefold() for cell in rows[0]] if rows else []
    if any(word in cell for cell in header for word in ("name", "student", "email", "e-mail")):
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{path} names nobody: give a row for each student")
    return [_person(row) for row in rows]


def _person(row):
    words = [cell for cell in row if re.search(r"[^\W\d_]", cell) and "@" not in cell]
    keys = {_key(cell.partition("@")[0]) for cell in row}
    names = words[:3] + [" ".join(reversed(cell.split(","))) for cell in words]
    keys |= {_key(a + b) for a in words[:3] for b in words[:3]}
    keys |= {_key(name) for name in names} | {_key(" ".join(name.split()[::-1])) for name in names}
    return {"name": " ".join(words[:2]) or row[0], "keys": keys - {""}}


def _is_same(result, person):
    return bool({_key(result["student"]), _key(result["id"])} & person["keys"])


def _key(text):
    """Reduce a name to what platforms keep of it: letters and digits, without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if c.isalnum())
