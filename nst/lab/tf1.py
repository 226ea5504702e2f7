"""TensorFlow 1's meaning on today's TensorFlow, for course notebooks left as they were in 2018.

    %load_ext nst           as a notebook's first line
    nst.lab.tf1.install()       the same in any Python, all but the magics
    python -m nst kernel    installs the kernel "Course (TensorFlow 1)"; `make lab` does it

What such a notebook finds again: TensorFlow 1 behind `import tensorflow`, drawing the random
numbers of the published answers; the picture functions of `scipy.misc`; NumPy's old way to print
and to name its types. All of it lasts until the kernel is restarted.
"""

import builtins
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from nst.core.cli import Parser
from nst.core.config import PACKAGE
from nst.core.tensorflow import compute_whole_float32, import_tensorflow

KERNEL = "course-tf1"


def load_ipython_extension(ipython):
    """Turn the kernel of `ipython` into one of 2018: what `%load_ext nst` calls."""

    def magic(line):
        name, _, argument = line.lstrip("%").partition(" ")
        return ipython.run_line_magic(name, argument)

    ipython.magic = magic  # IPython 9 dropped get_ipython().magic("matplotlib inline")
    sys.path.insert(0, "")  # the notebook's own nst_utils.py before ours: since 7.2 '' comes late
    install()


def install():
    """Give this process TensorFlow 1, `scipy.misc`, and NumPy's old printing and type names."""
    _install_tensorflow()
    _install_scipy_misc()
    np.set_printoptions(legacy="1.13")  # 6.76559, where NumPy 2 prints 6.7655926
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
    for function in (imread, imsave, imresize):
        setattr(scipy.misc, function.__name__, function)


def imread(name, flatten=False, mode=None):
    """`scipy.misc.imread`: a file's pixels, uint8 of shape (H, W, 3) for an RGB picture."""
    with Image.open(name) as image:
        if flatten:
            mode = "F"  # grey, float32
        elif mode is None:
            mode = {"1": "L", "P": "RGB"}.get(image.mode, image.mode)
        return np.array(image.convert(mode))


def imsave(name, arr, format=None):
    """`scipy.misc.imsave`: write (H, W), (H, W, 3) or (H, W, 4) as a picture file."""
    _picture(arr).save(name, format)


def imresize(arr, size, interp="bilinear"):
    """`scipy.misc.imresize`: `size` is (H, W), a percentage (int) or a factor (float)."""
    image = _picture(arr)
    if np.ndim(size) == 0:
        factor = size / 100 if isinstance(size, int) else size
        size = image.height * factor, image.width * factor
    height, width = map(int, size)
    return np.array(image.resize((width, height), Image.Resampling[interp.upper()]))


def _picture(arr):
    """As in scipy.misc: uint8 stays, anything else is stretched from its own range to 0-255."""
    arr = np.asarray(arr)
    if arr.ndim != 2 and arr.shape[2:] not in ((3,), (4,)):
        raise ValueError(
            f"a picture has the shape (H, W), (H, W, 3) or (H, W, 4), this array has {arr.shape}:"
            " take one image out of a batch with image[0]"
        )
    if arr.dtype != np.uint8:
        low, high = arr.min(), arr.max()
        arr = ((arr - low) * (255 / (high - low or 1)) + 0.5).astype(np.uint8)
    return Image.fromarray(arr)


def main(arguments=None):
    """Run the command `nst kernel`."""
    parser = Parser(
        prog="nst kernel",
        description="Install the Jupyter kernel “Course (TensorFlow 1)” for notebooks of 2018.",
        epilog="example: nst kernel && jupyter lab",
    )
    parser.parse_args(arguments)
    print("Installed the kernel in", install_kernel())
