"""Command `nst studio`: serve the studio's page, by default to this machine alone."""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading

from nst.core.cli import Parser, whole_number
from nst.core.config import WORKPLACE

LOCAL = ("127.0.0.1", "localhost")
PASSWORD = "NST_STUDIO_PASSWORD"  # environment variable, as other users can read a command line
LAUNCH = {"max_file_size": "512mb", "share": False, "ssr_mode": False, "run_history": False}
LAUNCH |= {"footer_links": [], "quiet": True, "prevent_thread_lock": True}


def main(arguments=None):
    """Run the command `nst studio`."""
    parser = Parser(prog="nst studio", description=__doc__, epilog="example: nst studio --port=80")
    parser.add_argument("--host", default=LOCAL[0], help=f"another address needs {PASSWORD}")
    parser.add_argument("--port", type=whole_number(1), help="default: a free one from 7860 on")
    args = parser.parse_args(arguments)
    is_local, password = args.host in LOCAL, os.environ.get(PASSWORD)
    if not (is_local or password):
        sys.exit(f"--host {args.host} opens the studio to a network: set a password in {PASSWORD}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    os.chdir(WORKPLACE)  # Gradio hands out files that the page names only if they are in here
    with tempfile.TemporaryDirectory(prefix="nst-studio-") as folder:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            from nst.studio.app import build_page
        except ImportError as error:
            sys.exit(f"the studio needs Gradio ({error}): pip install -r requirements-studio.txt")
        _, address, _ = build_page().launch(
            server_name=args.host,
            server_port=args.port,
            inbrowser=is_local,
            auth=("studio", password) if password else None,
            app_kwargs={"middleware": [(refuse_other_sites, (), {"is_local": is_local})]},
            **LAUNCH,
        )
        print(f"The studio is open until Ctrl-C: {address}", flush=True)
        try:
            threading.Event().wait()
        finally:  # a painting under way would write into the folder again
            for child in multiprocessing.active_children():
                child.kill()


def refuse_other_sites(app, is_local):
    """Return an ASGI app that refuses what other sites' pages send; Gradio answers them."""

    async def checked(scope, receive, send):
        headers = dict(scope.get("headers", ()))
        host, origin = (headers.get(name, b"").decode() for name in (b"host", b"origin"))
        known = not is_local or host.split(":")[0] in LOCAL  # against DNS rebinding
        known &= not origin or origin.endswith(f"://{host}")
        if known or scope["type"] != "http":
            return await app(scope, receive, send)
        await send({"type": "http.response.start", "status": 403})
        await send({"type": "http.response.body", "body": b"Another site's page sent this."})

    return checked
