"""Grade one submission: have its functions tried in a sandbox, judge here what came out.

This process runs no line of a submission.
"""

import inspect
from contextlib import suppress

import numpy as np

from nst.assignment.hints import DIES, NEVER_RETURNS
from nst.assignment.spec import FUNCTIONS, PUBLISHED, TRAINING
from nst.assignment.verdict import HELPERS, Outcome, check_facts, draw, judge, with_right_helper
from nst.core.tensorflow import import_tensorflow
from nst.grading.protocol import WALL_CLOCK_FACTOR
from nst.grading.sandbox import Closed, Lost
from nst.grading.submissions import read_cells
from nst.grading.training_check import Rehearsals

ALL = [*FUNCTIONS, TRAINING]
TRAINING_SHARE, START_SHARE = 4, 2  # of the limit of a function
GRACE = 3  # seconds beyond its limits after which a process is ended


class Examiner:
    """Grades submissions; several threads may ask at once."""

    def __init__(self, rooms, limit):
        """Have `rooms` to examine in, and `limit` seconds of processor time for a function."""
        import_tensorflow().logging.set_verbosity("ERROR")
        self.rooms, self.limit = rooms, limit
        self.rehearsals = Rehearsals(rooms.files["weights.mat"])

    def grade(self, path, folder=None):
        """Grade one file; whatever it does becomes its rows.

        Arguments:
        path -- notebook or script
        folder -- what a link must not lead out of

        Returns:
        list of dicts: function, published (of the training: our costs), got, verdict ("pass" or
        "fail"), diagnosis; a value is None where there is none

        Raises Closed where the rooms were closed meanwhile.
        """
        examination = None
        try:
            cells = read_cells(path, folder)
            examination = Examination(self, cells)
            outcomes = examination.outcomes()
        except Closed:
            raise
        except ValueError as error:
            outcomes = dict.fromkeys(ALL, (Outcome(None, str(error)), None))
        except OSError as error:
            said = f"it could not be graded here ({error.strerror or error}): grade it again."
            outcomes = dict.fromkeys(ALL, (Outcome(None, said), None))
        except Exception as error:
            outcomes = dict.fromkeys(ALL, (_broken(error), None))
        finally:
            if examination:
                examination.stop()
        if self.rooms.closed:
            raise Closed
        return [_row(name, *outcomes[name]) for name in ALL]


class Examination:
    """The examination of one submission, in a new sandbox each time it has ended one."""

    def __init__(self, examiner, cells):
        self._examiner, self._cells = examiner, cells
        self._sandbox, self._hanging, self._first = None, [], True
        self._broken = ""
        self._ran = set()  # functions that gave more than None, or an error
        self._rng = np.random.default_rng()  # nobody can know these inputs beforehand
        self._sizes = [int(n) for n in self._rng.permutation([3, 5, 7, 11])[:3]]

    def stop(self):
        if self._sandbox:
            self._sandbox.stop()

    def outcomes(self):
        """Examine everything: {name: (Outcome, published value)}.

        A function that fails, or whose helper does, is tried once more with a right helper. This
        comes last, when a right helper is of no more use to a submission that keeps it.
        """
        found = {name: self._try(name) for name in FUNCTIONS}
        failed = [name for name in FUNCTIONS if found[name].complaint]
        training = self._train(failed)
        for name, (helper, right) in HELPERS.items():
            if name in self._ran and (found[name].complaint or found[helper].complaint):
                source = {helper: inspect.getsource(right)}
                blamed = found[helper].complaint and f"{helper}: {found[helper].complaint}"
                with_right = self._try(name, source)
                found[name] = with_right_helper(name, found[name], with_right, blamed)
        return {name: (found[name], PUBLISHED.get(name)) for name in FUNCTIONS} | {
            TRAINING: training
        }

    def _try(self, name, helpers=None):
        samples = draw(name, self._rng, self._sizes)
        arrays = {f"{i}.{j}": a for i, sample in enumerate(samples) for j, a in enumerate(sample)}
        request = {"name": name, "counts": [len(s) for s in samples], "helpers": helpers or {}}
        fields, values = self._ask(request, arrays, self._examiner.limit)
        try:
            check_facts(fields)
            if values or "stops" in fields:
                self._ran.add(name)
            return judge(name, samples, fields, values)
        except Exception as error:  # it made these facts and values
            return _broken(error)

    def _train(self, failed):
        if self._hanging:
            said = f"it did not run, as {self._hanging[0]} does not return."
            return Outcome(None, said), None
        limit = TRAINING_SHARE * self._examiner.limit
        seed = int(self._rng.integers(2**32))
        fields, arrays = self._ask({"name": TRAINING, "seed": seed}, {}, limit)
        if failed and fields.get("complaint") in (NEVER_RETURNS, DIES):
            # such as a Gram matrix of the wrong side, of 120,000 × 120,000 entries
            said = f"it takes more time or memory than a right one. First put {failed[0]} right."
            return Outcome(None, said), None
        try:
            return self._examiner.rehearsals.judge(fields, arrays, seed)
        except Exception as error:
            return _broken(error), None

    def _ask(self, request, arrays, limit):
        name = request["name"]
        try:
            self._begin()
            request["limit"] = limit
            fields, arrays = self._sandbox.ask(request, arrays, WALL_CLOCK_FACTOR * limit + GRACE)
        except Lost as lost:
            fields, arrays = {"complaint": str(lost)}, {}
        gone = self._sandbox.gone and not self._broken
        if gone or fields.get("complaint") == NEVER_RETURNS:
            self._hanging.append(name)
        return fields, arrays

    def _begin(self):
        """Have a sandbox that holds the submission."""
        if self._broken:  # it would be so again
            raise Lost(self._broken)
        if self._sandbox and not self._sandbox.gone:
            return
        self._sandbox = self._examiner.rooms.take(self._first)
        self._first = False
        limit = START_SHARE * self._examiner.limit
        hanging = [name for name in self._hanging if name in FUNCTIONS]
        submission = {"cells": self._cells, "hanging": hanging, "limit": limit}
        try:
            fields, _ = self._sandbox.ask(submission, limit=WALL_CLOCK_FACTOR * limit + GRACE)
        except Lost as lost:
            fields = {"complaint": str(lost)}
        if "unprepared" in fields:
            said = str(fields["unprepared"])[:200]
            raise OSError(said)
        if "complaint" in fields:
            said = str(fields["complaint"])[:400]
            self._sandbox.stop()
            self._broken = f"its imports and definitions do not run: {said}"
            raise Lost(self._broken)


def _broken(error):
    return Outcome(None, f"it broke the grader: {type(error).__name__}: {error}"[:400])


def _row(name, outcome, published):
    return {
        "function": name,
        "published": published,
        "got": plain(outcome.got),
        "verdict": "fail" if outcome.complaint else "pass",
        "diagnosis": outcome.complaint or outcome.note,
    }


def plain(value):
    """Turn a value of any size and kind into what JSON can hold."""
    with suppress(TypeError, ValueError):
        array = np.asarray(value)
        if value is None or array.size > 100 or array.dtype.kind not in "iuf":
            return None
        return array.tolist() if np.isfinite(array).all() else str(array)
    return None
