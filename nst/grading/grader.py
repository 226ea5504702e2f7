"""Grade one submission: run it in a sandbox, judge here what came out.

This process runs no line of a submission, and parses none.
"""

import time
from collections import Counter
from contextlib import suppress

import numpy as np

from nst.assignment.hints import DIES, explain
from nst.assignment.spec import FUNCTIONS, PUBLISHED, TRAINING
from nst.assignment.verdict import Verdict, draw, judge
from nst.core.tensorflow import import_tensorflow
from nst.grading.protocol import WALL_CLOCK_FACTOR
from nst.grading.sandbox import PoolClosed, SandboxDied
from nst.grading.submissions import read_bytes
from nst.grading.training_check import ReferenceRuns

ALL = [*FUNCTIONS, TRAINING]
CELL_SHARE, NOTEBOOK_SHARE = 3, 30  # of the limit of a function
GRACE = 3  # seconds beyond its limits after which a process is ended
SANDBOXES = 6  # for one submission, which may end each of them
TENSORFLOW_2 = (
    "it is of the TensorFlow 2 edition of the assignment. This grader is for the TensorFlow 1 "
    "edition, all of its versions: grade it by hand"
)


class Grader:
    """Grades submissions; several threads may use it."""

    def __init__(self, pool, limit):
        """Grade in the sandboxes of `pool`, with `limit` seconds of CPU time for a function."""
        import_tensorflow().logging.set_verbosity("ERROR")
        self.pool, self.limit = pool, limit
        self.reference = ReferenceRuns(pool.files["weights.mat"])

    def grade(self, path, folder=None):
        """Grade one file; whatever it does becomes its rows.

        Arguments:
        path -- notebook or script
        folder -- folder that a link must not lead out of

        Returns:
        list of dicts: function, published (of the training: our costs), got, verdict ("pass" or
        "fail"), diagnosis, follows (the function whose mistake alone makes this one fail, or "");
        a value is None if there is none

        Raises PoolClosed if the pool was closed in the meantime.
        """
        examination = None
        try:
            examination = Examination(self, path.name, read_bytes(path, folder))
            rows = examination.rows()
        except PoolClosed:
            raise
        except ValueError as error:
            rows = _same_for_all(f"{error}.")
        except OSError as error:
            reason = f"it could not be graded here ({error.strerror or error}): grade it again."
            rows = _same_for_all(reason)
        except Exception as error:
            rows = _same_for_all(_broken(error))
        finally:
            if examination:
                examination.stop()
        if self.pool.closed:
            raise PoolClosed
        return rows


