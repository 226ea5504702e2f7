"""Open the studio, a page to paint on, in the browser: what `make studio` does.

Voilà shows notebooks/Studio.ipynb without its code, on this machine alone and to whoever has the
token. Each tab has a kernel of its own, which ends with the tab, and the painting with it.
"""

import argparse
import os
import sys
import threading
import webbrowser
from pathlib import Path

from nst.core.config import IN_CHECKOUT, PROJECT
from nst.studio.uploads import MESSAGE_LIMIT

NOTEBOOK = PROJECT / "notebooks" / "Studio.ipynb"
LARGEST_MESSAGE = 256 << 20  # bytes
# Nothing is fetched from elsewhere: Voilà's own template names a server's fonts, for icons.
POLICY = "default-src 'self' ws: data: blob: 'unsafe-inline' 'unsafe-eval'"


def main(arguments=None):
    """Run the command `nst studio`."""
    parser = argparse.ArgumentParser(
        prog="nst studio",
        description="Open a page in the browser on which photographs are painted; Voilà's own "
        "options follow.",
        epilog="example: nst studio --no-browser --port=9000",
    )
    _, options = parser.parse_known_args(arguments)
    if not IN_CHECKOUT:
        sys.exit(f"{PROJECT} is an installed package, not a place to work in: clone the project")
    from tornado.ioloop import IOLoop
    from traitlets.config import Config
    from voila.app import Voila

    class Server(Voila):
        def listen(self):
            """Take a port, and say once it is known where the page is."""
            where = "The studio is open until Ctrl-C: {.display_url}"
            IOLoop.current().add_callback(lambda: print(where.format(self), flush=True))
            super().listen()

        def launch_browser(self):
            """Lead the browser by way of a file, since others can read a command and its token."""
            file = Path(self.connection_dir, "studio.html")
            file.write_text(f'<meta http-equiv="refresh" content="0;url={self.display_url}">')
            threading.Thread(target=webbrowser.open, args=(file.as_uri(),)).start()

    os.environ[MESSAGE_LIMIT] = str(LARGEST_MESSAGE)  # for the kernels
    Server.launch_instance(
        [str(NOTEBOOK), *options],
        ip="127.0.0.1",
        auto_token=True,
        log_level="ERROR",
        tornado_settings={
            "websocket_max_message_size": LARGEST_MESSAGE,
            # a tab that closes ends its kernel by a request without the mark against other sites;
            # it names the kernel, which they do not know
            "disable_check_xsrf": True,
            "ws_ping_timeout": 30_000,  # ms; its default is beyond what Tornado takes
            "headers": {"Content-Security-Policy": POLICY},
        },
        # a tab ends its kernel itself, but not where the browser is killed
        config=Config(
            MappingKernelManager={"cull_idle_timeout": 600, "cull_interval": 60},
            KernelManager={"transport_encryption": "auto"},
        ),
    )
