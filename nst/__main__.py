"""The project's command: `python -m nst`, or `nst` if it is installed."""

import difflib
import importlib
import os
import sys

from nst.core.interrupts import exit_now, on_interrupt

COMMANDS = {  # name: (module that has its main, what it does)
    "lab": ("nst.lab.jupyterlab", "open the lab in JupyterLab"),
    "studio": ("nst.studio.server", "paint on a page in the browser"),
    "run": ("nst.lab.runner", "run the lab, another notebook or a script from the terminal"),
    "paint": ("nst.painting.command", "paint a photo in the style of a painting, quickly"),
    "gallery": ("nst.gallery.command", "paint a list of pairs, here or on a Dask cluster"),
    "grade": ("nst.grading.command", "grade notebooks"),
    "weights": ("nst.vgg.download", "fetch VGG-19's weights"),
    "kernel": (
        "nst.lab.tf1",
        "prepare Jupyter for the lab, and for notebooks of 2018",
    ),
    "exercises": ("nst.assignment.exercises", "make the edition with blanks from the solved lab"),
}


def main():
    """Pass the arguments on to the command that the first of them names."""
    _check_folder()
    for stream in (sys.stdout, sys.stderr):  # a console of code page 1251 has no ×
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    name, arguments = (sys.argv[1] if sys.argv[1:] else "--help"), sys.argv[2:]
    if name in COMMANDS:
        # jsonschema, which validates notebooks, takes 1.5 s to compile this grammar of web
        # addresses; without it addresses are not checked, and notebooks have none
        sys.modules.setdefault("rfc3987_syntax", None)
        with on_interrupt(exit_now):  # during imports, a KeyboardInterrupt would print a traceback
            command = importlib.import_module(COMMANDS[name][0]).main
        try:
            return command(from_environment(arguments))
        except KeyboardInterrupt:
            sys.exit("\nStopped")
    if name not in ("-h", "--help"):
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        advice = f"did you mean nst {near[0]}?" if near else f"choose one of {', '.join(COMMANDS)}"
        print(f"nst: there is no command {name}: {advice}", file=sys.stderr)
        sys.exit(2)
    print("usage: nst COMMAND …\n")
    for command, (_, what) in COMMANDS.items():
        print(f"  nst {command:10} {what}")
    print("\nnst COMMAND --help lists its options; example: nst run photo.jpg")


def _check_folder():
    try:
        os.getcwd()
    except FileNotFoundError:
        sys.exit("the folder you are in was deleted: change to another one and try again")


def from_environment(arguments, environment=os.environ):
    """Replace --environment=CONTENT,SIZE by --content=… and --size=….

    Values get from make to Python in this way without passing through a shell. A variable that is
    unset or empty gives no option; NOTEBOOK: with a colon gives an argument without a name.
    """
    options, unnamed = [], []
    for argument in arguments:
        flag, _, names = argument.partition("=")
        if flag != "--environment":
            options.append(argument)
            continue
        for name in names.split(","):
            value = environment.get(name.removesuffix(":"))
            if value and name.endswith(":"):
                unnamed.append(value)
            elif value:
                options.append(f"--{name.lower()}={value}")
    return [*options, "--", *unnamed] if unnamed else options


if __name__ == "__main__":
    main()
