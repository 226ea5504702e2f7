"""The share of the work that is done, and the time that the rest takes."""

import time

SETUP_EVALUATIONS = 1.2  # set-up passes of a level (style and content), in units of one evaluation
OVERHEAD_PIXELS = 5000  # fixed cost of an evaluation, expressed in pixels
MIN_SAMPLES = 3  # evaluations before the first estimate


def total_work(plans):
    """Return the work of some levels, in pixels that the network sees; see `LevelPlan`."""
    return sum((p.evaluations + SETUP_EVALUATIONS) * (p.work + OVERHEAD_PIXELS) for p in plans)


class Eta:
    """Estimates the time left from the work that is left and the speed so far."""

    def __init__(self, plans):
        self._plans, self._total = plans, total_work(plans)
        self._seconds = self._work = self._samples = 0

    def begin(self, index):
        """Begin a level."""
        self._index, self._evaluated, self._last = index, 0, None

    def tick(self):
        """Count an evaluation; return `now`."""
        now, plan = time.perf_counter(), self._plans[self._index]
        self._evaluated += 1
        if self._last is not None:  # the first evaluation of a level also builds its graph
            if self._samples and self._evaluated == 2:
                self._seconds, self._work = 0.3 * self._seconds, 0.3 * self._work
            self._seconds += now - self._last
            self._work += plan.work + OVERHEAD_PIXELS
            self._samples += 1
        self._last = now
        return self.now()

    def now(self):
        """Return the share of the work that is done, and the seconds left or None if unknown."""
        plan = self._plans[self._index]
        left = total_work(self._plans[self._index + 1 :])
        evaluations = plan.evaluations - self._evaluated
        if not self._evaluated:
            evaluations += SETUP_EVALUATIONS
        left += evaluations * (plan.work + OVERHEAD_PIXELS)
        known = self._samples >= MIN_SAMPLES
        return 1 - left / self._total, left * self._seconds / self._work if known else None
