"""The lab in JupyterLab, as a student sees it: make test-browser, or pytest -n0 this file.

JupyterLab is started by the commands of `make lab`, in a copy of the project. This needs Chromium,
so the file's name keeps it out of a plain `pytest`.
"""

import base64
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from urllib.parse import urlsplit

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from conftest import ROOT
from fake_vgg import write_fake_vgg
from filling import filled
from nst import runner
from nst.blanks import has_blank
from nst.config import CONFIG, LAB
from nst.exercises import EXERCISES

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
LESSONS = sorted({path.name for path in LAB.parent.glob("*.ipynb")} - {LAB.name, EXERCISES.name})


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium."""
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


@pytest.fixture
def page(chromium):
    """An empty page; what it asks its server for is in `page.asked`."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    page.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with fake weights, and the exercise edition rightly filled in.

    It takes 21 steps on a small picture, and shows the 1st and the 21st. JupyterLab has its
    settings and its state in there.
    """
    folder = tmp_path_factory.mktemp("project")
    for name in ("Makefile", "requirements.txt", "nst_utils.py"):
        shutil.copy(ROOT / name, folder)
    for name in ("nst", "notebooks", "images", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".venv").mkdir()
    (folder / ".venv" / "installed").touch()  # younger than requirements.txt, for make
    (folder / "output").mkdir()
    shutil.copy(ROOT / "images" / "pyramid.jpg", folder / "output" / "painted.jpg")
    (folder / CONFIG.VGG_MODEL).parent.mkdir()
    write_fake_vgg(folder / CONFIG.VGG_MODEL)

    edition = nbformat.read(EXERCISES, as_version=4)
    for cell in edition.cells:
        if cell.cell_type == "code" and has_blank(cell.source):
            cell.source = filled(cell.id)
    runner.set_parameters(edition, {"ITERATIONS": 21, "SIZE": 96})
    nbformat.write(edition, folder / "notebooks" / EXERCISES.name)

    # cells out of sight stay in the page
    settings = folder / "jupyter/lab/user-settings/@jupyterlab/notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    return folder


def start(project, *options):
    """Start JupyterLab as `make lab` does; return its process and the address that it opens."""
    dry = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "lab", *options],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert dry.returncode == 0, dry.stderr
    python, *command = shlex.split(dry.stdout.splitlines()[-1])
    assert python.endswith("bin/python")
    browser, opened = project / "browser", project / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    opened.unlink(missing_ok=True)
    kinds = ("CONFIG", "DATA", "RUNTIME")
    own = {f"JUPYTER_{kind}_DIR": str(project / "jupyter") for kind in kinds}
    own["BROWSER"] = f"{browser} %s"
    log = project / "jupyter" / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, *command], cwd=project, env=os.environ | own, stderr=file
        )
    while not (opened.exists() and opened.read_text().endswith("\n")):
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    return server, opened.read_text().strip()


@pytest.fixture(scope="module")
def address(project):
    """The address that `make lab` opens, of a JupyterLab that runs."""
    server, address = start(project)
    yield address
    server.terminate()
    server.wait()


def show(page, address, notebook=None):
    """Open the address, then a notebook of it if one is named; return its panel."""
    page.goto(address)
    page.wait_for_url("**/lab/tree/**")
    if notebook:
        parts = urlsplit(page.url)
        page.goto(f"{parts.scheme}://{parts.netloc}/lab/tree/notebooks/{notebook}?reset")
    page.get_by_text(re.compile(r"^Python 3.* \| Idle$")).wait_for(timeout=2 * MINUTE)
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def check_figures(panel, notebook):
    """Check that each figure of a notebook's file shows in its panel."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pictures = sum("image/jpeg" in output.get("data", {}) for output in outputs)
    figures = "".join(c.source for c in cells if c.cell_type == "markdown").count("![")
    images = panel.locator(".jp-RenderedMarkdown img, .jp-RenderedImage img")
    expect(images).to_have_count(pictures + figures, timeout=MINUTE)
    loaded = "images => Promise.all(images.map(image => image.decode().catch(() => null)))"
    images.evaluate_all(loaded)
    missing = "images => images.filter(i => !i.naturalWidth).map(i => i.src)"
    assert images.evaluate_all(missing) == []
    return pictures + figures


def test_a_student_runs_all_cells_and_watches_the_picture_evolve(page, address, project):
    panel = show(page, address)
    assert urlsplit(page.url).path.endswith(f"/lab/tree/notebooks/{EXERCISES.name}")
    assert check_figures(panel, EXERCISES) >= 4
    page.screenshot(path=project / "top.png")

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    cells = panel.locator(".jp-CodeCell")
    finished = cells.last.locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]"))
    errors = panel.locator("[data-mime-type$=error], [data-mime-type$=stderr]")
    training = cells.filter(has_text="model_nn(sess, generated_image")
    try:
        finished.or_(errors).first.wait_for(timeout=5 * MINUTE)
        training.scroll_into_view_if_needed()
    finally:
        page.screenshot(path=project / "run.png")
    assert errors.all_inner_texts() == []

    expect(training).to_contain_text("Iteration 0")
    expect(training).to_contain_text("total cost")
    expect(training).to_contain_text("iteration 21/21")
    picture = training.get_by_role("img")
    expect(picture).to_be_visible()  # and, of two that were shown, the only one
    data = base64.b64decode(picture.get_attribute("src").partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(data)), float)
    saved = [np.asarray(Image.open(project / "output" / f"{i}.png"), float) for i in (0, 20)]
    first, last = [np.square(shown - picture).mean() for picture in saved]
    assert last < first


@pytest.mark.parametrize("notebook", [LAB.name, *LESSONS])
def test_every_figure_shows(page, address, project, notebook):
    panel = show(page, address, notebook)
    assert check_figures(panel, LAB.parent / notebook) >= 1
    page.screenshot(path=project / f"{notebook}.png")


def test_images_and_output_can_be_browsed(page, address, project):
    show(page, address)
    files = page.locator(".jp-DirListing-content")
    page.locator(".jp-BreadCrumbs-home").click()
    expect(files.get_by_text("images", exact=True)).to_be_visible()
    files.get_by_text("output", exact=True).dblclick()
    files.get_by_text("painted.jpg", exact=True).dblclick()
    picture = page.locator(".jp-ImageViewer img")
    expect(picture).to_be_visible(timeout=MINUTE)
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.screenshot(path=project / "output.png")


def test_nobody_is_asked_for_news(page, address):
    panel = show(page, address, EXERCISES.name)
    panel.locator(".jp-CodeCell").first.wait_for(timeout=MINUTE)
    assert page.get_by_text(re.compile("news", re.I)).count() == 0
    host = urlsplit(page.url).netloc
    asked = {urlsplit(url) for url in page.asked if not url.startswith(("file:", "data:", "blob:"))}
    assert {url.netloc for url in asked} == {host}
    assert not [url.path for url in asked if re.search("/lab/api/(news|update)", url.path)]


def test_make_lab_opens_the_solved_lab_when_asked(page, project):
    server, address = start(project, "SOLVED=1")
    try:
        page.goto(address)
        page.wait_for_url(f"**/lab/tree/notebooks/{LAB.name}*")
    finally:
        server.terminate()
        server.wait()
