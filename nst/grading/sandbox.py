"""Sandbox for one submission: a resource-limited process that sees only its own files.

With bubblewrap, on Linux, it has no network, no other files and no other processes. Without it the
limits of memory, time and file size remain: a submission could read the user's files.
"""

import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from glob import glob
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from nst.assignment.hints import DIES, NEVER_RETURNS
from nst.core.config import IN_CHECKOUT, PACKAGE, PROJECT
from nst.grading import protocol
from nst.vgg.tiny import fake_convolutions, write_fake_vgg

MASKED_DIR = PACKAGE.parent if IN_CHECKOUT else PACKAGE  # which holds solutions and tests
WARM_LIMIT = 300  # seconds; it is an import of TensorFlow
SCRATCH = 2**28  # bytes that a submission may write in all
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts"]
SYSTEM += ["/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"]
READABLE = [  # of the project: nst_utils and what it imports, and the worker
    "nst_utils.py",
    "nst/__init__.py",
    *(f"nst/{folder}/*.py" for folder in ("core", "vgg", "lab")),
    *(
        f"nst/assignment/{name}.py"
        for name in ("__init__", "blanks", "exercises", "hints", "spec", "trial")
    ),
    *(f"nst/grading/{name}.py" for name in ("__init__", "cells", "protocol", "worker")),
]
MEDDLES = "it writes to the grader by itself. Leave file descriptors alone."
# Activations of the miniature network, as multiples of those of its drawn weights, so that each
# style layer and the content layer count alike in J; layers not named are like the one before.
SCALES = {"conv1_1": 1, "conv2_1": 7, "conv3_1": 8, "conv4_1": 42, "conv4_2": 3000, "conv4_3": 42}
SCALES |= {"conv5_1": 107}


class SandboxDied(Exception):
    """The process has ended: why, in a sentence for the student."""


class Sandbox:
    """A process that runs one submission."""

    def __init__(self, files):
        """Start the process. `files` is what it may read: {path: bytes}, from `sandbox_files`."""
        self.gone, self._ending = False, threading.Lock()
        self._home = Path(tempfile.mkdtemp(prefix="nst-grade-"))
        try:
            for name, data in files.items():
                path = self._home / "stage" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            (self._home / "stage" / "notebooks").mkdir()  # so it is a checkout to nst.core.config
            (self._home / "work").mkdir()
            self._start(*self._command(self._home / "stage", self._home / "work"))
        except BaseException:
            remove(self._home)
            raise

    def _command(self, stage, work):
        """Return the command line, and what it calls the folders of its files and its own."""
        command = [sys.executable, "-B", "-m", "nst.grading.worker"]
        if not bubblewrap():
            return command, stage, work
        return [*bwrap_command(stage), *command], Path("/stage"), Path("/tmp")

    def _start(self, command, stage, work):
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(work),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(stage),
            "MPLBACKEND": "agg",
            "MPLCONFIGDIR": str(work / ".matplotlib"),
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            **({"NST_OWN_USERS": "1"} if bubblewrap() else {"TMPDIR": str(work)}),
        }
        kept = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "LD_LIBRARY_PATH")
        environment |= {name: os.environ[name] for name in kept if name in os.environ}
        self._socket, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                command,
                cwd=self._home / "work",
                env=environment,
                stdin=other,
                stdout=other,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # so that Ctrl-C reaches the grader alone
            )

    def hand_in(self, data):
        """Put the bytes of the submission where the process reads them."""
        (self._home / "stage" / "submission").write_bytes(data)

    def warm(self):
        """Wait until the process is ready for a submission; raise OSError if it never is."""
        try:
            fields, _ = self._exchange(WARM_LIMIT)
        except SandboxDied:
            fields = {}
        if fields != {"warm": True}:
            self.stop()
            raise OSError("the process for it does not start")

    def ask(self, fields, arrays=None, limit=60):
        """Send a request; return the answer, (fields, arrays), which is untrusted data.

        Raises SandboxDied if none comes within `limit` seconds, or if it is not an answer.
        """
        return self._exchange(limit, fields, arrays)

    def _exchange(self, limit, *request):
        try:
            stream = _Stream(self._socket, limit)
            if request:
                protocol.write(stream, *request)
            return protocol.read(stream)
        except (EOFError, OSError, protocol.ProtocolError) as error:
            reason = self._reason(error)
            self.stop()
            raise SandboxDied(reason) from None

    def _reason(self, error):
        if isinstance(error, protocol.ProtocolError):
            return MEDDLES
        if isinstance(error, TimeoutError):
            return NEVER_RETURNS
        with suppress(subprocess.TimeoutExpired):
            if self._process.wait(1) == protocol.TIME_UP:
                return NEVER_RETURNS
        return DIES

    def stop(self):
        """End the process and its group, and remove its files; again is harmless."""
        with self._ending:
            if self.gone:
                return
            self.gone = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # a thread that reads stops waiting
            self._socket.close()
            remove(self._home)


