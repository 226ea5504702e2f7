"""Shared by the browser tests: Chromium, a copy of the project, and its commands."""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from nst.core.config import CONFIG
from nst.vgg.tiny import write_fake_vgg
from tests.conftest import ROOT

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # with its sandbox Chromium refuses to run as root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MINUTE = 60_000  # in ms, as Playwright counts


@contextmanager
def headless_chromium():
    """Yield a headless Chromium."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.fail(
            f"none of {', '.join(CHROMIUM)} is on the path: install Chromium "
            "(Debian, Ubuntu: apt install chromium)",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def copy_project(folder):
    """Copy the project into a folder, with a miniature VGG-19 for its weights."""
    for name in ("Makefile", "requirements.txt", "requirements-studio.txt", "nst_utils.py"):
        shutil.copy(ROOT / name, folder)
    for name in ("nst", "notebooks", "images", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    make_environment(folder / ".venv")
    for name in ("installed", "installed-for-studio"):  # younger than the requirements, for make
        (folder / ".venv" / name).touch()
    (folder / "output").mkdir()
    (folder / CONFIG.VGG_MODEL).parent.mkdir()
    write_fake_vgg(folder / CONFIG.VGG_MODEL)


def make_environment(folder):
    """Make a virtual environment that has the packages of the one that runs the tests."""
    venv.create(folder, symlinks=True)
    packages = sysconfig.get_path("purelib", "venv", {"base": folder, "platbase": folder})
    Path(packages, "packages.pth").write_text(sysconfig.get_path("purelib"))


def start(project, target, *options):
    """Start a server as `make` does; return its process and the address that it opens."""
    dry = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", target, *options],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert dry.returncode == 0, dry.stderr
    lines = [line for line in dry.stdout.splitlines() if "nst weights" not in line]
    browser, opened = project / "browser", project / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    opened.unlink(missing_ok=True)
    kinds = ("CONFIG", "DATA", "RUNTIME")
    own = {f"JUPYTER_{kind}_DIR": str(project / "jupyter") for kind in kinds}
    own["BROWSER"] = f"{browser} %s"
    prefix = Path(sys.prefix)  # its JupyterLab is not a part of the packages
    own["JUPYTERLAB_DIR"] = str(prefix / "share" / "jupyter" / "lab")
    own["JUPYTER_PATH"] = str(prefix / "share" / "jupyter")
    own["JUPYTER_CONFIG_PATH"] = str(prefix / "etc" / "jupyter")
    *first, last = [shlex.split(line) for line in lines]
    for command in first:
        subprocess.run(command, cwd=project, env=os.environ | own, check=True)
    log = project / "jupyter" / "log"
    with log.open("w") as file:
        server = subprocess.Popen(last, cwd=project, env=os.environ | own, stderr=file)
    while not (opened.exists() and opened.read_text().endswith("\n")):
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    return server, opened.read_text().strip()
