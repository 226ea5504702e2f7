"""The studio's page: what is chosen, the painter behind it, and the picture in the making.

Its looks stand in page.css, and what only a browser can do in page.js.
"""

import base64
import html
import json
import re
import tempfile
import threading
import time
from contextlib import closing, suppress
from functools import wraps
from itertools import islice
from pathlib import Path

import ipywidgets as widgets
from IPython.display import HTML, display

from nst.core.config import CONFIG, PROJECT
from nst.core.images import load_image, to_pixels
from nst.painting.command import describe
from nst.painting.options import STRENGTHS, load_painter
from nst.studio.uploads import NO_FILE, TOO_LARGE, as_jpeg, largest_file, receive, save_new

PAINTINGS = {
    "Brush strokes": "impressionist",
    "Starry swirl": "starry_swirl",
    "Mosaic": "kashi",
    "Poured paint": "blue_abstract",
}
STROKES = {"fine": 0.5, "medium": 1.0, "large": 2.0}
COLOURS = {"of the painting": "style", "of the photograph": "content"}
SIZES = (400, 600, 800, 1200, 1600, 2400)  # pixels, the longest side
SECONDS_PER_PICTURE = 0.3  # at least, from one picture in the making to the next
EXPECTED = (FloatingPointError, ImportError, MemoryError, OSError, ValueError)


def in_words(seconds):
    """Write a time that is known roughly."""
    if seconds < 55:
        return f"{max(10, round(seconds, -1)):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


# --- the page ------------------------------------------------------------------------------------


def own_paintings():
    """List the project's paintings: (title, path)."""
    return [(title, PROJECT / f"images/{name}_800x600.jpg") for title, name in PAINTINGS.items()]


def heading(text):
    return widgets.HTML(f"<h2>{text}</h2>")


def box(name, *children):
    """Stack widgets in a box with a name in studio.css."""
    stack = widgets.VBox(children)
    stack.add_class(f"studio-{name}")
    return stack


def put(image, data):
    """Show a JPEG in an image widget, and the widget only where there is one."""
    image.value, image.layout.display = data, None if data else "none"


def one_of(description, options):
    """Make radio buttons, of which one is chosen."""
    return widgets.RadioButtons(options=options, description=description)


def told(method):
    """Have what a click or an upload calls say in a sentence on the page what went wrong."""

    @wraps(method)
    def handler(self, event):
        try:
            with self.lock:
                method(self, event)
        except EXPECTED as error:
            self.complain(error)

    return handler


