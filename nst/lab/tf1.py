"""TensorFlow 1 on current TensorFlow, for course notebooks left as they were in 2018.

    %load_ext nst           as a notebook's first line
    nst.lab.tf1.install()   the same in any Python, without the magics
    python -m nst kernel    installs the kernel "Course (TensorFlow 1)"; the set-up does it

Such a notebook finds again: TensorFlow 1 as `import tensorflow`, with the random numbers of the
published answers and the usual parts of tf.contrib; the picture functions of `scipy.misc`; the old
names of Pillow, imageio and NumPy, and NumPy's printing. All of it lasts until the kernel is
restarted.
"""

import builtins
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
from PIL import Image

from nst.core.cli import Parser
from nst.core.config import IN_CHECKOUT, PACKAGE
from nst.core.tensorflow import compute_whole_float32, import_tensorflow
from nst.lab import scipy_misc
from nst.lab.diagnosis import explain_failures
from nst.lab.fresh_kernel import write_config

KERNEL = "course-tf1"


def load_ipython_extension(ipython):
    """Turn the kernel of `ipython` into one of 2018; `%load_ext nst` calls this."""

    def magic(line):
        name, _, argument = line.lstrip("%").partition(" ")
        return ipython.run_line_magic(name, argument)

    ipython.magic = magic  # IPython 9 dropped get_ipython().magic("matplotlib inline")
    ipython.register_magic_function(lambda line: None, magic_name="tensorflow_version")  # Colab's
    sys.path.insert(0, "")  # the notebook's own nst_utils.py before ours: since 7.2 '' comes late
    install()
    explain_failures()


def install():
    """Give this process TensorFlow 1, `scipy.misc`, and the old names of NumPy and its kin."""
    _install_tensorflow()
    _install_scipy_misc()
    _install_colab()
    _install_imageio()
    for old, new in {"ANTIALIAS": "LANCZOS", "CUBIC": "BICUBIC", "LINEAR": "BILINEAR"}.items():
        vars(Image).setdefault(old, Image.Resampling[new])  # Pillow 10 dropped them
    _install_printing()
    for name in ("bool", "int", "float", "complex", "object", "str"):
        vars(np).setdefault(name, getattr(builtins, name))  # NumPy 1.24 dropped np.float and kin


def install_kernel(prefix=sys.prefix):
    """Install the kernel "Course (TensorFlow 1)", which runs this Python, under `prefix`.

    Returns:
    path of the kernel's folder; an older kernel there is replaced
    """
    from ipykernel.kernelspec import write_kernel_spec
    from jupyter_client.kernelspec import KernelSpecManager

    # The kernel starts in the notebook's folder, wherever that is, and must find this package.
    here = {"PYTHONPATH": str(PACKAGE.parent)}
    with tempfile.TemporaryDirectory() as folder:
        spec = write_kernel_spec(
            Path(folder) / KERNEL,
            overrides={"display_name": "Course (TensorFlow 1)", "env": here},
            extra_arguments=["--ext=nst"],
        )
        return KernelSpecManager().install_kernel_spec(spec, KERNEL, prefix=prefix)


def _install_tensorflow():
    v1 = import_tensorflow()
    import tensorflow

    if hasattr(tensorflow, "Session"):
        return  # this is TensorFlow 1 already

    from tensorflow.python.framework import random_seed

    v1.logging.set_verbosity(v1.logging.ERROR)  # disable_v2_behavior prints a notice
    v1.disable_v2_behavior()
    compute_whole_float32(v1)
    random_seed.get_seed = _seed_by_place_in_graph(random_seed.get_seed, v1.get_default_graph)
    del v1.Tensor.__array__  # without it np.power(tensor, 2) builds an op, with it NumPy raises

    # compat.v1 alone breaks `import tensorflow.keras`: the package's __path__ and __spec__ stay,
    # and so do the names that only TensorFlow 2 has, for libraries that use them.
    tf1 = ModuleType("tensorflow")
    vars(tf1).update(vars(tensorflow))
    vars(tf1).update({name: v for name, v in vars(v1).items() if not name.startswith("__")})
    del tf1.__all__  # TensorFlow 2's
    sys.modules["tensorflow"] = tf1

    from nst.lab.contrib import contrib_modules  # here: it imports scipy.optimize

    modules = contrib_modules()
    sys.modules.update(modules)
    tf1.contrib = v1.contrib = modules["tensorflow.contrib"]

    # A `tf` that was imported before this ran means TensorFlow 1 from now on.
    for module in filter(None, map(sys.modules.get, ("__main__", "nst_utils"))):
        for name in [name for name, value in vars(module).items() if value is tensorflow]:
            setattr(module, name, tf1)


