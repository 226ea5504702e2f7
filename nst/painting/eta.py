"""The share of the work that is done, and the time that the rest takes."""

import time

import numpy as np

SETUP_EVALUATIONS = 1.2  # set-up passes of a level (style and content), in units of one evaluation
OVERHEAD_PIXELS = 5000  # fixed cost of an evaluation, expressed in pixels
MIN_SAMPLES = 3  # evaluations before the first estimate


def total_work(plans):
    """Return the work of some levels, in pixels that the network sees; see `LevelPlan`."""
    return sum((p.evaluations + SETUP_EVALUATIONS) * (p.work + OVERHEAD_PIXELS) for p in plans)


class Eta:
    """Estimates the time left: the work that is left, at the speed of the latest level.

    Arguments:
    plans -- list of LevelPlan
    """

    def __init__(self, plans):
        self._plans, self._total = plans, total_work(plans)
        self._seconds_per_pixel = None

    def begin(self, index):
        """Begin a level."""
        self._index, self._ticks = index, []

    def tick(self):
        """Count an evaluation; return `now`."""
        self._ticks.append(time.perf_counter())
        seconds = np.diff(self._ticks)  # the first evaluation also builds the graph
        if len(seconds) >= (1 if self._seconds_per_pixel else MIN_SAMPLES):
            work = self._plans[self._index].work + OVERHEAD_PIXELS
            self._seconds_per_pixel = float(np.median(seconds)) / work
        return self.now()

    def now(self):
        """Return the share of the work that is done, and the seconds left or None if unknown."""
        plan = self._plans[self._index]
        evaluations = plan.evaluations - len(self._ticks)
        evaluations += 0 if self._ticks else SETUP_EVALUATIONS
        left = total_work(self._plans[self._index + 1 :])
        left += evaluations * (plan.work + OVERHEAD_PIXELS)
        known = self._seconds_per_pixel is not None
        return 1 - left / self._total, left * self._seconds_per_pixel if known else None
