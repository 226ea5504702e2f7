"""How much of a painting is done, and how long the rest takes."""

import time

import numpy as np

PASSES = 1.2  # of the style and of the content through a network, in evaluations
BEGIN = 0.35  # seconds: what else a level begins with, pictures and graphs
OVERHEAD = 5000  # pixels: what an evaluation takes beside its own, as a share of the work
BESIDE = 0.033  # seconds: the same on processors of 2023, before two levels have shown it
SURE = 3  # evaluations, from the second on, after which the first estimate is made


def total_work(pixels, counts):
    """Add up the work of all levels, in pixels; see `Clock`."""
    return float(np.add(counts, PASSES) @ np.add(pixels, OVERHEAD))


class Clock:
    """Estimates the time left: work is pixels times evaluations."""

    def __init__(self, pixels, counts):
        """Begin nothing yet.

        Arguments:
        pixels -- that an evaluation takes at each level
        counts -- of evaluations, for each level
        """
        self._pixels, self._counts = pixels, counts
        self._seconds = {}  # of an evaluation, by level

    def begin(self, number):
        """Note that a level begins."""
        self._number, self._ticks = number, [time.perf_counter()]

    def tick(self):
        """Note an evaluation; return `now`."""
        self._ticks.append(time.perf_counter())
        return self.now()

    def now(self):
        """Return the share of the work that is done and the seconds left, None until known."""
        number = self._number
        taken = np.diff(self._ticks)[1:]  # without the first, which comes with what has to be built
        left = np.add(self._counts, PASSES)  # evaluations
        left[:number] = 0
        if len(self._ticks) > 1:
            left[number] = self._counts[number] - len(self._ticks) + 1
        work_left = left @ np.add(self._pixels, OVERHEAD)
        done = 1 - float(work_left) / total_work(self._pixels, self._counts)
        if len(taken) >= (1 if self._seconds else SURE):
            self._seconds[number] = float(np.median(taken))  # some are slow
        if not self._seconds:
            return done, None
        pixel, beside = self._fit()
        later = len(self._pixels) - number - 1
        return done, float(left @ np.add(np.multiply(self._pixels, pixel), beside)) + later * BEGIN

    def _fit(self):
        """Return the seconds of an evaluation for each pixel, and beside them, by the last levels.

        One level alone does not show what goes beside; it is taken for BESIDE then.
        """
        *before, number = self._seconds
        seconds, pixels = self._seconds[number], self._pixels[number]
        pixel = (seconds - min(BESIDE, 0.75 * seconds)) / pixels
        if before:
            slope = (seconds - self._seconds[before[-1]]) / (pixels - self._pixels[before[-1]])
            pixel = min(max(slope, 0.1 * seconds / pixels), seconds / pixels)
        return pixel, seconds - pixel * pixels
