"""The studio in a browser, as a person uses it: make test-browser, or pytest -n0 -m browser."""

import re
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.browsing import MINUTE, copy_project, start
from tests.conftest import ROOT

pytestmark = pytest.mark.browser
pytest.importorskip("gradio")
expect.set_options(timeout=2 * MINUTE)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with fake weights."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    (folder / "jupyter").mkdir()  # for the log
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files to upload: a photograph, a strip so that it is painted soon, and what is refused."""
    folder = tmp_path_factory.mktemp("files")
    photo = Image.open(ROOT / "images" / "ruins.jpg").crop((0, 100, 400, 160))
    photo.save(folder / "photo.png")
    (folder / "notes.txt").write_text("To do")
    (folder / "page.jpg").write_text("<b>To do</b>")
    Image.new("1", (20_000, 10_000)).save(folder / "huge.png")
    with open(folder / "film.jpg", "wb") as file:
        file.truncate(400_000_000)
    return folder


@pytest.fixture(scope="module")
def server(project):
    """The process of `make studio`, and the address that it opens in the browser."""
    process, address = start(project, "studio")
    yield psutil.Process(process.pid), address
    process.terminate()
    process.wait()


@pytest.fixture
def visit(chromium, server):
    """Return a function that opens the studio in a new tab; `tab.hosts` gets what it asks."""
    contexts = []

    def visit(width=1280):
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(2 * MINUTE)
        tab.hosts = set()
        tab.on("request", lambda request: tab.hosts.add(urlsplit(request.url).netloc))
        tab.goto(server[1])
        tab.get_by_role("button", name="Paint", exact=True).wait_for()
        return tab

    yield visit
    for context in contexts:
        context.close()


def press(tab, name):
    tab.get_by_role("button", name=name, exact=True).click()


def upload(tab, path, index=0):
    """Upload a photograph, or with index 1 a painting, and wait until the page shows it."""
    tab.locator("input[type=file]").nth(index).set_input_files(path)
    tab.get_by_role("button", name="Remove Image").nth(index).wait_for()


def choose(tab, photo, size):
    """Upload a photograph, and choose the first painting and a size."""
    upload(tab, photo)
    tab.locator("button.gallery-item").nth(2).click()
    tab.get_by_role("button", name="Remove Image").nth(1).wait_for()
    tab.get_by_label("Longest side").click()
    tab.get_by_role("option", name=re.compile(f"^{size}")).click()


def picture(tab):
    return tab.locator(".image-frame img").last


def painters(process):
    """List the processes that paint."""
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("width", [400, 1280])
def test_a_person_paints_a_photograph(visit, files, project, server, width):
    tab, output = visit(width), project / "output"
    choose(tab, files / "photo.png", 2400)
    press(tab, "Paint")
    tab.get_by_text(re.compile("% done, .* left$")).wait_for()
    early = picture(tab).get_attribute("src")
    expect(picture(tab)).not_to_have_attribute("src", early)
    press(tab, "Stop")
    tab.get_by_text("Stopped", exact=True).wait_for()
    saved = max(output.glob("photo_*.jpg"), key=lambda path: path.stat().st_mtime)
    tab.get_by_text(f"output/{saved.name}").wait_for()
    assert Image.open(saved).size == (2400, 360)
    with tab.expect_download() as download:
        press(tab, "Download")
    assert download.value.suggested_filename == saved.name
    assert download.value.path().read_bytes() == saved.read_bytes()

    choose(tab, files / "photo.png", 400)
    press(tab, "Paint")
    tab.get_by_text(re.compile("^Finished in ")).wait_for()
    again = max(output.glob("photo_*.jpg"), key=lambda path: path.stat().st_mtime)
    assert again != saved
    assert np.std(Image.open(again)) > 5
    tab.get_by_label("Longest side").click()
    expect(tab.get_by_role("option").first).to_have_text(re.compile("400, about .* s"))
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
    assert {host for host in tab.hosts if host} == {urlsplit(server[1]).netloc}


def test_refusals_are_shown_in_one_sentence(visit, files):
    tab = visit()
    error = tab.get_by_test_id("toast-text")
    press(tab, "Paint")
    expect(error.last).to_contain_text("upload a photograph")
    tab.locator("input[type=file]").first.set_input_files(files / "notes.txt")
    expect(error.last).to_contain_text("notes.txt")
    tab.locator("input[type=file]").first.set_input_files(files / "film.jpg")
    expect(error.last).to_contain_text("maximum allowed size")
    upload(tab, files / "photo.png", 1)
    for name, words in {"page.jpg": "<b>To do</b>", "huge.png": "megapixels"}.items():
        upload(tab, files / name)
        press(tab, "Paint")
        expect(error.last).to_have_text(re.compile(f"^{name} .*{words}"))
        press(tab, "Clear")


def test_the_page_is_used_by_keyboard(visit, files):
    tab = visit()
    choose(tab, files / "photo.png", 400)
    tab.get_by_role("radio", name="light").focus()
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Tab")  # to the strokes
    tab.keyboard.press("ArrowRight")
    assert tab.get_by_role("radio", name="strong").is_checked()
    assert tab.get_by_role("radio", name="large").is_checked()
    for _ in range(3):  # over the colors and the size
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.get_by_text(re.compile("^Finished in ")).wait_for()


def test_tabs_take_turns_and_end_their_paintings(visit, files, server):
    first, second = visit(), visit()
    for tab in (first, second):
        choose(tab, files / "photo.png", 2400)
        press(tab, "Paint")
        (first if tab is first else second).get_by_text(
            "% done" if tab is first else "Waiting"
        ).wait_for()
    (painter,) = painters(server[0])
    first.close(run_before_unload=True)
    second.get_by_text("% done").wait_for()
    assert not painter.is_running()
    painters(server[0])[0].kill()
    expect(second.get_by_test_id("toast-text")).to_contain_text("broke off")
    press(second, "Paint")
    second.get_by_text("% done").wait_for()


def test_nobody_else_gets_an_answer(server, project):
    _, address = server
    port = urlsplit(address).port
    for other in {socket.gethostbyname(socket.gethostname()), "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, port), timeout=5)
    foreign = {"Origin": "http://evil.example"}
    private = f"{address}gradio_api/file={project / 'README.md'}"
    for request in (
        urllib.request.Request(f"{address}gradio_api/upload", b"", foreign),
        urllib.request.Request(f"{address}gradio_api/queue/join", b"{}", foreign),
        urllib.request.Request(private),
    ):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)
