"""A room for one submission: a process with limits, files of its own, and nobody else's.

With bubblewrap, on Linux: no network, no other files, no other processes, and nothing is left of
what it did. Without it: what a process and a folder of its own can give.
"""

import ast
import functools
import os
import queue
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

import psutil
from PIL import Image, ImageChops

from nst.assignment.hints import DIES, NEVER_RETURNS
from nst.core.config import IN_CHECKOUT, PACKAGE, PROJECT
from nst.grading import protocol
from nst.vgg.tiny import write_fake_vgg

HIDDEN = PACKAGE.parent if IN_CHECKOUT else PACKAGE  # where solutions and tests lie
WARM_LIMIT = 300  # seconds; it is an import of TensorFlow
SCRATCH = 2**28  # bytes that a submission may write in all
SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts"]
SYSTEM += ["/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"]
GARBLED = "it writes to the grader by itself. Leave file descriptors alone."


class Lost(Exception):
    """The process is gone: why, in a sentence for the student."""


class Closed(Exception):
    """The grading is being ended."""


class Sandbox:
    """A process that examines one submission; it starts at once, and warms up meanwhile."""

    def __init__(self, files):
        """Start the process. `files` is what it may read: {path: bytes}, from `stage`."""
        self._token, self._turn = secrets.token_hex(8), 0
        self._requests, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        self.gone, self._ending = False, threading.Lock()
        self._home = Path(tempfile.mkdtemp(prefix="nst-grade-"))
        try:
            for name, data in files.items():
                path = self._home / "stage" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            (self._home / "stage" / "notebooks").mkdir()  # so it is a checkout to nst.core.config
            (self._home / "work").mkdir()
            self._process = self._start()
        except BaseException:
            remove(self._home)
            raise
        threading.Thread(target=self._talk, daemon=True).start()

    def _start(self):
        stage, work = self._home / "stage", self._home / "work"
        command = [sys.executable, "-B", "-m", "nst.grading.worker"]
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
            start_new_session=True,  # so that Ctrl-C reaches the grader alone
        )

    def _talk(self):
        """Take an answer, hand over the next request, and so on until something is amiss.

        This is a thread, so that neither a pipe that nobody reads nor one that nobody writes to
        holds the grader up.
        """
        streams = self._process.stdout, self._process.stdin
        try:
            while True:
                self._answers.put(protocol.read(streams[0], header_limit=2**20))
                protocol.write(streams[1], *self._requests.get())
        except (EOFError, OSError, ValueError) as error:
            self._answers.put(error)
        for stream in streams:
            with suppress(OSError):
                stream.close()

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
        self._requests.put((fields | {"turn": self._turn}, arrays))
        answer, arrays = self._answer(limit)
        if answer.pop("turn", None) != self._turn:
            self.stop()
            raise Lost(GARBLED)
        return answer, arrays

    def _answer(self, limit):
        try:
            answer = self._answers.get(timeout=limit)
        except queue.Empty:
            self.stop()
            raise Lost(NEVER_RETURNS) from None
        if isinstance(answer, Exception):
            self.stop()
            raise Lost(GARBLED if isinstance(answer, protocol.Garbled) else DIES)
        return answer

    def stop(self):
        """End the process and all that it started, and remove its files; again is harmless."""
        with self._ending:
            if self.gone:
                return
            self.gone = True
            _end_all(self._process, self._token)
            self._answers.put(EOFError())  # whoever waits for one, or for a request, waits no more
            self._requests.put(({},))
            remove(self._home)


