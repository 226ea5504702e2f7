"""Progress of a long job in a terminal or a log, and durations in words."""

import sys
import time

SECONDS_PER_LINE = 10  # in a log, where lines cannot be overwritten


def format_duration(seconds):
    """Return a duration in words: "45 s", "3 min 5 s", "2 h 5 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return "{} h {} min".format(*divmod(minutes, 60))


class ProgressLine:
    """A line that a terminal overwrites; a log gets a new line every SECONDS_PER_LINE."""

    def __init__(self):
        self._shown = ""  # text of the terminal's current line
        self._logged = -SECONDS_PER_LINE  # time of the log's last line

    def show(self, text):
        """Show `text` in place of what was shown last."""
        if sys.stdout.isatty():
            print(f"\r{text:{len(self._shown)}}", end="", flush=True)
            self._shown = text
        elif time.monotonic() >= self._logged + SECONDS_PER_LINE:
            print(text, flush=True)
            self._logged = time.monotonic()

    def print(self, text):
        """Print a line that stays."""
        self.end()
        print(text, flush=True)

    def end(self):
        """Keep the current line, and go on below it."""
        if self._shown:
            print(flush=True)
        self._shown = ""
