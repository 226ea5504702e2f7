"""Run a notebook from the terminal, and keep the executed copy.

The given values replace those of the notebook's cell with the tag `parameters`.
"""

import atexit
import logging
import os
import re
import shlex
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import CellExecutionError

from nst.core.cli import Parser, one_of, user_path, whole_number
from nst.core.config import BYTES_PER_PIXEL, CONFIG, IN_CHECKOUT, LAB, PACKAGE, PROJECT, WORKPLACE
from nst.core.files import temporary_beside, whole_file
from nst.core.images import PICTURE_EXTENSIONS, SHORTEST_SIDE, fit_size
from nst.core.memory import free_memory
from nst.lab.notebook_client import TerminalClient, ctrl_c_to

log = logging.getLogger(__name__)  # nbclient's: what it would log is told in one sentence here
log.addHandler(logging.NullHandler())
log.propagate = False


def _tagged(notebook):
    return [i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])]


def installed_values(notebook, output_dir):
    """Return the values that a notebook needs where nst is installed, outside its own folder."""
    if IN_CHECKOUT or not _tagged(notebook):
        return {}
    return {"VGG_MODEL": CONFIG.VGG_MODEL, "OUTPUT_DIR": str(output_dir)}


def set_parameters(notebook, values):
    """Insert a cell that sets `values` (name to value) after the cell tagged `parameters`."""
    tagged = _tagged(notebook)
    if not tagged and set(values) <= {"OUTPUT_DIR"}:
        return  # any other notebook: only its executed copy goes there
    if not tagged:
        raise ValueError(
            f"the notebook has no cell with the tag `parameters`, in which {', '.join(values)} "
            "could be set: give that tag to the cell with its settings"
        )
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(tagged[0] + 1, cell)


def is_course_notebook(notebook):
    """Tell whether a notebook was written for TensorFlow 1 itself."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return "compat.v1" not in code and re.search(r"\btf\.(Interactive)?Session\b", code)


def read_notebook(path):
    """Read a notebook, without the outputs that it is stored with.

    Raises OSError or ValueError.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
    except OSError as error:
        raise OSError(
            f"{path} cannot be read ({error.strerror or error}): check the notebook's name"
        ) from None
    except Exception:  # each of nbformat, json and jsonschema raises its own
        raise ValueError(
            f"{path} is not a Jupyter notebook, or is damaged: download or save it again as .ipynb"
        ) from None
    return notebook


def run(path, output_dir, values):
    """Execute the notebook at `path` and write the executed copy into `output_dir`.

    A course notebook of 2018 gets TensorFlow 1, and what it prints is printed here too. A run that
    fails leaves <name>_unfinished.ipynb, and the good copy of an earlier run as it was.

    Raises CellExecutionError where a cell fails; RuntimeError where the kernel dies;
    KeyboardInterrupt once Ctrl-C has ended the run; OSError or ValueError.
    """
    notebook = read_notebook(path)
    values = installed_values(notebook, output_dir) | values
    if values:
        set_parameters(notebook, values)
    copy = output_dir / path.name
    if copy.resolve() == path.resolve():
        raise ValueError(
            f"the executed copy would replace {path}: choose a different output folder"
        )
    with temporary_beside(copy):  # before hours of work, not after
        pass
    client = TerminalClient(
        notebook,
        timeout=None,
        startup_timeout=300,
        shell_timeout_interval=1,
        kernel_name="python3",
        kernel_manager_class=AsyncKernelManager,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=CRITICAL"],
        log=log,
    )
    if is_course_notebook(notebook):
        client.echo = True
        client.extra_arguments += ["--ext=nst"]
    begun = time.time()
    try:
        with ctrl_c_to(client):
            client.execute(env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)})
    except (Exception, KeyboardInterrupt) as error:
        stopped = client.interrupted or isinstance(error, KeyboardInterrupt)
        if not (stopped and is_newer(output_dir / "generated_image.jpg", begun)):
            copy = _unfinished(copy)
        if client.code_cells_executed:
            with suppress(OSError):  # the first failure is the one to report
                _write(notebook, copy)
        raise KeyboardInterrupt if stopped else error from None
    finally:
        # nbclient leaves it registered where the kernel dies before its first answer
        atexit.unregister(client._cleanup_kernel)
    _write(notebook, copy)
    if client.interrupted:
        raise KeyboardInterrupt


def _unfinished(copy):
    """Name the copy of a run that did not reach its end."""
    return copy.with_stem(f"{copy.stem}_unfinished")


def _write(notebook, path):
    with whole_file(path) as temporary:
        nbformat.write(notebook, temporary)


def is_newer(path, begun):
    """Tell whether the file `path` is there and was written after the time `begun`."""
    try:
        return path.stat().st_mtime >= begun
    except OSError:
        return False


def from_project(path):
    """Turn a path of the caller's into one from the project's folder, where notebooks run."""
    if path is None or "://" in str(path):  # an address is refused where pictures are read
        return path
    path = Path(path).expanduser().absolute()
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