class Studio:
    """The page, and the painter behind it: a cell that ends with `Studio()` shows them."""

    def __init__(self):
        self.photo = widgets.FileUpload(description="Choose a photograph", icon="")
        self.preview = widgets.Image(format="jpeg")
        self.painting = one_of("Painting", own_paintings())
        self.own = widgets.FileUpload(description="Choose a painting of your own", icon="")
        self.faces = widgets.HTML()  # what the paintings look like: a style sheet
        self.strength = one_of("Strength", STRENGTHS)
        self.strokes = one_of("Strokes", STROKES)
        self.colours = one_of("Colours", COLOURS)
        self.size = widgets.Dropdown(description="Longest side")
        self.paint = widgets.Button(description="Paint")
        self.stop = widgets.Button(description="Stop", disabled=True)
        self.save = widgets.Button(description="Save", disabled=True)
        self.message = widgets.HTML()
        self.picture = widgets.Image(format="jpeg")
        self.saved = widgets.HTML()
        self.file = widgets.Image(format="jpeg")  # what was saved, out of sight, for a download
        for name in ("preview", "painting", "paint", "message", "picture", "file"):
            getattr(self, name).add_class(f"studio-{name}")
        self.strength.value, self.strokes.value = STRENGTHS["medium"], STROKES["medium"]

        self.lock = threading.RLock()  # clicks, uploads and the painter come in several threads
        self._folder = tempfile.TemporaryDirectory(prefix="nst-studio-")  # of what is uploaded
        self._content = None  # path of the photograph
        self._proportions = (3, 4)  # of its height and width
        self._seconds = None  # function from (height, width) to what a painting takes
        self._names = self._progress = None  # of the picture that is shown
        self._stopped = threading.Event()
        self._due = 0.0  # when the next picture in the making is to be shown
        put(self.preview, b"")
        put(self.picture, b"")
        self._show_faces()
        self._show_sizes()
        self.photo.observe(self._take_photo, "value")
        self.own.observe(self._take_painting, "value")
        self.paint.on_click(self._begin)
        self.stop.on_click(self._stop)
        self.save.on_click(self._save)
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()

    def _ipython_display_(self):
        files = (Path(__file__).with_suffix(kind) for kind in (".css", ".js"))
        css, script = (file.read_text("utf-8") for file in files)
        constants = json.dumps([largest_file(), TOO_LARGE, NO_FILE])
        script = f"{{ const [LIMIT, TOO_LARGE, NO_FILE] = {constants};\n{script} }}"
        hint = widgets.HTML("or drop one here")
        page = box(
            "page",
            box("part", heading("Photograph"), box("zone", self.preview, self.photo, hint)),
            box(
                "part", heading("Painting"), self.faces, self.painting, box("zone", self.own, hint)
            ),
            box("part", heading("Manner"), self.strength, self.strokes, self.colours, self.size),
            box("actions", self.paint, self.stop, self.save),
            self.message,
            self.saved,
            self.picture,
            self.file,
        )
        display(HTML(f"<style>{css}</style><script>{script}</script>"), page)

    def say(self, text):
        """Show one sentence."""
        self.message.value = f"<p>{html.escape(text)}</p>" if text else ""

    def complain(self, error):
        """Show what went wrong, in one sentence; uploaded pictures are named without a folder."""
        folder = re.escape(self._folder.name) + r"[/\\][^/\\]+[/\\]"
        text = re.sub(folder, "", str(error).partition("\n")[0])
        self.message.value = f'<p role="alert">{html.escape(text)}</p>'

    # --- what is chosen ---

    def _receive(self, upload):
        """Take the file out of an upload, and empty it, so that it takes the same one again."""
        (file, *_), upload.value = upload.value, ()
        self.say(f"Reading {file['name']} …")
        path, pixels = receive(file, self._folder.name)
        self.say("")
        return path, pixels

    @told
    def _take_photo(self, change):
        if change.new:
            self._content, pixels = self._receive(change.owner)
            self._proportions = pixels.shape[:2]
            put(self.preview, as_jpeg(pixels))
            self._show_sizes()

    @told
    def _take_painting(self, change):
        if change.new:
            path, _ = self._receive(change.owner)
            self.painting.options = [*own_paintings(), ("Your own", path)]
            self.painting.value = path
            self._show_faces()

    def _show_faces(self):
        rules = []
        for number, (_, path) in enumerate(self.painting.options, 1):
            face = base64.b64encode(as_jpeg(load_image(path, 120, 160))).decode()
            rules.append(
                f".studio-painting .widget-radio-box label:nth-of-type({number})::before "
                f"{{ background-image: url(data:image/jpeg;base64,{face}) }}"
            )
        self.faces.value = f"<style>{' '.join(rules)}</style>"

    def _show_sizes(self):
        """List the sizes, each with the time that it takes, where that is known."""
        chosen, options = self.size.value or 800, []
        for size in SIZES:
            height, width = (size * side / max(self._proportions) for side in self._proportions)
            label = f"{size} pixels"
            if self._seconds:
                label += f", about {in_words(self._seconds(height, width))}"
            options.append((label, size))
        with self.size.hold_sync():
            self.size.options = options
            self.size.value = chosen

    # --- the painter ---

    def _measure(self):
        """Paint a little, to know how fast this machine is; TensorFlow is loaded then, too."""
        pictures = PROJECT / CONFIG.CONTENT_IMAGE, PROJECT / CONFIG.STYLE_IMAGE
        with suppress(*EXPECTED):  # whoever paints is told
            with closing(self._painting(*pictures, size=100)) as painting:
                *_, progress = islice(painting, 4)  # the first to know the time left
            self._learn(progress.seconds_left / (1 - progress.done), progress.size)

    def _painting(self, *pictures, **settings):
        return load_painter()(*pictures, model=PROJECT / CONFIG.VGG_MODEL, **settings)

    def _learn(self, seconds, size):
        """Note how long a painting of that size, (height, width), takes."""
        from nst.painting.painter import work  # here: it imports TensorFlow, which takes seconds

        rate = seconds / work(*size)
        with self.lock:
            self._seconds = lambda *size: rate * work(*size)
            self._show_sizes()

    @told
    def _begin(self, _):
        if self.paint.disabled:  # the second of two clicks
            return
        if self._content is None:
            raise ValueError("There is no photograph yet: choose one, or drop it on this page")
        self._names, self._progress = (self._content, self.painting.value), None
        names = ("size", "strength", "strokes", "colours")
        settings = {name: getattr(self, name).value for name in names}
        put(self.picture, self.preview.value)
        self.saved.value = ""
        self._set_buttons(painting=True)
        self.say("The painter gets ready …")
        self._stopped = threading.Event()
        arguments = (self._thread, self._stopped, self._names, settings)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()

    @told
    def _stop(self, _):
        if self.stop.disabled:
            return
        self._stopped.set()  # the evaluation under way ends, and nobody waits for it
        if self._progress:
            self._end(f"Stopped when {self._progress.done:.0%} was done: save it, or paint again")
        else:
            self._end("Stopped before there was a picture")

    def _run(self, before, stopped, names, settings):
        """Paint in a thread, once the thread `before` is through with its last evaluation."""
        before.join()
        if stopped.is_set():
            return
        begun = time.monotonic()
        try:
            with closing(self._painting(*names, **settings)) as painting:
                for progress in painting:
                    if not self._offer(progress, stopped):
                        return
            with self.lock:
                if not stopped.is_set():
                    self._end("Finished: save it, or paint again")
            self._learn(time.monotonic() - begun, progress.size)
        except Exception as error:  # whatever it is, nobody else would hear of it
            if not isinstance(error, EXPECTED):
                error = f"The painting broke off ({type(error).__name__}): choose a smaller size"
            with self.lock:
                if not stopped.is_set():
                    self._end("")
                    self.complain(error)

    def _offer(self, progress, stopped):
        """Keep what was painted, and show it now and then; return whether to go on."""
        with self.lock:
            if stopped.is_set():
                return False
            self._progress = progress
            if time.monotonic() > self._due:
                self._show()
                parts = map(str.strip, describe(progress).strip().split("   "))
                bar = f'<progress value="{progress.done}"></progress>'
                self.message.value = f"<p>{bar}{' · '.join(parts).capitalize()}</p>"
            self.save.disabled = False
            return True

    def _show(self):
        """Show the picture so far."""
        put(self.picture, as_jpeg(to_pixels(self._progress.image)))
        self._due = time.monotonic() + SECONDS_PER_PICTURE

    def _end(self, text):
        if self._progress:
            self._show()
        else:
            put(self.picture, b"")
        self._set_buttons(painting=False)
        self.say(text)

    def _set_buttons(self, painting):
        self.paint.disabled, self.stop.disabled = painting, not painting
        self.save.disabled = self._progress is None

    @told
    def _save(self, _):
        path = save_new(self._progress.full_size(), *self._names)
        self.file.value = path.read_bytes()
        name = html.escape(path.name)
        self.saved.value = (
            f'<p role="status">Saved as {html.escape(str(path))}. '
            f'<a class="studio-download" href="#" download="{name}">Download it</a></p>'
        )
