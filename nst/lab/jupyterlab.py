"""The command `nst lab`, which opens the lab in JupyterLab.

The project's folder is JupyterLab's root, since a notebook's figures are in ../images/ and its
results in ../output/: JupyterLab shows nothing outside its root.
"""

import os
import sys
from pathlib import Path

from nst.assignment import exercises
from nst.core.cli import Parser
from nst.core.config import IN_CHECKOUT, LAB, PROJECT

SETTINGS = (
    f"--ServerApp.root_dir={PROJECT}",
    "--allow-root",  # in a container everybody is root; it changes nothing for others
    # JupyterLab does not ask the network for news, newer versions or extensions; labconfig/ keeps
    # it from asking the student for permission to do so
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
    notebook = LAB if args.solved else exercises.EXERCISES
    if not notebook.exists():
        exercises.main([])
    from jupyterlab.labapp import LabApp

    before = os.environ.get("JUPYTER_CONFIG_PATH")
    here = str(Path(__file__).parent)  # with labconfig/
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, (here, before)))
    page = notebook.relative_to(PROJECT).as_posix()
    # the address that is printed, for those whose browser is on another machine
    address = f"--LabApp.default_url=/lab/tree/{page}"
    LabApp.launch_instance([*SETTINGS, address, str(notebook), *options])
