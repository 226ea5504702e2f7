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
from nst.grading.sandbox import Sandbox, fill_stage, remove
from nst.grading.submissions import read_bytes

START, SUBMISSION_LIMIT = 30, 20  # seconds by the clock, and a multiple of a function's limit


class GradingEnded(Exception):
    """The grading is being ended."""


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
        self._stage = Path(tempfile.mkdtemp(prefix="nst-grade-"))
        fill_stage(self._stage)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        remove(self._stage)

    def grade(self, path, folder=None):
        """Grade one file; whatever it does becomes its rows.

        Arguments:
        path -- notebook or script
        folder -- folder that a link must not lead out of

        Returns:
        list of dicts: function; verdict, "pass" or "fail"; diagnosis, or a note; follows, the
        function whose mistake alone makes this one fail, or ""

        Raises GradingEnded if it was stopped in the meantime.
        """
        try:
            return self._rows(path.name, read_bytes(path, folder))
        except ValueError as error:
            return _same_for_all(f"{error}.")
        except OSError as error:
            reason = f"it could not be graded here ({error.strerror or error}): grade it again."
            return _same_for_all(reason)

    def _rows(self, name, data):
        seed = secrets.randbits(64)  # nobody can know the inputs beforehand
        request, samples = {"name": name, "limit": self._limit, "seed": seed}, draw_all(seed)
        training, answers = self._answers(request, data)
        found = {f: _judged(judge, f, samples[f], *answers[f]) for f in FUNCTIONS}
        failed = [function for function, diagnosis in found.items() if diagnosis]
        last = _judged(training_check.judge, *training, seed, failed)
        last = (last,) if isinstance(last, str) else last
        return [*(_row(*each) for each in found.items()), _row(TRAINING, *last)]

    def _answers(self, request, data):
        """Run a submission; if a function ends its process, then in a new one for those after it.

        Returns:
        training -- (fields, arrays) of its training
        answers -- {function: (fields, arrays)}
        """
        end = time.monotonic() + START + SUBMISSION_LIMIT * self._limit
        training, answers, definitions_only = None, {}, False
        while (left := [f for f in FUNCTIONS if f not in answers]) and time.monotonic() < end:
            asked = request | {"functions": left, "definitions_only": definitions_only}
            messages, ending = self._run(asked, data, end)
            found, died = messages[1:], ({"complaint": ending}, {})
            if not messages and training is None:
                raise OSError("the process for it does not start")
            if messages and "unreadable" in messages[0][0]:
                raise ValueError(str(messages[0][0]["unreadable"])[:300])
            if found:
                training = training or found[0]
                answers |= zip(left, [*found[1:], died], strict=False)
            elif not definitions_only:  # the notebook ended it
                definitions_only = True
                training = training or ({"complaint": f"it does not begin: {ending}"}, {})
            else:
                answers |= dict.fromkeys(left, died)
        return training, dict.fromkeys(FUNCTIONS, ({"complaint": NEVER_RETURNS}, {})) | answers

    def _run(self, request, data, end):
        """Run a sandbox: see `Sandbox.finish`."""
        if self._stop.is_set():
            raise GradingEnded
        messages, ending = Sandbox(self._stage, request, data).finish(end, self._stop)
        if self._stop.is_set():
            raise GradingEnded
        return messages, ending


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
