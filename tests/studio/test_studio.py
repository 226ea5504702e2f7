"""The studio without a browser: a painting in its process, and who may use the page."""

import asyncio
import multiprocessing
from contextlib import aclosing

import numpy as np
import pytest

from nst.painting import painter
from nst.studio import server, worker
from tests.conftest import ROOT

PICTURES = [str(ROOT / "images" / name) for name in ("ruins.jpg", "kashi.jpg")]


def collect(act=lambda: None, **settings):
    """Return what `worker.paint` yields, calling `act` after each."""

    async def run():
        async with aclosing(worker.paint(*PICTURES, **settings)) as painting:
            return [(answer, act())[0] async for answer in painting]

    return asyncio.run(run())


def test_the_last_image_is_the_finished_one(fake_weights):
    settings = {"size": 60, "model": fake_weights, "precision": "float32", "strokes": 2.0}
    *_, (image, done, seconds_left) = collect(**settings)
    *_, expected = painter.paint(*PICTURES, **settings)
    assert (done, seconds_left) == (1, 0)
    assert np.abs(image - expected.full_size()).max() < 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"memory": 0.001}, "memory"), ({"model": "missing.mat"}, r"missing\.mat")],
)
def test_a_refusal_is_the_sentence_of_the_painter(fake_weights, settings, words):
    with pytest.raises(RuntimeError, match=words):
        collect(**{"size": 60, "model": fake_weights} | settings)


def test_a_dead_process_is_reported(fake_weights):
    with pytest.raises(RuntimeError, match="broke off"):
        collect(lambda: multiprocessing.active_children()[0].kill(), model=fake_weights)


@pytest.mark.parametrize(
    ("host", "origin", "is_local", "status"),
    [
        ("127.0.0.1:7860", "", True, 200),
        ("localhost:7860", "http://localhost:7860", True, 200),
        ("127.0.0.1:7860", "http://evil-127.0.0.1:7860", True, 403),
        ("127.0.0.1:7860", "null", True, 403),
        ("evil.example:7860", "http://evil.example:7860", True, 403),  # resolves to 127.0.0.1
        ("studio.example", "https://studio.example", False, 200),
    ],
)
def test_pages_of_other_sites_are_refused(host, origin, is_local, status):
    sent = []

    async def send(message):
        sent.append(message)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    headers = {b"host": host.encode()} | ({b"origin": origin.encode()} if origin else {})
    scope = {"type": "http", "headers": headers.items()}
    asyncio.run(server.refuse_other_sites(app, is_local)(scope, None, send))
    assert sent[0]["status"] == status


def test_a_network_is_served_with_a_password_only(monkeypatch):
    monkeypatch.delenv(server.PASSWORD, raising=False)
    with pytest.raises(SystemExit, match="password"):
        server.main(["--host", "0.0.0.0"])
