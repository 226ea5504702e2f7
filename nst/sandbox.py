"""A room for one submission: a process with limits, files of its own, and nobody else's.

With bubblewrap, on Linux: no network, no other files, no other processes, and nothing is left of
what it did. Without, all that a process and a folder of its own can give.
"""

import ast
import functools
import os
import queue
import runpy
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from nst import frames
from nst.config import IN_CHECKOUT, PROJECT
from nst.hints import DIES, NEVER_RETURNS

PACKAGE = Path(__file__).resolve().parent
HIDDEN = PACKAGE.parent if IN_CHECKOUT else PACKAGE  # where solutions and tests lie
WARM_LIMIT = 300  # seconds; it is an import of TensorFlow
SCRATCH = 2**28  # bytes that a submission may write in all
SYSTEM = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/localtime",
]


class Lost(Exception):
    """The process is gone: why, in a sentence for the student."""


class Sandbox:
    """A process that examines one submission; it starts at once, and warms up meanwhile."""

    def __init__(self, files):
        """Start the process. `files` is what it may read: {path: bytes}, from `stage`."""
        self._token = secrets.token_hex(8)
        self._home = Path(tempfile.mkdtemp(prefix="nst-grade-"))
        self._inbox, self._turn, self.gone = queue.Queue(), 0, False
        try:
            for name, data in files.items():
                path = self._home / "stage" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            (self._home / "stage" / "notebooks").mkdir()  # so it is a checkout to nst.config
            (self._home / "work").mkdir()
            self._process = self._start()
        except BaseException:
            remove(self._home)
            raise
        threading.Thread(target=self._listen, daemon=True).start()

    def _start(self):
        stage, work = self._home / "stage", self._home / "work"
        command = [sys.executable, "-B", "-m", "nst.examining"]
        if bubblewrap():
            command = [*_walls(stage), *command]
            stage, work = Path("/stage"), Path("/tmp/work")
        else:
            command.append("--kept")
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(work),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(stage),
            "MPLBACKEND": "agg",
            "MPLCONFIGDIR": str(work / ".matplotlib"),
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "NST_SANDBOX": self._token,
            **({"NST_OWN_USERS": "1"} if bubblewrap() else {"TMPDIR": str(work)}),
        }
        kept = ("SYSTEMROOT", "TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "LD_LIBRARY_PATH")
        environment |= {name: os.environ[name] for name in kept if name in os.environ}
        return subprocess.Popen(
            command,
            cwd=self._home / "work",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _listen(self):
        """Put what comes into the inbox, until the first thing that is no answer."""
        try:
            while self._inbox.qsize() < 3:
                self._inbox.put(frames.read(self._process.stdout, header_limit=2**20))
            raise frames.Garbled("it floods the grader")
        except (EOFError, OSError, ValueError) as error:
            self._inbox.put(error)

    def warm(self):
        """Wait until the process is ready for a submission; raise OSError where it never is."""
        try:
            fields, _ = self._answer(WARM_LIMIT)
        except Lost:
            fields = {}
        if fields != {"warm": True}:
            self.stop()
            raise OSError("the process for it does not start")

    def ask(self, fields, arrays=None, limit=60):
        """Send a request; return the answer, (fields, arrays), which is a stranger's data.

        Raises Lost where none comes within `limit` seconds, or where it is no answer.
        """
        self._turn += 1
        with suppress(OSError):  # the answer is an end then
            frames.write(self._process.stdin, fields | {"turn": self._turn}, arrays)
        answer, arrays = self._answer(limit)
        if answer.pop("turn", None) != self._turn:
            self.stop()
            raise Lost("it writes to the grader by itself. Leave file descriptors alone.")
        return answer, arrays

    def _answer(self, limit):
        try:
            answer = self._inbox.get(timeout=limit)
        except queue.Empty:
            self.stop()
            raise Lost(NEVER_RETURNS) from None
        if isinstance(answer, Exception):
            self.stop()
            garbled = "it writes to the grader by itself. Leave file descriptors alone."
            raise Lost(garbled if isinstance(answer, frames.Garbled) else DIES)
        return answer

    def stop(self):
        """End the process and all that it started, and remove its files; again is harmless."""
        if self.gone:
            return
        self.gone = True
        if not bubblewrap():
            _end_all(self._process.pid, self._token)
        self._process.kill()  # with it goes all that lives in its bubblewrap
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                stream.close()
        remove(self._home)


def _end_all(keeper, token):
    """End the descendants of a process, and what carries the token in its environment."""
    for _ in range(20):  # one that forks all the time is faster than one look
        found = []
        with suppress(psutil.Error):
            found += psutil.Process(keeper).children(recursive=True)
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid != keeper and process.environ().get("NST_SANDBOX") == token:
                    found.append(process)
        found = [process for process in found if _is_alive(process)]
        if not found:
            return
        for process in found:
            with suppress(psutil.Error):
                process.suspend()
        for process in found:
            with suppress(psutil.Error):
                process.kill()


def _is_alive(process):
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def remove(folder):
    """Remove a folder, whatever rights its content has."""

    def unlock(function, path, _):
        with suppress(OSError):
            os.chmod(os.path.dirname(path), stat.S_IRWXU)
            os.chmod(path, stat.S_IRWXU)
            function(path) if function is not os.open else shutil.rmtree(path, True)

    for _ in range(3):
        if not os.path.lexists(folder):
            return
        shutil.rmtree(folder, onerror=unlock)


# --- bubblewrap --------------------------------------------------------------------------------


@functools.cache
def bubblewrap():
    """Tell whether bubblewrap is there and may do its work here: containers often forbid it."""
    if sys.platform != "linux" or not shutil.which("bwrap"):
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = [*_walls(Path(folder)), sys.executable, "-c", "print('ready')"]
        environment = {"PATH": "/usr/bin:/bin"}
        with suppress(OSError, subprocess.SubprocessError):
            run = subprocess.run(command, env=environment, capture_output=True, timeout=60)
            return run.stdout == b"ready\n"
    return False


def _walls(stage):
    """Begin a command line that runs what follows in bubblewrap."""
    command = [shutil.which("bwrap"), "--unshare-all", "--die-with-parent", "--new-session"]
    command += ["--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]
    command += ["--size", str(SCRATCH), "--tmpfs", "/tmp", "--dir", "/tmp/work"]
    # A folder within another comes after it: what the project holds is hidden, but for its .venv.
    seen = [*(("--ro-bind", path) for path in _readable()), ("--tmpfs", str(HIDDEN))]
    for option, path in sorted(seen, key=lambda each: len(Path(each[1]).parts)):
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += [option, path, path] if option == "--ro-bind" else [option, path]
    command += ["--ro-bind", str(stage), "/stage", "--chdir", "/tmp/work"]
    return [*command, "--remount-ro", "/dev", "--remount-ro", "/"]


def _readable():
    """List what Python and its packages need; of sys.path nothing else, as it may be the class."""
    packages = [path for path in map(os.path.realpath, sys.path) if path.endswith("-packages")]
    found = [*SYSTEM, os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix), *packages]
    wide = (os.path.sep, os.path.realpath(Path.home()))
    return [path for path in dict.fromkeys(found) if os.path.exists(path) and path not in wide]


# --- what a submission may read ----------------------------------------------------------------


def stage():
    """Collect what a submission may read, as {path: bytes}.

    That is the course's helpers and all that they import, the miniature network, and fresh
    pictures, so that nobody can know beforehand what the training costs; no solution, no test.
    """
    files = {
        name: _file(name).read_bytes() for name in _imported("nst_utils.py", "nst/examining.py")
    }
    write_fake_vgg = runpy.run_path(str(PROJECT / "tests" / "fake_vgg.py"))["write_fake_vgg"]
    with tempfile.TemporaryDirectory() as folder:
        write_fake_vgg(Path(folder, "weights.mat"))
        files["weights.mat"] = Path(folder, "weights.mat").read_bytes()
    return files | _fresh_pictures()


def _file(name):
    return PACKAGE.parent / name


def _imported(*names):
    """List files of the project by what they import, and what that imports, and so on."""
    found, open_ends = {"nst/__init__.py", "tf1_compat.py"}, {*names, "nst/__init__.py"}
    while open_ends:
        name = open_ends.pop()
        found.add(name)
        for node in ast.walk(ast.parse(_file(name).read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                parts = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                files = {f"{part.replace('.', '/')}.py" for part in parts if part.startswith("nst")}
                open_ends |= {file for file in files - found if _file(file).is_file()}
            elif isinstance(node, ast.Import):
                files = {f"{alias.name.replace('.', '/')}.py" for alias in node.names}
                open_ends |= {file for file in files - found if _file(file).is_file()}
    return sorted(name for name in found if _file(name).is_file())


def _fresh_pictures():
    """Roll the project's pictures by a random way: {path: bytes} of JPEGs of 400×300."""
    rng, found = np.random.default_rng(), {}
    for file in sorted((PROJECT / "images").glob("*.jpg")):
        with Image.open(file) as image:
            if image.size != (400, 300):
                continue
            pixels = np.array(image.convert("RGB"))
        rolled = np.roll(pixels, rng.integers(20, 280, 2), axis=(0, 1))
        jpeg = BytesIO()
        Image.fromarray(rolled).save(jpeg, "JPEG", quality=90)
        found[f"images/fresh-{len(found)}.jpg"] = jpeg.getvalue()
    return found
