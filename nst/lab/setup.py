"""The first cell of a notebook of this project."""

import os
import sys

from IPython import get_ipython

from nst.core.config import PROJECT
from nst.core.tensorflow import import_tensorflow
from nst.lab.diagnosis import explain_failures
from nst.lab.tf1 import install


def set_up(notebook="", as_in_the_course=False, eager=False):
    """Begin a notebook of this project, wherever Jupyter has started it.

    The working directory becomes the project's folder, TensorFlow builds graphs and keeps quiet,
    figures are stored as JPEG, which keeps the file small, and where a cell fails the notebook
    says which one to go back to.

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
    explain_failures(notebook)
