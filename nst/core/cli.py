"""Command-line options: one parser class for all commands, and the types of their values.

Every error is one sentence that names the value, what was expected, and the right spelling.
"""

import argparse
import difflib
import math
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

YES_OR_NO = dict.fromkeys(("1", "yes", "true", "on"), True)
YES_OR_NO |= dict.fromkeys(("0", "no", "false", "off"), False)


class _Input(NamedTuple):
    """An argument that is given by name or by position."""

    action: argparse.Action
    fits: Callable
    required: bool
    several: bool


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses in one sentence, without the usage.

    Options may not be abbreviated, so that a misspelled one is never taken for another.
    """

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, **settings)
        self._inputs = []
        self._switches = set()

    def add_input(self, name, fits=lambda word: True, required=False, **settings):
        """Add an argument that is given by name or by position: --content photo.jpg, or photo.jpg.

        Arguments:
        name -- of the option, without --
        fits -- function that accepts or rejects a word which is given by position
        required -- an error if it is missing
        settings -- as for `add_argument`, without a default; action="append" takes several
        """
        action = self.add_argument(f"--{name}", **settings)
        self._inputs.append(_Input(action, fits, required, settings.get("action") == "append"))
        word = f"{name.upper()} …" if self._inputs[-1].several else name.upper()
        usage = self.usage or "%(prog)s [OPTIONS]"
        self.usage = f"{usage} {word if required else f'[{word}]'}"

    def add_switch(self, name, **settings):
        """Add an option that needs no value but takes one: --resume, --resume=1, --resume=0."""
        self.add_argument(f"--{name}", type=yes_or_no, metavar="0|1", **settings)
        self._switches.add(f"--{name}")

    def parse_args(self, arguments=None, namespace=None):
        """Parse the arguments; exit with one sentence if that fails."""
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        end = arguments.index("--") if "--" in arguments else len(arguments)
        named = self._give_switches_values(arguments[:end])
        if not self._inputs:
            args, rest = self.parse_known_args([*named, *arguments[end:]], namespace)
        else:
            args, rest = self.parse_known_args(named, namespace)
            words = [word for word in rest if not word.startswith("-")] + arguments[end + 1 :]
            rest = [word for word in rest if word.startswith("-")]
        if rest:
            self.error(self._unknown(rest[0]))
        if not self._inputs:
            return args
        args, _ = self.parse_known_args([*named, *self._named_by_position(args, words)], namespace)
        for item in self._inputs:
            if item.required and getattr(args, item.action.dest) is None:
                self.error(f"{item.action.option_strings[0][2:].upper()} is missing")
        return args

    def _named_by_position(self, args, words):
        """Turn the words without a name into options, each for the first input that is open."""
        open_inputs = [i for i in self._inputs if i.several or getattr(args, i.action.dest) is None]
        options = []
        for word in words:
            item = next((i for i in open_inputs if i.fits(word)), None)
            if item is None:
                self.error(f"{word} is one argument too many")
            options.append(f"{item.action.option_strings[0]}={word}")
            if not item.several:
                open_inputs.remove(item)
        return options

    def _give_switches_values(self, arguments):
        return [
            f"{word}=1" if word in self._switches and following not in YES_OR_NO else word
            for word, following in pairwise([*arguments, ""])
        ]

    def _unknown(self, option):
        names = [name for action in self._actions for name in action.option_strings]
        name = option.partition("=")[0]
        close = difflib.get_close_matches(name.lower(), names, 1)
        return f"unknown option {name}" + (f", did you mean {close[0]}?" if close else "")

    def error(self, message):
        """Exit with one sentence that ends with the command for help."""
        sys.exit(f"{self.prog}: {message.rstrip('?')}: {self.prog} --help lists what can be given")


def whole_number(least):
    """Return a parser of options that are whole numbers of `least` or more."""

    def parse(text):
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number of {least} or more")
        return int(text)

    return parse


def number(least=0.0, most=math.inf, names=None, example=0.5):
    """Return a parser of options that are numbers, some of which may have names.

    Arguments:
    least, most -- range, both included
    names -- dict from name to number
    example -- a number in that range, for the error
    """
    names = names or {}
    span = f"of {least:g} or more" if most == math.inf else f"from {least:g} to {most:g}"
    wanted = f"{', '.join(names)} or a number {span}" if names else f"a number {span}"

    def parse(text):
        try:
            value = names[text] if text in names else float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most or math.isinf(value):
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}, such as {example:g}")
        return value

    return parse


def one_of(*names):
    """Return a parser of options that are one of `names`."""

    def parse(text):
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text} is not one of {', '.join(names)}")
        return text

    return parse


def yes_or_no(text):
    """Parse an option that may be switched off, as by RESUME=0."""
    if text.lower() not in YES_OR_NO:
        raise argparse.ArgumentTypeError(f"{text} is neither 1 nor 0")
    return YES_OR_NO[text.lower()]


def user_path(text):
    """Parse an option that names a file or a folder, which may begin with ~."""
    return Path(os.path.expanduser(text))
