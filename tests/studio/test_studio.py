"""The studio's page without a browser: what it says and does where a button is pressed."""

import datetime
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from nst.core.config import CONFIG
from nst.painting import command, memory, options, painter
from nst.studio import app, server, uploads
from tests.conftest import ROOT

GREY = Image.linear_gradient("L").resize((80, 60)).convert("RGB")


@pytest.fixture
def opened(monkeypatch, tmp_path, fake_weights):
    """The page, with a painter that takes 60 pixels for any size and tells what it was asked."""
    monkeypatch.setattr(CONFIG, "VGG_MODEL", str(fake_weights))
    monkeypatch.setattr(options, "WORKPLACE", tmp_path)
    monkeypatch.setattr(app, "SECONDS_PER_PICTURE", 0)
    monkeypatch.setattr(painter, "EVALUATIONS", (6,))
    real, asked = painter.paint, []

    def paint(*pictures, **settings):
        asked.append((*pictures, settings))
        return real(*pictures, **settings | {"size": 60})

    monkeypatch.setattr(painter, "paint", paint)
    monkeypatch.setattr(app.Studio, "_measure", lambda _: None)  # it takes a second
    opened = app.Studio()
    opened.asked = asked
    return opened


def upload(widget, name, content, kind="image/png"):
    """Hand a file to an upload as ipywidgets do."""
    now = datetime.datetime.now(datetime.timezone.utc)
    file = {"name": name, "type": kind, "size": len(content), "last_modified": now}
    widget.value = ({**file, "content": memoryview(content)},)


def encoded(picture, kind="PNG"):
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def paint(opened):
    """Upload a photograph, paint it to the end, and return what the painter was asked."""
    upload(opened.photo, "photo.png", encoded(GREY))
    opened.paint.click()
    opened._thread.join()
    return opened.asked[-1]


def said(widget):
    return html.unescape(re.sub("<[^>]*>", "", widget.value))


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)


