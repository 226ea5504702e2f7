"""Run a notebook from the terminal, and keep the executed copy.

The values given replace those of the notebook's cell with the tag `parameters`. The terminal shows
the sections as they come, what the cells tagged `terminal` print, and the line that
`nst.training.Run` keeps up to date.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.util import ensure_async

from nst.config import IN_CHECKOUT, LAB, PROJECT, WORKPLACE
from nst.notebook import PROGRESS_ID

STOPPED = "Stopped after iteration"


class TerminalClient(NotebookClient):
    """Execute a notebook and tell the terminal how far it is."""

    echo = False  # print what cells print
    line = ""  # the progress line that stands on the terminal
    interrupted = False
    printed = 0.0  # when a log, which cannot overwrite a line, got its last one

    def say(self, text):
        """Print a line for good."""
        print(f"\n{text}" if self.line else text, flush=True)
        self.line = ""

    def show_progress(self, line):
        """Print a line over the one before; a log gets one every 10 seconds."""
        if sys.stdout.isatty():
            print(f"\r{line:{len(self.line)}}", end="", flush=True)
            self.line = line
        elif time.monotonic() > self.printed + 10:
            print(line, flush=True)
            self.printed = time.monotonic()

    def interrupt(self):
        """Pass Ctrl-C on to the kernel, which ends its training run and keeps the picture."""
        self.interrupted = True
        self.say("  stopping after this iteration")
        self.interruption = asyncio.ensure_future(ensure_async(self.km.interrupt_kernel()))

    async def async_execute_cell(self, cell, cell_index, **kwargs):
        # Windows, where Ctrl-C reaches the kernel by itself; a thread, as in a Dask worker
        with suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.interrupt)
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith(("# ", "## ")):
                    self.say(line.lstrip("# "))
        return await super().async_execute_cell(cell, cell_index, **kwargs)

    def process_message(self, msg, cell, cell_index):
        content = msg["content"]
        if content.get("transient", {}).get("display_id", "").startswith(PROGRESS_ID):
            self.show_progress("  " + content["data"]["text/plain"])
        if msg["msg_type"] == "stream":
            shown = "terminal" in cell.metadata.get("tags", [])
            for line in content["text"].splitlines():
                if self.echo:
                    self.say(line)
                elif shown or line.startswith(STOPPED):
                    self.say(f"  {line}")
        return super().process_message(msg, cell, cell_index)


def set_parameters(notebook, values):
    """Insert a cell that sets `values` (name to value) behind the cell tagged `parameters`."""
    tagged = [i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])]
    if not tagged and set(values) <= {"OUTPUT_DIR"}:
        return  # the executed copy goes there in any case
    if not tagged:
        raise ValueError("the notebook has no cell with the tag `parameters` to set values in")
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(tagged[0] + 1, cell)


def is_course_notebook(notebook):
    """Tell whether a notebook was written for TensorFlow 1 itself."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return "compat.v1" not in code and re.search(r"\btf\.(Interactive)?Session\b", code)


def run(path, output_dir, values):
    """Execute the notebook at `path` and write the executed copy into `output_dir`.

    A course notebook of 2018 gets TensorFlow 1, and what it prints is printed here too.
    """
    notebook = nbformat.read(path, as_version=4)
    if values:
        set_parameters(notebook, values)
    client = TerminalClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    if is_course_notebook(notebook):
        client.echo = True
        client.extra_arguments += ["--ext=nst"]
    try:
        client.execute(env=environment)
    except CellExecutionError:
        if not client.interrupted:
            raise
    finally:
        output_dir.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, output_dir / path.name)
    if client.interrupted:
        raise KeyboardInterrupt


def from_project(path):
    """Name a path of the caller's as a notebook finds it, which works in the project's folder."""
    if path is None:
        return None
    path = Path(path).absolute()
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


def main(arguments=None):
    """Be the command `nst run`."""
    parser = argparse.ArgumentParser(
        prog="nst run",
        description="Run the lab, or another notebook, from the terminal.",
        epilog="example: nst run --content photo.jpg --style painting.jpg --size 600",
    )
    parser.add_argument("notebook", nargs="?", type=Path, default=LAB)
    parser.add_argument("--content", help="content picture")
    parser.add_argument("--style", help="style picture")
    parser.add_argument("--size", type=int, help="longest side of the content, in pixels")
    parser.add_argument("--iterations", type=int, help="steps of the optimiser")
    parser.add_argument("--precision", help="float32, bfloat16 or auto")
    parser.add_argument("--weights", help="weight file, of VGG-19 or VGG-16")
    parser.add_argument(
        "--output", type=Path, help="folder for everything that is made, default: output"
    )
    parser.add_argument(
        "--resume", action="store_true", default=None, help="go on where a stopped run stopped"
    )
    args = parser.parse_args(arguments)
    output_dir = args.output.absolute() if args.output else WORKPLACE / "output"
    values = {
        "CONTENT_IMAGE": from_project(args.content),
        "STYLE_IMAGE": from_project(args.style),
        "SIZE": args.size,
        "ITERATIONS": args.iterations,
        "PRECISION": args.precision,
        "RESUME": args.resume,
        "VGG_MODEL": from_project(args.weights),
        "OUTPUT_DIR": from_project(output_dir) if args.output or not IN_CHECKOUT else None,
    }
    start, begun, stopped = time.monotonic(), time.time(), False
    try:
        run(args.notebook, output_dir, {k: v for k, v in values.items() if v is not None})
    except CellExecutionError as error:
        sys.exit(f"\n{error.ename}: {error.evalue}")
    except (OSError, ValueError) as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        stopped = True
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    print(f"{'Stopped after' if stopped else 'Finished in'} {minutes} min {seconds} s:")
    for name in ("generated_image.jpg", "evolution.gif", args.notebook.name):
        made = output_dir / name
        if made.exists() and made.stat().st_mtime >= begun:
            print(f"  {os.path.relpath(made)}")
