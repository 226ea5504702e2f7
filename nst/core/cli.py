"""Options of the commands: what may be given, and one sentence for what may not."""

import argparse
import os
import sys
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """Refuses a bad argument in one sentence, without the usage."""

    def error(self, message):
        sys.exit(f"{self.prog}: {message}: {self.prog} --help says what can be given")


def whole_number(least):
    """Return a parser of options that are whole numbers of `least` or more."""

    def number(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of {least} or more")
        return int(text)

    return number


def yes_or_no(text):
    """Parse an option that may be switched off, as by RESUME=0."""
    if text.lower() in ("1", "yes", "true", "on"):
        return True
    if text.lower() in ("0", "no", "false", "off"):
        return False
    raise argparse.ArgumentTypeError(f"{text} is neither 1 nor 0")


def own_path(text):
    """Parse an option that names a file or a folder, which may begin with ~."""
    return Path(os.path.expanduser(text))