# --- what is chosen ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "kind", "sentence"),
    [
        (
            "notes <b>.txt",
            b"To do",
            "text/plain",
            "notes <b>.txt is not an image that can be read (it starts with b'To do' and has 5 "
            "bytes): save it as JPEG or PNG and try again",
        ),
        (
            "huge.png",
            encoded(Image.new("1", (20_000, 10_000))),
            "image/png",
            "huge.png has more than 179 megapixels, too many for any format but JPEG: save it "
            "smaller or as JPEG",
        ),
        (
            "film.mp4",
            b"400000000",
            uploads.TOO_LARGE,
            "film.mp4 has 400 MB, and this page takes up to 10 MB: save it smaller, or as JPEG",
        ),
        ("", b"", uploads.NO_FILE, "That is no file: drop a picture file, or choose one with the"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_sentence(opened, name, content, kind, sentence):
    for upload_button in (opened.photo, opened.own):
        opened.say("")
        upload(upload_button, name, content, kind)
        assert said(opened.message).startswith(sentence)
        assert 'role="alert"' in opened.message.value
        assert "<b>" not in opened.message.value
        assert upload_button.value == ()  # it takes the same file again
    assert len(opened.painting.options) == 4
    assert opened.preview.layout.display == "none"


def test_nothing_at_all_is_refused_in_one_sentence(opened):
    opened.paint.click()
    assert said(opened.message) == (
        "There is no photograph yet: choose one, or drop it on this page"
    )
    assert not opened.paint.disabled
    assert opened.asked == []


def test_an_upload_is_shown_upright(opened):
    camera = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    GREY.save(camera, "JPEG", exif=exif)
    upload(opened.photo, "photo.jpg", camera.getvalue())
    shown = pixels(opened.preview.value)
    assert shown.shape == (800, 600, 3)
    assert shown[:, 0].mean() > shown[:, -1].mean() + 100  # the bright bottom is on the left


def test_a_painting_of_ones_own_joins_the_row_and_is_chosen(opened):
    for colour in ("red", "blue"):  # the second takes the place of the first
        upload(opened.own, f"{colour}.png", encoded(Image.new("RGB", (50, 40), colour)))
        assert [name for name, _ in opened.painting.options] == [*app.PAINTINGS, "Your own"]
        assert opened.painting.value.name == f"{colour}.png"
        assert opened.faces.value.count("background-image") == 5
    content, style, _ = paint(opened)
    assert (content.name, style.name) == ("photo.png", "blue.png")


# --- the painter ---------------------------------------------------------------------------------


def test_what_is_chosen_reaches_the_painter(opened, fake_weights):
    opened.painting.index, opened.size.value = 1, 1200
    opened.strength.label, opened.strokes.label = "light", "large"
    opened.colours.label = "of the photograph"
    content, style, settings = paint(opened)
    assert content.name == "photo.png"
    assert style == ROOT / "images" / "starry_swirl_800x600.jpg"
    chosen = {"size": 1200, "strength": 0.25, "strokes": 2.0, "colours": "content"}
    assert settings == chosen | {"model": fake_weights}


def test_a_painting_is_shown_to_its_end_and_saved(opened, tmp_path):
    shown, told = [], []
    opened.picture.observe(lambda change: shown.append(change.new), "value")
    opened.message.observe(lambda change: told.append(said(opened.message)), "value")
    content, style, settings = paint(opened)
    assert told[-1] == "Finished: save it, or paint again"
    line = r"Level 1 of 1, 60×45 pixels · \d+% done · 0 min +\d+ s left"
    assert len([text for text in told if re.fullmatch(line, text)]) == 3  # but the first three
    assert shown[0] == opened.preview.value
    assert pixels(shown[1]).shape == (45, 60, 3)

    *_, last = painter.paint(content, style, **settings)
    assert np.abs(pixels(shown[-1]) - last.picture()).mean() < 8  # a JPEG
    opened.save.click()
    saved = tmp_path / "output" / "photo_impressionist_800x600.jpg"
    assert said(opened.saved) == f"Saved as {saved}. Download it"
    assert opened.file.value == saved.read_bytes()
    assert np.abs(pixels(opened.file.value) - last.picture()).mean() < 4


def when_there_is_a_picture(opened, act):
    """Act at the painter's first picture, in the painter's thread."""
    opened.save.observe(lambda change: change.new or act(), "disabled")


@pytest.fixture
def endless(opened, monkeypatch):
    """The page, with a photograph and a painter that does not come to an end."""
    monkeypatch.setattr(painter, "EVALUATIONS", (10_000,))
    upload(opened.photo, "photo.png", encoded(GREY))
    return opened


def test_stop_keeps_the_picture_so_far(endless, tmp_path):
    when_there_is_a_picture(endless, endless.stop.click)
    endless.paint.click()
    endless._thread.join()
    assert said(endless.message) == "Stopped when 0% was done: save it, or paint again"
    buttons = endless.paint, endless.stop, endless.save
    assert [button.disabled for button in buttons] == [False, True, False]
    endless.save.click()
    assert Image.open(tmp_path / "output" / "photo_impressionist_800x600.jpg").size == (60, 45)


def test_painting_again_waits_for_the_evaluation_under_way(endless, monkeypatch):
    def again():
        endless.stop.click()
        monkeypatch.setattr(painter, "EVALUATIONS", (3,))
        endless.painting.index = 2
        endless.paint.click()

    when_there_is_a_picture(endless, again)
    endless.paint.click()
    first = endless._thread
    first.join()
    assert endless._thread is not first
    endless.save.unobserve_all()
    endless._thread.join()
    assert said(endless.message) == "Finished: save it, or paint again"
    assert [style.stem for _, style, _ in endless.asked] == [
        "impressionist_800x600",
        "kashi_800x600",
    ]


def test_stop_before_there_is_a_picture_shows_none(endless):
    with endless.lock:  # the painter waits
        endless.paint.click()
        thread = endless._thread
        assert endless.picture.layout.display is None
        endless.paint.click()  # the second of two clicks
        endless.stop.click()
    thread.join()
    assert endless._thread is thread
    assert said(endless.message) == "Stopped before there was a picture"
    assert endless.picture.layout.display == "none"
    assert endless.save.disabled


def test_where_memory_is_short_the_painter_says_so(opened, monkeypatch):
    upload(opened.photo, "photo.png", encoded(GREY))
    monkeypatch.setattr(memory, "free_memory", lambda: 5e8)
    opened.paint.click()
    opened._thread.join()
    assert said(opened.message).startswith("painting on 60×45 pixels takes 1.1 GB of memory, 0.5 ")
    assert not opened.paint.disabled


def test_a_failure_that_nobody_expects_is_told_in_one_sentence(opened, monkeypatch):
    def fail(*_, **__):
        raise KeyError("a tensor")

    monkeypatch.setattr(painter, "paint", fail)
    upload(opened.photo, "photo.png", encoded(GREY))
    opened.paint.click()
    opened._thread.join()
    assert said(opened.message) == "The painting broke off (KeyError): choose a smaller size"
    assert not opened.paint.disabled
    assert opened.picture.layout.display == "none"


# --- what is saved -------------------------------------------------------------------------------


def test_two_tabs_save_under_two_names(monkeypatch, tmp_path):
    monkeypatch.setattr(options, "WORKPLACE", tmp_path)
    image = np.zeros((1, 20, 30, 3), np.float32)
    content, style = tmp_path / "photo.png", tmp_path / "painting.png"
    first = command.unused_output_path(content, [style])
    names = [first, first, first.with_stem("photo_painting_2")]  # the other tab was faster
    monkeypatch.setattr(uploads, "unused_output_path", lambda *_: names.pop(0))
    assert uploads.save_new(image, content, style) == first
    before = first.stat()
    assert uploads.save_new(image, content, style).name == "photo_painting_2.jpg"
    assert first.stat() == before


def test_what_cannot_be_saved_leaves_nothing(opened, monkeypatch, tmp_path):
    paint(opened)
    (tmp_path / "output").touch()
    opened.save.click()
    assert said(opened.message) == (
        f"cannot create folder {tmp_path / 'output'} (File exists): choose a different output "
        "folder"
    )
    (tmp_path / "output").unlink()

    def full(*_):
        raise OSError("no room")

    monkeypatch.setattr(uploads, "save_image", full)
    opened.save.click()
    assert said(opened.message) == "no room"
    assert list((tmp_path / "output").iterdir()) == []


# --- times ---------------------------------------------------------------------------------------


def test_a_page_measures_how_long_each_size_takes(monkeypatch, fake_weights):
    monkeypatch.setattr(CONFIG, "VGG_MODEL", str(fake_weights))
    opened = app.Studio()
    opened._thread.join()
    assert all(", about " in label for label, _ in opened.size.options)


def test_each_size_has_the_time_that_it_takes(opened, monkeypatch):
    monkeypatch.setattr(painter, "EVALUATIONS", (54, 36, 26, 12, 5))
    assert [label for label, _ in opened.size.options][:2] == ["400 pixels", "600 pixels"]
    opened.size.value = 400
    opened._learn(64, (300, 400))
    # 54, 36 and 26 evaluations on 100×75, 200×150 and 400×300 pixels, each with 0.7 for the
    # statistics and with 3000 pixels' worth beside: 5.1 million; at 800×600 12 more, 11.2 million
    times = {size: label for label, size in opened.size.options}
    assert times[400] == "400 pixels, about 1 min"
    assert times[800] == "800 pixels, about 2 min"
    assert opened.size.value == 400
    upload(opened.photo, "strip.png", encoded(Image.new("RGB", (1200, 100))))
    assert dict(opened.size.options)["800 pixels, about 40 s"] == 800  # 2.9 million


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2, "10 s"), (34, "30 s"), (80, "1 min"), (290, "5 min"), (5000, "83 min"), (9000, "2.5 h")],
)
def test_times_are_told_roughly(seconds, words):
    assert app.in_words(seconds) == words


# --- the command ---------------------------------------------------------------------------------


def test_an_installed_package_has_no_studio(monkeypatch):
    monkeypatch.setattr(server, "IN_CHECKOUT", False)
    with pytest.raises(SystemExit, match="not a place to work in: clone the project"):
        server.main([])
