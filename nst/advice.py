"""How a notebook of ours begins, and what it says where its cells are run out of their order."""

import dis
import os
import re
import sys

from IPython import get_ipython

from nst.config import PROJECT
from nst.notebook import cells
from nst.tf1 import import_tensorflow, install


def set_up(notebook, as_in_the_course=False, eager=False):
    """Begin a notebook of this project, wherever Jupyter has started it.

    The working directory becomes the project's folder, TensorFlow builds graphs and keeps quiet,
    figures are stored as JPEG, which keeps the file small, and where cells are run out of their
    order the notebook says which to run first.

    Arguments:
    notebook -- name of the .ipynb file that calls this, in notebooks/
    as_in_the_course -- True: what the assignment's own cells find, too. `import tensorflow` is
        TensorFlow 1 with its seeds, `scipy.misc.imread` is there, NumPy prints as it did in 2018.
    eager -- True: TensorFlow stays as it is today, without graphs
    """
    os.chdir(PROJECT)
    # the way to this file may have been a relative one, for the folder before
    sys.path[:] = [str(PROJECT), *(path for path in sys.path if path not in (".", ".."))]
    if as_in_the_course:
        install()
    else:
        tf = import_tensorflow()
        tf.logging.set_verbosity(tf.logging.ERROR)
        if not eager:
            tf.disable_v2_behavior()  # graphs and sessions, as in TensorFlow 1
    if get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("jpeg")
    explain_out_of_order(notebook)


def explain_out_of_order(notebook):
    """Have a notebook say which cell to run first, where cells were run out of their order.

    That is where a name is used too early, the session is closed, or graphs are mixed up.

    Arguments:
    notebook -- name of the .ipynb file that calls this, in notebooks/
    """
    path = PROJECT / "notebooks" / notebook

    def explain(shell, kind, error, traceback, tb_offset=None):
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        if kind is NameError:
            print(f"{error}: {_what_to_run(path, error.name, shell)}")
        elif any(message in str(error) for message in _MIXED_UP):
            advice = _what_to_run(path, "sess", shell)
            print(f"This belongs to an earlier graph or session: {advice}; then those below it")

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((NameError, RuntimeError, ValueError), explain)


# what TensorFlow says of a model, a cost or an optimiser that is not of the session's graph
_MIXED_UP = (
    "must be from the same graph",
    "is not an element of this graph",
    "is different from the session's graph",
    "Session graph is empty",
    "Graph is finalized",
    "No variables to optimize",
    "closed Session",
)


def _what_to_run(notebook, name, shell):
    """Name the last cell above the one that the shell runs that gives `name` a value."""
    source = shell.history_manager.input_hist_raw[-1]
    request = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell_id = request.get("metadata", {}).get("cellId")  # JupyterLab's: the cell, though edited
    heading, found, unknown = "", "", "run the cells above this one first, in their order"
    try:
        for cell in cells(notebook):
            if cell["cell_type"] == "markdown":
                headings = [line for line in cell["source"].splitlines() if line.startswith("#")]
                heading = headings[-1].lstrip("# ") if headings else heading
            elif cell["source"] == source or cell.get("id", "") == cell_id:
                unknown = f"no cell above this one makes {name}, check how it is spelt"
                break
            elif _makes(cell["source"], name):
                found = f"run first the cell of “{heading}” that begins with “{_start(cell)}”"
    except (OSError, ValueError):  # renamed, moved, or just being saved
        pass
    return found or unknown


def _start(cell):
    """Return a cell's first line that is no comment."""
    code = (line.split("  #")[0] for line in cell["source"].splitlines() if line[:1] != "#")
    return next(filter(None, code))


def _makes(source, name):
    """Tell whether a cell gives a value to the global `name`."""
    for module in re.findall(r"^from (\w+) import \*", source, re.MULTILINE):
        if hasattr(sys.modules.get(module), name):
            return True
    try:
        code = compile(source, "cell", "exec")
    except SyntaxError:  # a magic
        return False
    stores = ("STORE_NAME", "STORE_GLOBAL")  # of an assignment, an import, a function
    return any(i.opname in stores and i.argval == name for i in dis.get_instructions(code))