class Rooms:
    """The sandboxes of a class: those in use, and one for each job that warms up meanwhile."""

    def __init__(self, jobs, count):
        """Have the first ones warm up, for `count` submissions of which `jobs` are graded at once.

        Raises OSError where nothing can be written.
        """
        self.files, self.closed = stage(), False
        self._jobs, self._count, self._lock = jobs, count, threading.Lock()
        self._spare, self._all = [], []

    def __enter__(self):
        with suppress(OSError):  # a full disk, say, is told when one is needed
            self._fill(self._count)
        return self

    def __exit__(self, *_):
        with self._lock:
            self.closed = True
        for sandbox in self._all:
            sandbox.stop()

    def _fill(self, wanted):
        while len(self._spare) < min(self._jobs, wanted):
            self._spare.append(Sandbox(self.files))
            self._all.append(self._spare[-1])

    def take(self, first):
        """Give a warm sandbox, and have the next one warm up; `first` of its submission or not.

        The thread that calls this must outlive the sandboxes: to bubblewrap it is their parent.
        """
        with self._lock:
            if self.closed:
                raise Closed
            self._count -= first
            if not self._spare:
                self._fill(1)
            sandbox = self._spare.pop(0)
            with suppress(OSError):
                self._fill(self._count)
        sandbox.warm()
        return sandbox


def _end_all(process, token):
    """End a process, its descendants, and whatever carries the token in its environment."""
    with suppress(psutil.Error):
        psutil.Process(process.pid).suspend()  # or it leaves a child that it has just begun
    for _ in range(20):  # one that forks all the time is faster than one look
        found = set()
        with suppress(psutil.Error):
            found.update(psutil.Process(process.pid).children(recursive=True))
        for other in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if other.pid != process.pid and other.environ().get("NST_SANDBOX") == token:
                    found.add(other)
        found = list(filter(_is_alive, found))
        if not found:
            break
        for action in (psutil.Process.suspend, psutil.Process.kill):
            for each in found:
                with suppress(psutil.Error):
                    action(each)
    process.kill()
    process.wait()


def _is_alive(process):
    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def remove(folder):
    """Remove a folder, whatever rights its folders have, or what has taken its place."""
    with suppress(OSError):
        os.unlink(folder)  # it has become a link, or a file
    for place, names, _ in os.walk(folder):
        for path in [place, *(os.path.join(place, name) for name in names)]:
            if not os.path.islink(path):
                with suppress(OSError):
                    os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


# --- bubblewrap --------------------------------------------------------------------------------


@functools.cache
def bubblewrap():
    """Tell whether bubblewrap is there and may do its work here: containers often forbid it."""
    if sys.platform != "linux" or not shutil.which("bwrap"):
        return False
    with suppress(OSError, subprocess.SubprocessError), tempfile.TemporaryDirectory() as folder:
        command = [*_walls(Path(folder)), sys.executable, "-c", "print('ready')"]
        environment = {"PATH": "/usr/bin:/bin"}
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
    names = _imported("nst_utils.py", "nst/__init__.py", "nst/grading/worker.py")
    files = {name: (PACKAGE.parent / name).read_bytes() for name in names}
    with tempfile.TemporaryDirectory() as folder:
        write_fake_vgg(Path(folder, "weights.mat"))
        files["weights.mat"] = Path(folder, "weights.mat").read_bytes()
    return files | _fresh_pictures()


def _imported(*names):
    """List files of the project by what they import, and what that imports, and so on."""
    found, open_ends = set(), {*names}
    while open_ends:
        found.add(file := open_ends.pop())
        for node in ast.walk(ast.parse((PACKAGE.parent / file).read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = getattr(node, "module", None)
                names = [alias.name for alias in node.names]
                names += [module, *(f"{module}.{name}" for name in names)] if module else []
                files = {f"{n.replace('.', '/')}.py" for n in names if n.startswith("nst")}
                open_ends |= {file for file in files - found if (PACKAGE.parent / file).is_file()}
    return sorted(found)


def _fresh_pictures():
    """Shift the project's pictures at random: {path: bytes} of JPEGs of 400×300 pixels."""
    found = {}
    for file in sorted((PROJECT / "images").glob("*.jpg")):
        with Image.open(file) as image:
            if image.size == (400, 300):
                shift, jpeg = [20 + secrets.randbelow(260) for _ in range(2)], BytesIO()
                ImageChops.offset(image.convert("RGB"), *shift).save(jpeg, "JPEG", quality=90)
                found[f"images/fresh-{len(found)}.jpg"] = jpeg.getvalue()
    return found
