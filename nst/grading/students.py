"""Students: their names, their points, the class list, and the most common mistake of a class."""

import argparse
import csv
import re
import unicodedata
from collections import Counter
from pathlib import Path

from nst.assignment.spec import FUNCTIONS, TRAINING

SHORT_NAMES = {name: name.removeprefix("compute_").partition(",")[0] for name in FUNCTIONS}
SHORT_NAMES[TRAINING] = "training"
MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_")  # a folder or a file
BLACKBOARD = re.compile(r".*?_(?P<name>[^_]+)(?P<id>)_attempt_\d{4}-\d\d-\d\d")
CANVAS = re.compile(r"(?P<name>[^\W\d_][^\d_]+)_(?:LATE_)?(?P<id>\d{3,})_")


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
    found = [MOODLE.match(part) for part in parts]
    for match in filter(None, [*found, BLACKBOARD.match(path.name), CANVAS.match(path.name)]):
        return match["name"].strip(), match["id"]
    return (parts[0] if folder and len(parts) > 1 else path.name.partition(".ipynb")[0]), ""


def weights(text):
    """Parse "content_cost:3,gram_matrix:2" as {function: points}; what is not named gets none."""
    names = {short: name for name, short in SHORT_NAMES.items()}
    found = {}
    for item in text.split(","):
        name, _, number = map(str.strip, item.partition(":"))
        try:
            found[names[name.removeprefix("compute_")]] = float(number)
        except (KeyError, ValueError):
            raise argparse.ArgumentTypeError(
                f"{item!r} is not a name and its points: write {','.join(SHORT_NAMES.values())} "
                "like content_cost:3"
            ) from None
    return found


def points(rows, weights):
    """Add up the points of rows; a mistake that only follows from another one counts once."""
    right = [row["function"] for row in rows if row["verdict"] == "pass" or row["follows"]]
    return sum(weights.get(function, 0) for function in right)


def summary(results, roster):
    """Summarize a class in lines: its most frequent mistake, and what the roster shows, if any."""
    return most_frequent_mistake(results) + (compare_with_roster(results, roster) if roster else [])


def most_frequent_mistake(results):
    """Summarize what most of a class got wrong: one line, or none if nobody did."""
    rows = [row for result in results for row in result["rows"]]
    failed = [row for row in rows if row["verdict"] == "fail" and not row["follows"]]
    if not failed:
        return []
    ((function, count),) = Counter(row["function"] for row in failed).most_common(1)
    reasons = (row["diagnosis"].partition(". ")[0] for row in failed if row["function"] == function)
    ((reason, times),) = Counter(reasons).most_common(1)
    return [
        f"Most often wrong: {SHORT_NAMES[function]} ({count} of {len(results)}). "
        f"Most frequent reason ({times}): {reason}."
    ]


def compare_with_roster(results, roster):
    """Compare submissions with a roster, from `read_roster`: lines on who is missing or unknown."""
    owners = []  # numbers in the roster, or None
    for result in results:
        keys = {_letters(result["student"]), _letters(result["id"])}
        owners.append(next((i for i, (_, own) in enumerate(roster) if own & keys), None))
    names, counts = [name for name, _ in roster], Counter(owners)
    pairs = zip(results, owners, strict=True)
    kinds = {
        "Handed in nothing": [name for i, name in enumerate(names) if not counts[i]],
        "Handed in more than once": [name for i, name in enumerate(names) if counts[i] > 1],
        "Not on the roster": [result["student"] for result, owner in pairs if owner is None],
    }
    return [f"{kind}: {', '.join(found)}." for kind, found in kinds.items() if found]


def read_roster(path):
    """Read a class list, a CSV with or without a header: list of (name, keys that identify it).

    Raises ValueError if the file cannot be read.
    """
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ValueError(f"{path} cannot be read ({reason}): name a CSV of the class") from None
    header = text.partition("\n")[0].casefold()
    rows = csv.reader(text.splitlines(), delimiter=max(",;\t", key=header.count))
    rows = [[cell.strip() for cell in row] for row in rows if any(map(str.strip, row))]
    if any(word in header for word in ("name", "student", "email", "e-mail")):
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{path} names nobody: give a row for each student")
    return list(map(_person, rows))


def _person(row):
    words = [cell for cell in row if re.search(r"[^\W\d_]", cell) and "@" not in cell]
    joined = [a + b for a in words[:3] for b in words[:3]]  # given and family name in two cells
    keys = {_letters(text) for text in (*joined, *(cell.partition("@")[0] for cell in row))}
    return " ".join(words[:2]) or row[0], keys - {""}


def _letters(text):
    """Sort the letters of a name: the same for "Zoë Álvarez", "alvarezzoe" and "ÁLVAREZ, Zoe"."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = [c for c in plain if c.isalnum()]
    return "".join(letters if text.isdecimal() else sorted(letters))
