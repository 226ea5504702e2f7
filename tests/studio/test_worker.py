"""A painting in a process of its own: its images, its refusals, its end."""

import asyncio
import multiprocessing
from contextlib import aclosing

import numpy as np
import pytest
from PIL import Image

from nst.painting import painter
from nst.studio import worker


@pytest.fixture
def pictures(tmp_path):
    """Paths of a photograph and of a painting."""
    gradient = Image.linear_gradient("L").resize((80, 60))
    paths = tmp_path / "photo.png", tmp_path / "painting.png"
    for path, picture in zip(paths, (gradient, gradient.rotate(90)), strict=True):
        picture.convert("RGB").save(path)
    return paths


def collect(pictures, act=lambda: None, **settings):
    """Return what `worker.paint` yields, calling `act` after each."""

    async def run():
        async with aclosing(worker.paint(*pictures, **settings)) as painting:
            return [(answer, act())[0] async for answer in painting]

    return asyncio.run(run())


def test_the_last_image_is_the_finished_one(pictures, fake_weights):
    settings = {"size": 60, "model": fake_weights, "precision": "float32", "strokes": 2.0}
    *_, (image, done, seconds_left) = collect(pictures, **settings)
    *_, expected = painter.paint(*pictures, **settings)
    assert (done, seconds_left) == (1, 0)
    assert np.abs(image - expected.full_size()).max() < 1
    assert not multiprocessing.active_children()


def test_a_refusal_is_the_sentence_of_the_painter(pictures, fake_weights):
    pictures[0].write_text("To do")
    with pytest.raises(RuntimeError, match=r"photo\.png is not an image"):
        collect(pictures, size=60, model=fake_weights)


def test_too_little_memory_is_refused(pictures, fake_weights):
    with pytest.raises(RuntimeError, match="memory"):
        collect(pictures, size=60, model=fake_weights, memory=0.001)


def test_a_dead_process_is_reported(pictures, fake_weights):
    def kill():
        multiprocessing.active_children()[0].kill()

    with pytest.raises(RuntimeError, match="broke off"):
        collect(pictures, kill, size=2400, model=fake_weights)