def _seed_by_place_in_graph(get_seed, get_graph):
    """Wrap `get_seed`: TF1 seeded an op by its place in the graph, TF2 counts the random ops."""

    def seeds(op_seed):
        graph = get_graph()
        if op_seed is None and graph.seed is not None:
            op_seed = graph.version  # the number of ops so far: TF1's id of the last one
        return get_seed(op_seed)

    return seeds


def _install_scipy_misc():
    import scipy

    # SciPy 1.12 emptied its scipy.misc, 2.0 has none: ours takes the name in any case.
    scipy.misc = sys.modules["scipy.misc"] = ModuleType("scipy.misc")
    for name in ("imread", "imsave", "imresize", "fromimage", "toimage"):
        setattr(scipy.misc, name, getattr(scipy_misc, name))


def _install_imageio():
    """Let imageio write pictures of floats again, as far as its version 2.9 did."""
    import imageio
    import imageio.v2

    write = imageio.v2.imwrite

    def imwrite(uri, im, format=None, **kwargs):
        im = np.asarray(im)
        if im.dtype.kind == "f":
            within = im.min() >= 0 and im.max() <= 1
            im = np.asarray(scipy_misc.toimage(im, **({"cmin": 0, "cmax": 1} if within else {})))
        return write(uri, im, format, **kwargs)

    imageio.imwrite = imageio.imsave = imageio.v2.imwrite = imageio.v2.imsave = imwrite


def _install_printing():
    """Let NumPy print as in 2018: 6.76559, and arrays of float32 with eight decimals.

    NumPy's own "1.13" mode prints an array of float32 with fewer digits than NumPy 1.13 did.
    """
    np.set_printoptions(legacy="1.13")
    numpy_1 = "numpy.core.arrayprint"
    arrayprint = sys.modules.get("numpy._core.arrayprint") or sys.modules[numpy_1]
    if arrayprint.FloatingFormat.__module__ == __name__:
        return  # done before

    class FloatingFormat(arrayprint.FloatingFormat):
        def __init__(self, data, *args, **kwargs):
            super().__init__(np.float64(data), *args, **kwargs)

        def __call__(self, x):
            return super().__call__(np.float64(x))

    arrayprint.FloatingFormat = FloatingFormat


def _install_colab():
    """Let `from google.colab import drive, files` pass outside Colab; the files are local here."""
    if "google.colab" in sys.modules:
        return

    def ignore(name, value=None):
        def call(*args, **kwargs):
            print(f"google.colab.{name} does nothing here: put files into the notebook's folder")
            return value

        return call

    colab = sys.modules["google.colab"] = ModuleType("google.colab")
    colab.drive = SimpleNamespace(mount=ignore("drive.mount"))
    colab.files = SimpleNamespace(
        upload=ignore("files.upload", {}), download=ignore("files.download")
    )


def main(arguments=None):
    """Run the command `nst kernel`."""
    parser = Parser(
        prog="nst kernel",
        description="Install the Jupyter kernel “Course (TensorFlow 1)” for notebooks of 2018, "
        "and the advice that other kernels give after a restart.",
        epilog="example: nst kernel && jupyter lab",
    )
    parser.parse_args(arguments)
    print("Installed the kernel in", install_kernel())
    if IN_CHECKOUT:
        write_config()
