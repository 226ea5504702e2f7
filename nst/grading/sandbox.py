"""Sandbox for one submission: a resource-limited process that sees only its own files.

With bubblewrap, on Linux, it has no network, no other files and no other processes. Without it the
limits of memory, time and file size remain: a submission could read the user's files.
"""

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from glob import glob
from pathlib import Path

import numpy as np
from PIL import Image

from nst.assignment.hints import DIES, NEVER_RETURNS
from nst.assignment.spec import FUNCTIONS
from nst.core.config import IN_CHECKOUT, PACKAGE, PROJECT
from nst.grading import protocol
from nst.vgg.tiny import fake_convolutions, write_fake_vgg

MASKED_DIR = PACKAGE.parent if IN_CHECKOUT else PACKAGE  # which holds solutions and tests
SCRATCH = 2**28  # bytes that a submission may write in all
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts"]
SYSTEM += ["/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"]
COPIED = ("__init__", "blanks", "exercises", "hints", "samples", "spec", "trial")
READABLE = ["nst_utils.py", "nst/__init__.py"]  # of the project: what a worker imports
READABLE += [f"nst/{folder}/*.py" for folder in ("core", "vgg", "lab")]
READABLE += [f"nst/assignment/{name}.py" for name in COPIED]
READABLE += [f"nst/grading/{name}.py" for name in ("__init__", "cells", "protocol", "worker")]
# Activations of the miniature network, as multiples of those of its drawn weights, so that each
# style layer and the content layer count alike in J; layers not named are like the one before.
SCALES = {"conv1_1": 1, "conv2_1": 7, "conv3_1": 8, "conv4_1": 42, "conv4_2": 3000, "conv4_3": 42}
SCALES |= {"conv5_1": 107}


def run_sandbox(stage, request, data, end, stop):
    """Run one submission in a process of its own, and remove what it leaves.

    Arguments:
    stage -- folder that it may read, filled by `fill_stage`
    request, data -- what it gets: a dict, and the bytes of the submission
    end -- time of time.monotonic() at which it is ended
    stop -- Event that ends it, too

    Returns:
    messages -- list of what it wrote, (fields, arrays): untrusted data
    ending -- sentence for the student on why there are not more of them
    """
    home = Path(tempfile.mkdtemp(prefix="nst-grade-"))
    try:
        (home / "work").mkdir()
        process = _start(home, stage, request, data)
        while (status := process.poll()) is None and not stop.wait(0.02):
            if time.monotonic() > end:
                status = protocol.TIME_UP
                break
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
        process.wait()
        messages = []
        with open(home / "answers", "rb") as answers, suppress(protocol.ProtocolError):
            while len(messages) < 2 + len(FUNCTIONS):
                messages.append(protocol.read(answers))
    finally:
        remove(home)
    return messages, NEVER_RETURNS if status == protocol.TIME_UP else DIES


def _start(home, stage, request, data):
    command, work = [sys.executable, "-B", "-m", "nst.grading.worker"], home / "work"
    if bubblewrap():
        command, stage, work = [*bwrap_command(stage), *command], "/stage", "/tmp"
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(work),
        "TMPDIR": str(work),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(stage),
        "MPLBACKEND": "agg",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # oneDNN waits 10 s for every allocation that the limit of memory refuses
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "NST_OWN_USERS": "1" if bubblewrap() else "",
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
    }
    with open(home / "request", "w+b") as incoming, open(home / "answers", "wb") as answers:
        protocol.write(incoming, request)
        incoming.write(data)
        incoming.seek(0)
        return subprocess.Popen(
            command,
            cwd=home / "work",
            env=environment,
            stdin=incoming,
            stdout=answers,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C reaches the grader alone
        )


def remove(folder):
    """Remove a folder, however deep, and whatever rights its folders have.

    The system's own commands do it: Python's recursion ends at a thousand folders.
    """
    script = 'test -h "$0" || chmod -R u+rwx "$0"; rm -rf "$0"'  # chmod would follow a link
    command = ["sh", "-c", script, folder]
    with suppress(OSError):
        subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, stderr=subprocess.DEVNULL)


# --- bubblewrap --------------------------------------------------------------------------------


@functools.cache
def bubblewrap():
    """Return whether bubblewrap is installed and allowed to work, which containers often forbid."""
    if sys.platform != "linux" or not shutil.which("bwrap"):
        return False
    with suppress(OSError, subprocess.SubprocessError):
        command = [*bwrap_command(PACKAGE), sys.executable, "-c", ""]
        environment = {"PATH": "/usr/bin:/bin"}
        run = subprocess.run(command, env=environment, capture_output=True, timeout=60)
        return run.returncode == 0
    return False


def bwrap_command(stage):
    """Return the start of a command line that runs what follows in bubblewrap."""
    command = [shutil.which("bwrap"), "--unshare-all", "--die-with-parent", "--new-session"]
    command += ["--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(SCRATCH), "--tmpfs", "/tmp"]
    mounts = {path: ["--ro-bind", path, path] for path in readonly_binds()}
    masked = [str(MASKED_DIR), *installed_copies(mounts)]
    mounts |= {path: ["--tmpfs", path] for path in masked}
    # A folder within another comes after it: what the project holds is masked, but for its .venv.
    for path in sorted(mounts, key=lambda path: len(Path(path).parts)):
        # A link such as /lib stays one, or what is masked could be seen by a second path.
        command += ["--symlink", os.readlink(path), path] if os.path.islink(path) else mounts[path]
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


def fill_stage(folder):
    """Fill a folder with what a submission may read.

    That is the course's helpers and all that they import, the miniature network, and images of the
    course's size, which take the place of those that a notebook names; no solution, no test.
    """
    root = PACKAGE.parent
    for path in (path for pattern in READABLE for path in root.glob(pattern)):
        copy = folder / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    write_fake_vgg(folder / "weights.mat", weights=balanced_convolutions())
    (folder / "images").mkdir()
    for path in (PROJECT / "images").glob("*.jpg"):
        with Image.open(path) as image:
            if image.size == (400, 300):
                shutil.copyfile(path, folder / "images" / path.name)


def balanced_convolutions():
    """Make the miniature network's weights, in which no layer outweighs the others."""
    found, before, scale = {}, 1, 1
    for name, (W, b) in fake_convolutions().items():
        scale = SCALES.get(name, scale)
        found[name], before = (W * np.float32(scale / before), b * np.float32(scale)), scale
    return found
