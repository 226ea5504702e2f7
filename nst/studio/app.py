"""The studio's page: Gradio components, and what their events do."""

import html
import os
import time
from contextlib import aclosing

import gradio as gr

from nst.core.config import PROJECT
from nst.core.files import reserved_path
from nst.core.images import save_image
from nst.core.progress import format_duration
from nst.painting.options import STRENGTHS, output_paths
from nst.studio import worker

PAINTINGS = ("impressionist", "starry_swirl", "kashi", "blue_abstract")
STROKES = {"fine": 0.5, "medium": 1.0, "large": 2.0}
COLORS = {"painting's": "style", "photo's": "content"}
SIZES = (400, 600, 800, 1200, 1600, 2400)  # pixels, the longest side
WAITING = "Waiting for the painter, which paints one picture at a time"


def build_page():
    """Return the page, a gradio.Blocks."""
    with gr.Blocks(title="Neural style transfer", delete_cache=(3600, 86400)) as page:
        gr.Markdown("# Neural style transfer\nPaint a photo in the style of a painting.")
        with gr.Row():
            with gr.Column(scale=3):
                with gr.Row():
                    content = add_upload("Photo", "cat", "coffee")
                    style = add_upload("Painting", *(f"{name}_800x600" for name in PAINTINGS))
                with gr.Row():
                    strength = gr.Radio([*STRENGTHS.items()], value=0.5, label="Strength")
                    strokes = gr.Radio([*STROKES.items()], value=1.0, label="Strokes")
                with gr.Row():
                    colors = gr.Radio([*COLORS.items()], value="style", label="Colors")
                    size = gr.Dropdown(SIZES, value=800, label="Longest side, in pixels")
                with gr.Row():
                    start = gr.Button("Paint", variant="primary")
                    stop = gr.Button("Stop", variant="stop")
            with gr.Column(scale=2):
                picture = gr.Image(label="Result", buttons=["download", "fullscreen"])
                status = gr.HTML()
        inputs, outputs = [content, style, size, strength, strokes, colors], [picture, status, size]
        start.click(lambda: WAITING, None, status, queue=False, show_progress="hidden")
        # one at a time, by Gradio's queue; not preprocessed: the painter reads or refuses the files
        run = start.click(paint, inputs, outputs, preprocess=False, show_progress="hidden")
        stop.click(None, cancels=run).then(lambda: "Stopped", None, status, show_progress="hidden")
    return page


def add_upload(label, *names):
    """Add an image to upload, or to choose from pictures in images/."""
    with gr.Column(min_width=240):
        image = gr.Image(label=label, height=240)
        gr.Examples([str(PROJECT / "images" / f"{name}.jpg") for name in names], image)
    return image


async def paint(content, style, size, strength, strokes, colors):
    """Yield picture, status and sizes while a painting evolves in its file in output/."""
    paths = [image["path"] for image in (content, style) if image]
    settings = {"size": size, "strength": strength, "strokes": strokes, "colors": colors}
    try:
        if len(paths) < 2:
            raise ValueError("upload a photo and a painting first, or choose examples")
        begun, names = time.monotonic(), output_paths(paths[0], paths[1:])
        with reserved_path(names) as path:
            async with aclosing(worker.paint(*paths, **settings)) as painting:
                async for image, done, left in painting:
                    save_image(path, image)
                    text = f"{done:.0%} done" + (f", {format_duration(left)} left" if left else "")
                    bar = f'<progress value="{done}" style="width: 100%"></progress><br>{text}'
                    yield gr.update(value=path, label=os.path.relpath(path)), bar, gr.skip()
        seconds = time.monotonic() - begun
        yield gr.skip(), f"Finished in {format_duration(seconds)}", list_sizes(seconds / size)
    except (RuntimeError, *worker.EXPECTED) as error:
        yield gr.skip(), "", gr.skip()
        for path in paths:  # of uploads: only their names mean something to the user
            error = str(error).replace(path, os.path.basename(path))
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None


def list_sizes(rate):
    """Update the sizes with the time of each: the work grows about as the side, not the area."""
    times = [format_duration(max(10, round(rate * size, -1))) for size in SIZES]
    return gr.update(choices=[(f"{s}, about {t}", s) for s, t in zip(SIZES, times, strict=True)])
