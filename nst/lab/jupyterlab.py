"""Open the lab in JupyterLab: what `make lab` does.

The project's folder is JupyterLab's root, since a notebook's figures lie in ../images/ and what it
paints in ../output/: JupyterLab shows nothing that lies outside its root.
"""

import os
import sys
from pathlib import Path

from nst.assignment.exercises import EXERCISES
from nst.core.cli import Parser
from nst.core.config import IN_CHECKOUT, LAB, PROJECT

SETTINGS = (
    f"--ServerApp.root_dir={PROJECT}",
    "--allow-root",  # in a container everybody is root; for others it changes nothing
    # JupyterLab asks the network neither for news nor for a newer version nor for extensions;
    # labconfig/ keeps it from asking the student whether it may
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def main(arguments=None):
    """Run the command `nst lab`."""
    parser = Parser(
        prog="nst lab",
        description="Open the exercise edition in JupyterLab; JupyterLab's own options follow.",
        epilog="example: nst lab --solved --no-browser --port=9000",
    )
    parser.add_argument("--solved", action="store_true", help="open the solved lab instead")
    args, options = parser.parse_known_args(arguments)
    if not IN_CHECKOUT:
        sys.exit(f"{PROJECT} is an installed package, not a place to work in: clone the project")
    from jupyterlab.labapp import LabApp

    paths = (str(Path(__file__).parent), os.environ.get("JUPYTER_CONFIG_PATH"))
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))
    LabApp.launch_instance([*SETTINGS, str(LAB if args.solved else EXERCISES), *options])
