"""The lab in JupyterLab, as a student sees it: make test-browser, or pytest -n0 this file.

JupyterLab is started by the commands of `make lab`, in a copy of the project. This needs Chromium,
so the file's name keeps it out of a plain `pytest`.
"""

import base64
import io
import json
import re
import shutil
from urllib.parse import urlsplit

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from nst.assignment.blanks import has_blank
from nst.assignment.exercises import EXERCISES
from nst.core.config import LAB
from nst.lab import runner
from tests.assignment.filling import filled
from tests.browser.browsing import MINUTE, copy_project, start
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

LESSONS = sorted(path.name for path in LAB.parent.glob("Lesson_*.ipynb"))
ERROR = "[data-mime-type$=error], [data-mime-type$=stderr]"  # an output


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
    """A copy of the project with fake weights, and the exercise edition correctly filled in.

    It takes 21 steps on a small picture, and shows the 1st and the 21st. JupyterLab has its
    settings and its state in there.
    """
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    shutil.copy(ROOT / "images" / "pyramid.jpg", folder / "output" / "painted.jpg")

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


@pytest.fixture(scope="module")
def address(project):
    """Start JupyterLab; yield the address that `make lab` opens."""
    server, address = start(project, "lab")
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
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    pictures = sum(kind.startswith("image/") for kind in kinds)
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
    errors = panel.locator(ERROR)
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


def run_cell(page, panel, text):
    """Run the cell that contains a text; return it when it is done."""
    cell = panel.locator(".jp-CodeCell", has_text=text).first
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    done = cell.locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]"))
    done.or_(cell.locator(ERROR)).first.wait_for(timeout=MINUTE)
    return cell


def test_a_restarted_kernel_names_the_cells_to_run_first(page, address, project):
    panel = show(page, address, LAB.name)
    message = "This kernel has not run the cells above: run them first, in their order"
    expect(run_cell(page, panel, "HEIGHT, WIDTH = fit_size")).to_contain_text(message)
    run_cell(page, panel, "as_in_the_course=True")
    expect(run_cell(page, panel, "import pprint")).to_contain_text("TensorFlow 2")
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Restart Kernel…")).first.click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.get_by_text(re.compile(r"^Python 3.* \| Idle$")).wait_for(timeout=MINUTE)
    expect(run_cell(page, panel, "import pprint")).to_contain_text(message)
    page.screenshot(path=project / "restarted.png")


def test_what_the_package_says_is_said_last_in_a_renamed_notebook(page, address, project):
    """The kernel starts in notebooks/ and finds nst in ../, as a plain Jupyter's does, too."""
    edition = nbformat.read(project / "notebooks" / EXERCISES.name, as_version=4)
    edition.cells = [c for c in edition.cells if "ITERATIONS = 21" not in c.source]
    runner.set_parameters(edition, {"ITERATIONS": 0, "SIZE": 48, "OUTPUT_DIR": "output/none"})
    last = [cell.id for cell in edition.cells].index("run")
    del edition.cells[last + 1 :]
    nbformat.write(edition, project / "notebooks" / "Ann's try.ipynb")
    panel = show(page, address, "Ann's try.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    error = panel.locator(ERROR)
    try:
        error.wait_for(timeout=5 * MINUTE)
        error.scroll_into_view_if_needed()
    finally:
        page.screenshot(path=project / "said_last.png")
    last_line = error.inner_text().strip().splitlines()[-1]
    assert last_line == "ValueError: num_iterations is 0: ask for 1 or more"


def test_the_printed_address_opens_the_exercises(address, project):
    log = (project / "jupyter" / "log").read_text()
    printed = re.findall(r"http://\S+", log)
    assert [a for a in printed if f"/lab/tree/notebooks/{EXERCISES.name}?token=" in a]


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
    server, address = start(project, "lab", "SOLVED=1")
    try:
        page.goto(address)
        page.wait_for_url(f"**/lab/tree/notebooks/{LAB.name}*")
    finally:
        server.terminate()
        server.wait()