# --- the command ---------------------------------------------------------------------------------


def _parser():
    parser = Parser(
        prog="nst run",
        description="Run the lab, or another notebook, from the terminal.",
        epilog="example: nst run photo.jpg painting.jpg --size 600",
    )
    parser.add_input(
        "notebook", fits=lambda word: not is_picture(word), type=user_path, help="default: the lab"
    )
    parser.add_input("content", fits=is_picture, help="content image")
    parser.add_input("style", fits=is_picture, help="style image")
    parser.add_argument(
        "--size", type=whole_number(SHORTEST_SIDE), help="longest side of the content, in pixels"
    )
    parser.add_argument("--iterations", type=whole_number(1), help="steps of the optimizer")
    parser.add_argument(
        "--precision",
        type=one_of("float32", "bfloat16", "auto"),
        help="float32, bfloat16 or auto, which is bfloat16 if that is faster on this machine",
    )
    parser.add_argument("--weights", help="weight file, of VGG-19 or VGG-16")
    parser.add_argument("--output", type=user_path, help="folder for the results, default: output")
    parser.add_switch("resume", help="continue a run that was stopped")
    return parser


def is_picture(word):
    """Return whether a word on the command line names a picture, not a notebook."""
    return word.lower().endswith((*PICTURE_EXTENSIONS, ".heic"))


def _check(args):
    """Refuse pictures, sizes and folders that cannot work, before anything is started."""
    if args.output and is_picture(args.output.name) and not args.output.is_dir():
        raise ValueError(
            f"{args.output} looks like a picture, but the output is a folder for all results: give "
            "the name of a folder"
        )
    for picture in filter(None, (args.content, args.style)):
        fit_size(picture)
    if args.size:
        height, width = fit_size(args.content or PROJECT / CONFIG.CONTENT_IMAGE, args.size)
        if BYTES_PER_PIXEL * height * width > free_memory():
            from nst.vgg.network import check_memory  # here: it imports TensorFlow

            check_memory(height, width)


def command_to_go_on(args):
    """Return the command that continues a run, by make if it was begun by make."""
    given = {name: str(value) for name, value in vars(args).items() if value is not None}
    given["resume"] = "1"
    if args.notebook == LAB:
        del given["notebook"]
    if "MAKELEVEL" in os.environ and not args.weights:
        return shlex.join(["make", "run", *(f"{k.upper()}={v}" for k, v in given.items())])
    notebook = [given.pop("notebook")] if "notebook" in given else []
    python = [] if shutil.which("nst") else [Path(sys.executable).name, "-m"]
    return shlex.join([*python, "nst", "run", *(f"--{k}={v}" for k, v in given.items()), *notebook])


def main(arguments=None):
    """Run the command `nst run`."""
    args = _parser().parse_args(arguments)
    args.notebook = args.notebook or LAB
    output_dir = args.output.absolute() if args.output else WORKPLACE / "output"
    values = {
        "CONTENT_IMAGE": from_project(args.content),
        "STYLE_IMAGE": from_project(args.style),
        "SIZE": args.size,
        "ITERATIONS": args.iterations,
        "PRECISION": args.precision,
        "RESUME": args.resume,
        "VGG_MODEL": from_project(args.weights),
        "OUTPUT_DIR": from_project(output_dir) if args.output else None,
    }
    start, begun, stopped = time.monotonic(), time.time(), False
    try:
        _check(args)
        run(args.notebook, output_dir, {k: v for k, v in values.items() if v is not None})
    except CellExecutionError as error:
        sys.exit(f"\n{error.ename}: {error.evalue.partition(chr(10))[0]}")
    except (MemoryError, OSError, ValueError) as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        stopped = True
    except RuntimeError:  # of nbclient: the kernel died, or never came
        again = "choose a smaller size"
        if is_newer(output_dir / "state.npz", begun):
            again = f"continue from its last report: {command_to_go_on(args)}"
        sys.exit(
            f"\nthe notebook's kernel died, perhaps because memory ran out: make room and {again}"
        )
    _tell(args, output_dir, time.monotonic() - start, begun, stopped)


def _tell(args, output_dir, seconds, begun, stopped):
    """Say how long it took, what was made, and how to go on with a run that was stopped."""
    notebook = args.notebook
    names = ("generated_image.jpg", "evolution.gif", notebook.name, _unfinished(notebook).name)
    made = [output_dir / name for name in names if is_newer(output_dir / name, begun)]
    can_go_on = stopped and is_newer(output_dir / "state.npz", begun)
    if stopped and not (made or can_go_on):
        sys.exit("Stopped before anything was made")
    took = "{} min {} s".format(*divmod(round(seconds), 60))
    print(f"{'Stopped after' if stopped else 'Finished in'} {took}:")
    for path in made:
        print(f"  {os.path.relpath(path)}")
    if can_go_on:
        print(f"To go on: {command_to_go_on(args)}")
