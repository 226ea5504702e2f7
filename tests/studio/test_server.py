"""The studio's command, and who may use its page."""

import asyncio
import sys

import pytest

from nst.studio import server


def request(host, origin=None, is_local=True):
    """Return the status of the answer to a request with these headers."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    async def send(message):
        sent.append(message)

    headers = {b"host": host.encode()} | ({b"origin": origin.encode()} if origin else {})
    scope = {"type": "http", "headers": headers.items()}
    asyncio.run(server.refuse_other_sites(app, is_local)(scope, None, send))
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("host", "origin", "is_local", "status"),
    [
        ("127.0.0.1:7860", None, True, 200),
        ("localhost:7860", "http://localhost:7860", True, 200),
        ("127.0.0.1:7860", "http://evil.example", True, 403),
        ("127.0.0.1:7860", "http://127.0.0.1:8000", True, 403),
        ("127.0.0.1:7860", "http://evil-127.0.0.1:7860", True, 403),
        ("127.0.0.1:7860", "null", True, 403),
        ("evil.example:7860", "http://evil.example:7860", True, 403),  # resolves to 127.0.0.1
        ("studio.example", "https://studio.example", False, 200),
        ("studio.example", "https://evil.example", False, 403),
    ],
)
def test_pages_of_other_sites_are_refused(host, origin, is_local, status):
    assert request(host, origin, is_local) == status


def test_a_network_is_served_with_a_password_only(monkeypatch):
    monkeypatch.delenv(server.PASSWORD, raising=False)
    with pytest.raises(SystemExit, match="password"):
        server.main(["--host", "0.0.0.0"])


def test_without_gradio_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr(server.signal, "signal", lambda *_: None)
    monkeypatch.setattr(server.os, "chdir", lambda _: None)
    monkeypatch.setattr(server.os, "environ", {})
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "nst.studio.app", raising=False)
    with pytest.raises(SystemExit, match=r"requirements-studio\.txt"):
        server.main([])
