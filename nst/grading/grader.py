"""Grade one submission: run it in a sandbox, judge here what came out.

This process runs no line of a submission, and parses none.
"""

import threading

import numpy as np

from nst.assignment.hints import DIES
from nst.assignment.spec import FUNCTIONS, TRAINING
from nst.assignment.verdict import draw, judge
from nst.core.tensorflow import import_tensorflow
from nst.grading import training_check
from nst.grading.protocol import WALL_CLOCK_FACTOR
from nst.grading.sandbox import Sandbox, SandboxDied, sandbox_files
from nst.grading.submissions import read_bytes

NOTEBOOK_LIMIT = 40  # seconds by the clock for a notebook, as a multiple of a function's limit
GRACE = 3  # seconds beyond its limits after which a process is ended
SANDBOXES = 6  # for one submission, which may end each of them


class GradingEnded(Exception):
    """The grading is being ended."""


class Grader:
    """Grades submissions; several threads may use it. A context manager, which ends what runs."""

    def __init__(self, limit):
        """Allow `limit` seconds of CPU time for a function; raise OSError if the disk is full."""
        import_tensorflow().logging.set_verbosity("ERROR")
        self.limit, self.files = limit, sandbox_files()
        self._lock, self._sandboxes, self._has_ended = threading.Lock(), [], False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._lock:
            self._has_ended = True
        for sandbox in self._sandboxes:
            sandbox.stop()

    def new_sandbox(self):
        """Start a sandbox; the calling thread must outlive it, as to bubblewrap it is its parent.

        Raises GradingEnded, or OSError if it does not start.
        """
        with self._lock:
            if self._has_ended:
                raise GradingEnded
            sandbox = Sandbox(self.files)
            self._sandboxes.append(sandbox)
        sandbox.warm()
        return sandbox

    def grade(self, path, folder=None):
        """Grade one file; whatever it does becomes its rows.

        Arguments:
        path -- notebook or script
        folder -- folder that a link must not lead out of

        Returns:
        list of dicts: function; verdict, "pass" or "fail"; diagnosis, or a note; follows, the
        function whose mistake alone makes this one fail, or ""

        Raises GradingEnded if the grader was left in the meantime.
        """
        examination = None
        try:
            examination = Examination(self, path.name, read_bytes(path, folder))
            rows = examination.rows()
        except GradingEnded:
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
        if self._has_ended:
            raise GradingEnded
        return rows


class Examination:
    """The examination of one submission, in a new sandbox each time it has ended one."""

    def __init__(self, grader, name, data):
        self._grader, self._name, self._data = grader, name, data
        self._sandbox, self._started = None, 0
        self._dies = ""  # how its notebook ends the process; then only its definitions run
        self._training = None  # what the training gave: fields, arrays
        self._rng = np.random.default_rng()  # nobody can know these inputs beforehand
        self._seed = int(self._rng.integers(2**32))
        self._sizes = [int(n) for n in self._rng.permutation([3, 5, 7, 11])[:3]]

    def stop(self):
        if self._sandbox:
            self._sandbox.stop()

    def rows(self):
        """Run the notebook and its training, then try each function."""
        found = {name: self._try(name) for name in FUNCTIONS}
        failed = [name for name in FUNCTIONS if found[name]]
        return [*(_row(name, found[name]) for name in FUNCTIONS), self._training_row(failed)]

    def _try(self, name):
        samples = draw(name, self._rng, self._sizes)
        arrays = {f"{i}.{j}": a for i, sample in enumerate(samples) for j, a in enumerate(sample)}
        try:
            self._run_notebook()
            seconds = WALL_CLOCK_FACTOR * self._grader.limit
            answer = self._ask("try_function", seconds, arrays, name=name)
        except SandboxDied as died:
            return str(died)
        try:
            return judge(name, samples, *answer)
        except Exception as error:  # it made this answer
            return _broken(error)

    def _training_row(self, failed):
        try:
            result = training_check.judge(*self._training, self._seed, failed)
        except Exception as error:
            result = training_check.TrainingResult(_broken(error))
        return _row(TRAINING, *result)

    def _ask(self, action, seconds, arrays=None, **details):
        request = {"do": action, "limit": self._grader.limit, **details}
        return self._sandbox.ask(request, arrays, seconds + GRACE)

    def _run_notebook(self):
        """Run the notebook up to model_nn, again in a new sandbox if its last one has ended."""
        while self._sandbox is None or self._sandbox.gone:
            if self._started == SANDBOXES:
                raise SandboxDied(DIES)
            self._sandbox = self._grader.new_sandbox()
            self._started += 1
            self._sandbox.hand_in(self._data)
            details = {"name": self._name, "seed": self._seed, "definitions_only": bool(self._dies)}
            try:
                answer = self._ask("run_notebook", NOTEBOOK_LIMIT * self._grader.limit, **details)
            except SandboxDied as died:
                self._training = {"complaint": f"it does not begin: {died}"}, {}
                if self._dies:
                    raise
                self._dies = str(died)
                continue
            if "unreadable" in answer[0]:
                raise ValueError(str(answer[0]["unreadable"]))
            self._training = self._training or answer


def _broken(error):
    return f"it broke the grader: {type(error).__name__}: {error}"[:400]


def _same_for_all(diagnosis):
    return [_row(name, diagnosis) for name in (*FUNCTIONS, TRAINING)]


def _row(name, diagnosis, note="", follows=""):
    return {
        "function": name,
        "verdict": "fail" if diagnosis else "pass",
        "diagnosis": diagnosis or note,
        "follows": follows,
    }
