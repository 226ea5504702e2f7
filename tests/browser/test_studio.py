"""The studio in a browser, as a person uses it: make test-browser, or pytest -n0 -m browser."""

import re
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import psutil
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.browsing import MINUTE, copy_project, start
from tests.conftest import ROOT

pytestmark = pytest.mark.browser
expect.set_options(timeout=5 * MINUTE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files to upload: a photo, which is a small strip, and files to be refused."""
    folder = tmp_path_factory.mktemp("files")
    Image.open(ROOT / "images" / "ruins.jpg").crop((0, 100, 400, 160)).save(folder / "photo.png")
    (folder / "notes.txt").write_text("To do")
    (folder / "page.jpg").write_text("<b>To do</b>")
    Image.new("1", (20_000, 10_000)).save(folder / "huge.png")
    (folder / "film.jpg").write_bytes(bytes(400_000_000))
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """The process of `make studio`, the address that it opens, and the copy of the project."""
    project = tmp_path_factory.mktemp("project")
    copy_project(project)
    (project / "jupyter").mkdir()  # for the log
    process, address = start(project, "studio")
    yield psutil.Process(process.pid), address, project
    process.terminate()
    process.wait()


@pytest.fixture
def visit(chromium, studio):
    """Return a function that opens the studio in a new tab; `tab.hosts` gets the hosts it asks."""
    tabs = []

    def visit(width=1280):
        tab = chromium.new_page(viewport={"width": width, "height": 900})
        tabs.append(tab)
        tab.set_default_timeout(5 * MINUTE)
        tab.hosts = set()
        tab.on("request", lambda request: tab.hosts.add(urlsplit(request.url).netloc))
        tab.goto(studio[1])
        tab.locator("button.gallery-item").nth(2).click()  # the first painting
        tab.get_by_role("button", name="Remove Image").wait_for()
        return tab

    yield visit
    for tab in tabs:
        tab.close()


def press(tab, name):
    tab.get_by_role("button", name=name, exact=True).click()


def upload(tab, path):
    """Upload a photo, and wait until the page has it."""
    with tab.expect_response(re.compile("/upload")):
        tab.locator("input[type=file]").first.set_input_files(path)
    expect(tab.get_by_role("button", name="Remove Image")).to_have_count(2)


def paint(tab, size):
    tab.get_by_label("Longest side").click()
    tab.get_by_role("option", name=re.compile(f"^{size}")).click()
    press(tab, "Paint")


def painters(process):
    """List the processes that paint; one that was killed may still be listed as a zombie."""
    alive = [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("width", [400, 1280])
def test_a_person_paints_a_photo(visit, files, studio, width):
    tab = visit(width)
    upload(tab, files / "photo.png")
    paint(tab, 2400)
    tab.get_by_text(re.compile("% done, .* left$")).wait_for()
    picture = tab.locator(".image-frame img").last
    expect(picture).not_to_have_attribute("src", picture.get_attribute("src"))
    press(tab, "Stop")
    tab.get_by_text("Stopped", exact=True).wait_for()
    with tab.expect_download() as download:
        press(tab, "Download")
    saved = studio[2] / "output" / download.value.suggested_filename
    tab.get_by_text(f"output/{saved.name}").wait_for()
    assert download.value.path().read_bytes() == saved.read_bytes()
    assert Image.open(saved).size == (2400, 360)
    before = len(list(saved.parent.glob("*.jpg")))
    paint(tab, 400)
    tab.get_by_text("Finished in").wait_for()
    assert len(list(saved.parent.glob("*.jpg"))) == before + 1
    tab.get_by_label("Longest side").click()
    expect(tab.get_by_role("option").first).to_have_text(re.compile("400, about .* s"))
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
    assert {host for host in tab.hosts if host} == {urlsplit(studio[1]).netloc}


def test_refusals_are_shown_in_one_sentence(visit, files):
    tab = visit()
    error = tab.get_by_test_id("toast-text").last
    press(tab, "Paint")
    expect(error).to_contain_text("upload a photo")
    tab.locator("input[type=file]").first.set_input_files(files / "notes.txt")
    expect(error).to_contain_text("notes.txt")
    refused = {"page.jpg": "<b>To do</b>", "huge.png": "megapixels", "film.jpg": "is not an image"}
    for name, words in refused.items():
        upload(tab, files / name)
        press(tab, "Paint")
        expect(error).to_have_text(re.compile(f"^{name} .*{words}"))
        tab.get_by_role("button", name="Remove Image").first.click()
        expect(tab.get_by_role("button", name="Remove Image")).to_have_count(1)


def test_the_page_is_used_by_keyboard(visit, files):
    tab = visit()
    upload(tab, files / "photo.png")
    tab.get_by_role("radio", name="medium").first.focus()
    for steps in (1, 3, 2):  # to strong, large, and the photo's colors
        for key in [*["Tab"] * steps, "Space"]:
            tab.keyboard.press(key)
    for key in ("Tab", "Tab", "Enter"):  # over the size to Paint
        tab.keyboard.press(key)
    for name in ("strong", "large", "photo's"):
        expect(tab.get_by_role("radio", name=name)).to_be_checked()
    tab.get_by_text("Finished in").wait_for()


def test_tabs_take_turns_and_end_their_paintings(visit, files, studio):
    first, second = visit(), visit()
    for tab in (first, second):
        upload(tab, files / "photo.png")
    paint(first, 2400)
    first.get_by_text("% done").wait_for()
    (painter,) = painters(studio[0])
    paint(second, 2400)
    second.get_by_text("Waiting").wait_for()
    first.close(run_before_unload=True)
    second.get_by_text("% done").wait_for()
    assert painter not in painters(studio[0])
    painters(studio[0])[0].kill()
    expect(second.get_by_test_id("toast-text")).to_contain_text("broke off")
    press(second, "Paint")
    second.get_by_text("% done").wait_for()


def test_nobody_else_gets_an_answer(studio):
    address = urlsplit(studio[1])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", address.port), timeout=5)
    foreign = {"Origin": "http://evil.example"}
    file = f"file={studio[2] / 'nst_utils.py'}"
    for path, data, headers in (("queue/join", b"{}", foreign), (file, None, {})):
        request = urllib.request.Request(f"{studio[1]}gradio_api/{path}", data, headers)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)