class Examination:
    """The examination of one submission, in a new sandbox each time it has ended one."""

    def __init__(self, grader, name, data):
        self._grader, self._name = grader, name
        self._data = np.frombuffer(data, np.uint8)
        self._sandbox, self._started = None, 0
        self._ends = Counter()  # cell: how often it has ended its process, or took too long
        self._first_error = ""  # of the training's cells
        self._rng = np.random.default_rng()  # nobody can know these inputs beforehand
        self._seed = int(self._rng.integers(2**32))
        self._sizes = [int(n) for n in self._rng.permutation([3, 5, 7, 11])[:3]]

    def stop(self):
        if self._sandbox:
            self._sandbox.stop()

    def rows(self):
        """Run the notebook and its training, then try each function."""
        trained = self._request("training", 1)
        verdicts = {name: self._try(name) for name in FUNCTIONS}
        failed = {name: found.diagnosis for name, found in verdicts.items() if found.diagnosis}
        rows = [_row(name, verdicts[name], PUBLISHED.get(name)) for name in FUNCTIONS]
        return [*rows, self._training_row(*trained, failed)]

    def _try(self, name):
        samples = draw(name, self._rng, self._sizes)
        arrays = {f"{i}.{j}": a for i, sample in enumerate(samples) for j, a in enumerate(sample)}
        counts = [len(sample) for sample in samples]
        fields, values = self._request("try_function", 1, arrays, name=name, counts=counts)
        try:
            return judge(name, samples, fields, values)
        except Exception as error:  # it made these facts and values
            return Verdict(None, _broken(error))

    def _training_row(self, fields, arrays, failed):
        if self._first_error and {"complaint", "cannot"} & {*fields}:
            fields = {"complaint": f"it does not begin: {self._first_error}"}
        try:
            found, costs, follows = self._grader.reference.judge(fields, arrays, self._seed, failed)
        except Exception as error:
            found, costs, follows = Verdict(None, _broken(error)), None, ""
        return _row(TRAINING, found, costs) | {"follows": follows}

    def _request(self, action, share, arrays=None, **details):
        """Do something in a sandbox in which the notebook has run: (fields, arrays)."""
        try:
            self._run_notebook()
            return self._ask(action, share, arrays, **details)
        except SandboxDied as died:
            return {"complaint": str(died)}, {}

    def _ask(self, action, share, arrays=None, **details):
        limit = share * self._grader.limit
        request = {"do": action, "limit": limit, **details}
        return self._sandbox.ask(request, arrays, WALL_CLOCK_FACTOR * limit + GRACE)

    def _run_notebook(self):
        """Run the notebook up to model_nn, again in a new sandbox if its last one has ended.

        A cell that ends its process, or takes too long, runs once more with nothing but its
        definitions, then not at all.
        """
        while self._sandbox is None or self._sandbox.gone:
            if self._started == SANDBOXES:
                raise SandboxDied(DIES)
            self._sandbox = self._grader.pool.take(first=self._started == 0)
            self._started += 1
            with suppress(SandboxDied):
                self._run_cells()

    def _run_cells(self):
        end = time.monotonic() + NOTEBOOK_SHARE * self._grader.limit
        try:
            fields, _ = self._ask("read", CELL_SHARE, {"data": self._data}, name=self._name)
        except SandboxDied:
            fields = {"complaint": ""}
        if "complaint" in fields:
            raise ValueError(
                f"{self._name} takes too much time or memory to read: clear its outputs"
            )
        if "unprepared" in fields:
            raise OSError(str(fields["unprepared"])[:200])
        if "edition" in fields:
            raise ValueError(TENSORFLOW_2)
        if "cells" not in fields:
            raise ValueError(str(fields.get("unreadable"))[:400])
        for number in range(min(int(fields["cells"]), 1000)):
            if time.monotonic() > end:
                return self._note_error("its cells take too long.")
            if self._run_cell(number):
                return None
        return None

    def _run_cell(self, number):
        """Run a cell; return whether it calls model_nn."""
        while self._ends[number] < 2:
            self._ends[number] += 1
            defining = self._ends[number] == 2
            try:
                details = {"number": number, "definitions_only": defining, "seed": self._seed}
                fields, _ = self._ask("run_cell", CELL_SHARE, **details)
            except SandboxDied as died:
                self._note_error(f"cell {number + 1}: {died}")
                raise
            if "complaint" not in fields:
                self._ends[number] -= 1
                if fields.get("has_session") and fields.get("stops"):  # the training has begun
                    reason = explain(str(fields["stops"]))
                    self._note_error(f"{str(fields.get('title'))[:60]} stops with {reason}")
                return "trains" in fields
            self._note_error(f"cell {number + 1}: {fields['complaint']}")
        return False

    def _note_error(self, error):
        self._first_error = self._first_error or error[:400]


def _broken(error):
    return f"it broke the grader: {type(error).__name__}: {error}"[:400]


def _same_for_all(diagnosis):
    return [_row(name, Verdict(None, diagnosis), PUBLISHED.get(name)) for name in ALL]


def _row(name, verdict, published):
    return {
        "function": name,
        "published": published,
        "got": plain(verdict.got),
        "verdict": "fail" if verdict.diagnosis else "pass",
        "diagnosis": verdict.diagnosis or verdict.note,
        "follows": "",
    }


def plain(value):
    """Convert a value of any size and kind into what JSON can hold."""
    with suppress(TypeError, ValueError):
        array = np.asarray(value)
        if value is None or array.size > 100 or array.dtype.kind not in "iuf":
            return None
        return array.tolist() if np.isfinite(array).all() else str(array)
    return None
