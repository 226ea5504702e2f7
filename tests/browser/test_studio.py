"""The studio in a browser, as a person uses it: make test-browser, or pytest -n0 this file.

This needs Chromium, so the file's name keeps it out of a plain `pytest`.
"""

import io
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.browsing import MINUTE, copy_project, start
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

expect.set_options(timeout=2 * MINUTE)
SENTENCES = {
    "notes.txt": "notes.txt is not an image that can be read (it starts with b'To do' and has 5 "
    "bytes): save it as JPEG or PNG and try again",
    "huge.png": "huge.png has more than 179 megapixels, too many for any format but JPEG: save it "
    "smaller or as JPEG",
    "film.jpg": "film.jpg has 400 MB, and this page takes up to 268 MB: save it smaller, or as "
    "JPEG",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with fake weights."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    (folder / "jupyter").mkdir()
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What is uploaded: a photograph, which is a strip and so painted soon, and other files."""
    folder = tmp_path_factory.mktemp("files")
    photo = Image.open(ROOT / "images" / "ruins.jpg").crop((0, 100, 400, 160))
    photo.save(folder / "photo.png")
    (folder / "notes.txt").write_text("To do")
    Image.new("1", (20_000, 10_000)).save(folder / "huge.png")
    with open(folder / "film.jpg", "wb") as file:
        file.truncate(400_000_000)
    return folder


@pytest.fixture(scope="module")
def server(project):
    """The process of `make studio` and the file that it opens in the browser."""
    server, opened = start(project, "studio")
    yield psutil.Process(server.pid), opened
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def visit(chromium, server):
    """Return a function that opens the studio in a new tab."""
    context = chromium.new_context(viewport={"width": 400, "height": 800})
    context.set_default_timeout(2 * MINUTE)

    def visit():
        tab = context.new_page()
        tab.asked, tab.refused = [], []
        tab.on("request", lambda request: tab.asked.append(request.url))
        tab.on("requestfailed", lambda request: tab.refused.append(request.url))
        tab.goto(server[1])
        tab.get_by_role("button", name="Paint", exact=True).wait_for()
        return tab

    yield visit
    context.close()


@pytest.fixture(scope="module")
def tab(visit):
    """A tab with the studio, for more than one test: to open it takes seconds."""
    return visit()


def upload(tab, file, label="Choose a photograph"):
    with tab.expect_file_chooser() as chooser:
        tab.get_by_role("button", name=label).click()
    chooser.value.set_files(file)


def drop(tab, selector, name, data):
    """Drop a file on the page."""
    tab.evaluate(
        """([selector, name, data]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(data)], name));
            const event = { bubbles: true, cancelable: true, dataTransfer: transfer };
            document.querySelector(selector).dispatchEvent(new DragEvent("drop", event));
        }""",
        [selector, name, list(data)],
    )


def press(tab, name):
    tab.get_by_role("button", name=name, exact=True).click()


def pixels(tab, selector):
    """Return the picture that an image on the page shows."""
    data = tab.locator(selector).evaluate(
        "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"
    )
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"), float)


def watch(tab):
    """Wait until the painter's first picture is there, and until another takes its place."""
    tab.get_by_text(re.compile("^Level . of ")).wait_for()
    picture = tab.get_by_alt_text("the painted picture")
    early, address = pixels(tab, ".studio-picture"), picture.get_attribute("src")
    expect(picture).not_to_have_attribute("src", address)
    return early, pixels(tab, ".studio-picture")


def kernels(process):
    """List the kernels of a server that run."""

    def is_kernel(child):
        try:
            return "ipykernel_launcher" in child.cmdline()
        except psutil.Error:  # it has ended
            return False

    return [child for child in process.children() if is_kernel(child)]


