"""The lab in JupyterLab, as a student sees it: make test-browser, or pytest -n0 this file.

It needs Chromium, so its name keeps it out of a plain `pytest`.
"""

import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from conftest import ROOT
from nst import runner
from nst.config import LAB

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
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight stay in the page
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
}
MINUTE = 60_000  # in ms, as Playwright counts


@pytest.fixture
def page():
    """An empty page of a headless Chromium."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        pytest.fail(
            f"none of {', '.join(CHROMIUM)} is on the path: install Chromium "
            "(Debian, Ubuntu: apt install chromium)",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page(viewport={"width": 1200, "height": 900})
        browser.close()


@pytest.fixture
def project(tmp_path, fake_weights):
    """A copy of the project whose lab has no outputs and takes two steps on the fake weights."""
    shutil.copy(ROOT / "nst_utils.py", tmp_path)
    shutil.copytree(ROOT / "images", tmp_path / "images")
    notebook = nbformat.read(LAB, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    runner.set_parameters(notebook, {"VGG_MODEL": str(fake_weights), "ITERATIONS": 2, "SIZE": 96})
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / LAB.name)
    return tmp_path


@pytest.fixture
def lab_url(project):
    """Address of that lab in a JupyterLab that has the project as its root, as `make lab` does."""
    for name, settings in SETTINGS.items():
        path = project / f"jupyter/lab/user-settings/@jupyterlab/{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    own = {"JUPYTER_TOKEN": "only-here"}
    own |= {f"JUPYTER_{kind}_DIR": str(project / "jupyter") for kind in ("CONFIG", "DATA")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--ip={address[0]}", f"--port={address[1]}", "--ServerApp.port_retries=0"]
    log = project / "jupyter" / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=project, env=os.environ | own, stderr=file)
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(address):
            break
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    yield f"http://127.0.0.1:{address[1]}/lab/tree/notebooks/{LAB.name}?token=only-here"
    server.terminate()
    server.wait()


def test_a_student_runs_all_cells_and_watches_the_picture_evolve(page, lab_url, project):
    page.goto(lab_url)
    page.get_by_text(re.compile(r"^Python 3.* \| Idle$")).wait_for(timeout=MINUTE)  # status bar
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

    cells = page.locator(".jp-CodeCell")
    finished = cells.last.locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]"))
    errors = page.locator("[data-mime-type$=error], [data-mime-type$=stderr]")
    training = cells.filter(has_text="model_nn(sess, generated_image")
    try:
        finished.or_(errors).first.wait_for(timeout=3 * MINUTE)
        training.scroll_into_view_if_needed()
    finally:
        page.screenshot(path=project / "lab.png")
    assert errors.all_inner_texts() == []

    expect(training).to_contain_text("Iteration 0")
    expect(training).to_contain_text("total cost")
    expect(training).to_contain_text("iteration 2/2")
    picture = training.get_by_role("img")
    expect(picture).to_be_visible()  # and, of two that were shown, the only one
    data = base64.b64decode(picture.get_attribute("src").partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(data)), float)
    saved = [np.asarray(Image.open(project / "output" / f"{i}.png"), float) for i in (0, 1)]
    first, last = [np.square(shown - picture).mean() for picture in saved]
    assert last < first

    figures = page.locator(".jp-RenderedMarkdown img")
    assert figures.count() >= 4
    missing = "images => images.filter(i => !i.naturalWidth).map(i => i.src)"
    assert figures.evaluate_all(missing) == []