class _Stream:
    """A socket as a binary stream, all of whose reads and writes end within `limit` seconds.

    So neither a process that reads nothing nor one that writes without end blocks the grader.
    """

    def __init__(self, connection, limit):
        self._socket, self._end = connection, time.monotonic() + limit

    def read(self, size):
        data = bytearray()
        while len(data) < size:
            self._set_timeout(1)  # to see soon if another thread has closed it
            with suppress(TimeoutError):
                piece = self._socket.recv(size - len(data))
                if not piece:
                    break
                data += piece
        return bytes(data)

    def write(self, data):
        self._set_timeout(float("inf"))
        self._socket.sendall(data)

    def flush(self):
        pass

    def _set_timeout(self, longest):
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, longest))


def remove(folder):
    """Remove a folder, however deep, and whatever rights its folders have.

    The system's own commands do it: Python's recursion ends at a thousand folders.
    """
    commands = [["rm", "-rf", folder]]
    if not os.path.islink(folder):
        commands.insert(0, ["chmod", "-R", "u+rwx", folder])
    for command in commands:
        with suppress(OSError):
            subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, stderr=subprocess.DEVNULL)


# --- bubblewrap --------------------------------------------------------------------------------


@functools.cache
def bubblewrap():
    """Return whether bubblewrap is installed and allowed to work, which containers often forbid."""
    if sys.platform != "linux" or not shutil.which("bwrap"):
        return False
    with suppress(OSError, subprocess.SubprocessError), tempfile.TemporaryDirectory() as folder:
        command = [*bwrap_command(Path(folder)), sys.executable, "-c", "print('ready')"]
        environment = {"PATH": "/usr/bin:/bin"}
        run = subprocess.run(command, env=environment, capture_output=True, timeout=60)
        return run.stdout == b"ready\n"
    return False


def bwrap_command(stage):
    """Return the start of a command line that runs what follows in bubblewrap."""
    command = [shutil.which("bwrap"), "--unshare-all", "--die-with-parent", "--new-session"]
    command += ["--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(SCRATCH), "--tmpfs", "/tmp"]
    # A folder within another comes after it: what the project holds is masked, but for its .venv.
    binds = readonly_binds()
    masked = [str(MASKED_DIR), *installed_copies(binds)]
    seen = [*(("--ro-bind", path) for path in binds), *(("--tmpfs", path) for path in masked)]
    for option, path in sorted(seen, key=lambda each: len(Path(each[1]).parts)):
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += [option, path, path] if option == "--ro-bind" else [option, path]
    command += ["--ro-bind", str(stage), "/stage", "--chdir", "/tmp"]
    for path in ("/dev", *masked, "/"):  # an unsized tmpfs could fill the memory
        command += ["--remount-ro", path]
    return command


def installed_copies(folders):
    """List the folders nst/ that are installed below `folders`, in any of their site-packages."""
    places = ("nst", "lib/python3*/*-packages/nst", "local/lib/python3*/*-packages/nst")
    found = (path for folder in folders for place in places for path in glob(f"{folder}/{place}"))
    return sorted({os.path.realpath(path) for path in found if os.path.isdir(path)})


def readonly_binds():
    """List what Python and its packages need; the rest of sys.path might be the class."""
    packages = [path for path in map(os.path.realpath, sys.path) if path.endswith("-packages")]
    found = [*SYSTEM, os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix), *packages]
    wide = (os.path.sep, os.path.realpath(Path.home()))
    return [path for path in dict.fromkeys(found) if os.path.exists(path) and path not in wide]


# --- what a submission may read ----------------------------------------------------------------


def sandbox_files():
    """Collect what a submission may read, as {path: bytes}.

    That is the course's helpers and all that they import, the miniature network, and fresh
    images, so that nobody can know beforehand what the training costs; no solution, no test.
    """
    root = PACKAGE.parent
    paths = [path for pattern in READABLE for path in root.glob(pattern)]
    files = {str(path.relative_to(root)): path.read_bytes() for path in paths}
    with tempfile.TemporaryDirectory() as folder:
        write_fake_vgg(Path(folder, "weights.mat"), weights=balanced_convolutions())
        files["weights.mat"] = Path(folder, "weights.mat").read_bytes()
    return files | _fresh_images()


def balanced_convolutions():
    """Make the miniature network's weights, in which no layer outweighs the others."""
    found, before, scale = {}, 1, 1
    for name, (W, b) in fake_convolutions().items():
        scale = SCALES.get(name, scale)
        found[name], before = (W * np.float32(scale / before), b * np.float32(scale)), scale
    return found


def _fresh_images():
    """Shift the project's images at random: {path: bytes} of JPEGs of 400×300 pixels."""
    found = {}
    for file in sorted((PROJECT / "images").glob("*.jpg")):
        with Image.open(file) as image:
            if image.size == (400, 300):
                shift, jpeg = [20 + secrets.randbelow(260) for _ in range(2)], BytesIO()
                ImageChops.offset(image.convert("RGB"), *shift).save(jpeg, "JPEG", quality=90)
                found[f"images/fresh-{len(found)}.jpg"] = jpeg.getvalue()
    return found
