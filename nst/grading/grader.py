"""Grade one submission: run it in a sandbox, judge here what came out.

This process runs no line of a submission, and parses none.
"""

import secrets
import tempfile
import time
from pathlib import Path

from nst.assignment.hints import NEVER_RETURNS
from nst.assignment.samples import draw_all
from nst.assignment.spec import FUNCTIONS, TRAINING
from nst.assignment.verdict import judge
from nst.core.tensorflow import import_tensorflow
from nst.grading import training_check
from nst.grading.sandbox import fill_stage, remove, run_sandbox
from nst.grading.submissions import read_bytes

START, SUBMISSION_LIMIT = 30, 20  # seconds by the clock, and a multiple of a function's limit


class Grader:
    """Grades submissions; several threads may use it. A context manager, which ends what runs."""

    def __init__(self, limit, stop):
        """Prepare to grade; raise OSError if the disk is full.

        Arguments:
        limit -- seconds of CPU time for a function
        stop -- Event that ends the grading, set by whoever wants that, and at the end
        """
        import_tensorflow().logging.set_verbosity("ERROR")
        self._limit, self._stop = limit, stop
        try:
            self._stage = Path(tempfile.mkdtemp(prefix="nst-grade-"))
            fill_stage(self._stage)
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"nothing can be graded here ({reason}): free some disk space") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        remove(self._stage)

    def grade(self, path):
        """Grade one file (Path); whatever it does becomes its rows.

        Returns:
        list of dicts: function; verdict, "pass" or "fail"; diagnosis, or a note; follows, the
        function whose mistake alone makes this one fail, or ""; no row if the grading was stopped
        """
        try:
            rows = self._rows(path.name, read_bytes(path))
        except ValueError as error:
            rows = _same_for_all(f"{error}.")
        except OSError as error:
            reason = error.strerror or error
            rows = _same_for_all(f"it could not be graded here ({reason}): grade it again.")
        return [] if self._stop.is_set() else rows

    def _rows(self, name, data):
        seed = secrets.randbits(64)  # nobody can know the inputs beforehand
        answers = self._answers({"name": name, "limit": self._limit, "seed": seed}, data)
        samples, training = draw_all(seed), answers[TRAINING]
        found = {f: _judged(judge, f, samples[f], *answers[f]) for f in FUNCTIONS}
        failed = [function for function, diagnosis in found.items() if diagnosis]
        last = _judged(training_check.judge, *training, seed, failed)
        last = (last,) if isinstance(last, str) else last
        return [*(_row(*each) for each in found.items()), _row(TRAINING, *last)]

    def _answers(self, request, data):
        """Run a submission; if it ends its process, ask what is left in a new one.

        Returns:
        {function, or TRAINING: (fields, arrays) that it gave}
        """
        end = time.monotonic() + START + SUBMISSION_LIMIT * self._limit
        questions, answers = [TRAINING, *FUNCTIONS], []
        while len(answers) < len(questions) and time.monotonic() < end and not self._stop.is_set():
            left = questions[len(answers) :]
            messages, ending = self._run(request | {"questions": left}, data, end)
            if not messages and not answers:
                raise OSError("the process for it does not start")
            if messages and "unreadable" in messages[0][0]:
                raise ValueError(str(messages[0][0]["unreadable"])[:300])
            answers += [*messages[1:], ({"complaint": ending}, {})]
        unanswered = [({"complaint": NEVER_RETURNS}, {})] * len(questions)
        return dict(zip(questions, [*answers, *unanswered], strict=False))

    def _run(self, request, data, end):
        return run_sandbox(self._stage, request, data, end, self._stop)


def _judged(judgement, *answer):
    try:
        return judgement(*answer)
    except Exception as error:  # the submission made this answer
        return f"it broke the grader: {type(error).__name__}: {error}"


def _same_for_all(diagnosis):
    return [_row(name, diagnosis) for name in (*FUNCTIONS, TRAINING)]


def _row(name, diagnosis, note="", follows=""):
    return {
        "function": name,
        "verdict": "fail" if diagnosis else "pass",
        "diagnosis": str(diagnosis or note)[:1000],
        "follows": follows,
    }
