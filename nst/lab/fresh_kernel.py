"""The advice of a kernel that has just started, and has not run the set-up cell."""

import sys
from pathlib import Path

from nst.core.config import PROJECT
from nst.lab.diagnosis import show_errors
from nst.lab.provenance import notebook_of

# For IPython, which reads it from the environment's folder etc/ when a kernel starts, whatever
# started the kernel. It leaves kernels outside the project alone.
CONFIG = """\
# Written by `nst kernel`: a kernel of this project's notebooks says which cells to run first.
import os, sys

project = {project!r}
if (os.getcwd() + os.sep).startswith(project + os.sep):
    sys.path.append(project)
    import nst.lab.fresh_kernel

    sys.path.remove(project)  # nst_utils is found only once the set-up cell has run
    c.InteractiveShellApp.extensions.append("nst.lab.fresh_kernel")
"""


def write_config(prefix=sys.prefix, project=PROJECT):
    """Let each kernel of the Python environment at `prefix` load this extension.

    A configuration file that is not ours stays as it is.
    """
    path = Path(prefix, "etc", "ipython", "ipython_kernel_config.py")
    if not path.exists() or __name__ in path.read_text(encoding="utf-8"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONFIG.format(project=str(project)), encoding="utf-8")


def load_ipython_extension(shell):
    """Explain names that are missing because a kernel was started anew; `set_up` takes over."""

    def lines_of(error):
        if "set_up(" not in notebook_of(shell).read_text(encoding="utf-8"):
            return None
        return [
            f"{type(error).__name__}: {error}",
            "",
            "This kernel has not run the cells above: run them first, in their order",
            "(in JupyterLab: menu Run, Run All Above Selected Cell)",
        ]

    show_errors(shell, (NameError, ModuleNotFoundError), lines_of)
