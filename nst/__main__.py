"""The command of the project: `python -m nst`, or `nst` where it is installed."""

import importlib
import sys

COMMANDS = {  # name: (module that has its main, what it does)
    "run": ("nst.runner", "run the lab, or another notebook, from the terminal"),
    "paint": ("nst.easel", "paint a photograph in the manner of a painting, soon"),
    "gallery": ("nst.gallery", "paint a list of pairs, here or on a Dask cluster"),
    "grade": ("nst.grading", "grade notebooks"),
    "weights": ("nst.fetching", "get VGG-19's weights"),
    "kernel": ("nst.tf1", "install the Jupyter kernel for course notebooks of 2018"),
    "exercises": ("nst.exercises", "make the edition with blanks from the solved lab"),
}


def main():
    """Hand the arguments on to the command that is named first."""
    name, arguments = (sys.argv[1] if sys.argv[1:] else "--help"), sys.argv[2:]
    if name in COMMANDS:
        return importlib.import_module(COMMANDS[name][0]).main(arguments)
    print("usage: nst COMMAND …\n")
    for command, (_, what) in COMMANDS.items():
        print(f"  nst {command:10} {what}")
    print("\nnst COMMAND --help says more; example: nst run --content photo.jpg")
    if name not in ("-h", "--help"):
        sys.exit(f"\nnst: {name} is none of its commands: choose one of the list")


if __name__ == "__main__":
    main()
