"""Press Ctrl-C at one moment after the other of a grading: between two calls of its main thread.

    python ctrl_c.py FOLDER MOMENTS

FOLDER holds the submissions. All is real, but what runs in the sandboxes: a Python without
TensorFlow, which sleeps. A line of JSON tells what each moment gave.
"""

import json
import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path

import psutil

from nst.grading import command, grader
from nst.grading.sandbox import run_sandbox
from nst.grading.submissions import find_notebooks

SLEEPER = "import time; time.sleep(10**6)"


def press_once(moment, jobs, folder):
    """Grade the folder, and press Ctrl-C at the given call, or else once the first one sleeps.

    Returns:
    what is graded, and the number of the call at which Ctrl-C was pressed
    """
    pressed, sleeping, calls, at = threading.Lock(), threading.Event(), 0, 0

    def press():
        nonlocal at
        if pressed.acquire(blocking=False):
            at = calls
            os.kill(os.getpid(), signal.SIGINT)

    def count(*_):
        nonlocal calls
        calls += 1
        if calls == moment:
            press()

    def watched(*arguments):
        sleeping.set()
        return run_sandbox(*arguments)

    def press_late():
        sleeping.wait()
        press()

    grader.run_sandbox = watched
    threading.Thread(target=press_late, daemon=True).start()
    paths = find_notebooks(folder)
    sys.setprofile(count)
    try:
        graded = list(command.grade_all(paths, 500, jobs))
    finally:
        sys.setprofile(None)
        grader.run_sandbox = run_sandbox
        sleeping.set()
    return [path.stem for path, rows in zip(paths, graded, strict=True) if rows], at


def main(folder, moments):
    def fill_stage(folder):
        (folder / "nst" / "grading").mkdir(parents=True)
        (folder / "nst" / "grading" / "worker.py").write_text(SLEEPER)

    grader.fill_stage = fill_stage
    _, calls = press_once(0, 1, folder)
    for seed in range(moments):
        moment = random.Random(seed).randint(30, calls)  # once Ctrl-C is waited for
        graded, _ = press_once(moment, 1 + seed % 2, folder)
        left = [str(process) for process in psutil.Process().children(recursive=True)]
        left += [path.name for path in Path(tempfile.gettempdir()).iterdir()]
        print(json.dumps({"moment": moment, "graded": graded, "left": left}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