def test_a_person_paints_a_photograph(tab, files, project):
    press(tab, "Paint")
    alert = tab.get_by_role("alert")
    expect(alert).to_have_text("There is no photograph yet: choose one, or drop it on this page")
    for name, sentence in SENTENCES.items():
        upload(tab, files / name)
        expect(alert).to_have_text(sentence)

    upload(tab, files / "photo.png")
    tab.get_by_alt_text("your photograph").wait_for()
    expect(alert).to_have_count(0)
    size = tab.get_by_label("Longest side")
    expect(size.locator("option").first).to_have_text(re.compile(r"400\s+pixels,\s+about"))
    size.select_option(index=5)
    tab.get_by_role("radio", name="Mosaic").check()
    press(tab, "Paint")
    early, late = watch(tab)
    assert early.shape != late.shape or np.abs(early - late).mean() > 1
    tab.get_by_text(re.compile("% done · .* left$")).wait_for()
    tab.screenshot(path=project / "painting.png")

    press(tab, "Stop")
    tab.get_by_text(re.compile("^Stopped when .* was done: save it, or paint again$")).wait_for()
    press(tab, "Save")
    saved = project / "output" / "photo_kashi_800x600.jpg"
    tab.get_by_text(f"Saved as {saved}. Download it").wait_for()
    with tab.expect_download() as download:
        tab.get_by_text("Download it").click()
    assert download.value.suggested_filename == saved.name
    assert download.value.path().read_bytes() == saved.read_bytes()
    assert Image.open(saved).size == (2400, 360)
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= 400
    tab.screenshot(path=project / "saved.png")

    painting = (files / "photo.png").read_bytes()
    drop(tab, ".studio-painting", "notes.txt", b"To do")
    expect(alert).to_have_text(SENTENCES["notes.txt"])
    drop(tab, ".studio-page h2", "dropped.png", painting)  # anywhere: a photograph
    expect(alert).to_have_count(0)
    size.select_option(index=0)
    press(tab, "Paint")
    tab.get_by_text("Finished: save it, or paint again").wait_for()
    press(tab, "Save")
    tab.get_by_text("dropped_kashi_800x600.jpg").wait_for()
    assert {path.name for path in saved.parent.iterdir()} == {
        *("photo_kashi_800x600.jpg", "dropped_kashi_800x600.jpg")
    }

    host = urlsplit(tab.url).netloc
    answered = {urlsplit(url) for url in set(tab.asked) - set(tab.refused)}
    assert {url.netloc for url in answered if url.scheme in ("http", "https")} == {host}


def test_the_page_is_used_by_keyboard(tab):
    chosen = tab.get_by_role("radiogroup", name="Painting").get_by_role("radio", checked=True)
    before = chosen.get_attribute("data-value")
    tab.get_by_role("button", name="Choose a photograph").focus()
    order = []
    for _ in range(7):
        tab.keyboard.press("Tab")
        focused = tab.evaluate_handle("document.activeElement").as_element()
        order.append(focused.evaluate("e => (e.labels?.[0] ?? e).textContent"))
    assert order[0] in ("Brush strokes", "Mosaic")
    assert order[1:] == [
        *("Choose a painting of your own", "medium", "medium", "of the painting"),
        *("Longest side", "Paint"),
    ]
    chosen.focus()
    tab.keyboard.press("ArrowLeft")
    expect(chosen).to_have_count(1)
    assert chosen.get_attribute("data-value") != before


def test_two_tabs_do_not_disturb_each_other(tab, visit, files, server):
    tabs = tab, visit()
    for tab, painting, size in zip(tabs, ("Starry swirl", "Poured paint"), (5, 0), strict=True):
        upload(tab, files / "photo.png")
        tab.get_by_role("radio", name=painting).check()
        tab.get_by_label("Longest side").select_option(index=size)
        tab.get_by_alt_text("your photograph").wait_for()
        press(tab, "Paint")
    watch(tabs[0])
    press(tabs[0], "Stop")
    tabs[0].get_by_text(re.compile("^Stopped when")).wait_for()
    tabs[1].get_by_text("Finished: save it, or paint again").wait_for()
    for tab in tabs:
        press(tab, "Save")
    tabs[0].get_by_text("photo_starry_swirl_800x600.jpg").wait_for()
    tabs[1].get_by_text("photo_blue_abstract_800x600.jpg").wait_for()

    tabs[1].get_by_label("Longest side").select_option(index=5)
    press(tabs[1], "Paint")
    watch(tabs[1])
    assert len(kernels(server[0])) == 2
    tabs[1].close(run_before_unload=True)
    while len(kernels(server[0])) == 2:
        tabs[0].wait_for_timeout(100)
    assert tabs[0].get_by_role("button", name="Paint", exact=True).is_enabled()


def test_nobody_else_gets_an_answer(server):
    process, opened = server
    url = re.search('url=([^"]+)', Path(opened.removeprefix("file://")).read_text())[1]
    port = urlsplit(url).port
    addresses = {
        entry.address
        for nic in psutil.net_if_addrs().values()
        for entry in nic
        if entry.family == socket.AF_INET
    }
    for address in {*addresses, "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), timeout=5)
    before = len(kernels(process))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert urlsplit(answer.url).path == "/login"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/kernels/0-0-0-0-0")
    assert len(kernels(process)) == before
