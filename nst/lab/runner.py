"""The command `nst run`: run a notebook or a script from the terminal, and keep the executed copy.

Values that are given replace those of the notebook's cell with the tag `parameters`.
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
from textwrap import shorten

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import CellExecutionError

from nst.core.cli import Parser, one_of, user_path, whole_number
from nst.core.config import BYTES_PER_PIXEL, CONFIG, IN_CHECKOUT, LAB, PACKAGE, PROJECT, WORKPLACE
from nst.core.files import temporary_beside, whole_file
from nst.core.images import PICTURE_EXTENSIONS, SHORTEST_SIDE, fit_size
from nst.core.interrupts import on_interrupt
from nst.core.memory import free_memory
from nst.core.progress import format_duration
from nst.lab.notebook_client import TerminalClient
from nst.lab.stopped_run import stopped_after
from nst.lab.working_folder import working_folder

USES_TF1 = re.compile(
    r"\btf\.(Session|InteractiveSession|placeholder|contrib|reset_default_graph|set_random_seed|"
    r"random_normal|truncated_normal|get_variable|global_variables_initializer|app\.run|"
    r"train\.\w+Optimizer)\b|\bscipy\.misc\.im"
)
IMPORTS_COMPAT = re.compile(
    r"^\s*(import tensorflow\.compat\.v1 as tf|from tensorflow\.compat import v1 as tf)\b",
    re.MULTILINE,
)
# Cells have no terminal to read from: a command that asks a question gets no answer, and ends.
NO_TERMINAL = (
    "--IPKernelApp.exec_lines=get_ipython().system = "
    "lambda command: print(get_ipython().getoutput(command, False, 1), end='')"
)
PACKAGE_DIR = str(PACKAGE.parent)

log = logging.getLogger(__name__)  # silence nbclient's logging; errors are reported below
log.addHandler(logging.NullHandler())
log.propagate = False
# a kernel that dies early closes a socket that its client still reads from
logging.getLogger("tornado").setLevel(logging.CRITICAL + 1)


def _tagged(notebook):
    return [i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])]


def installed_values(notebook, output_dir):
    """Return the values that a notebook needs if nst is installed, to run outside its folder."""
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
    """Return True if a notebook was written for TensorFlow 1 itself, and not for compat.v1."""
    code = _code_of(notebook)
    return bool(USES_TF1.search(code)) and not IMPORTS_COMPAT.search(code)


def _code_of(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def read_notebook(path):
    """Read a notebook, without its stored outputs, or a script as a notebook.

    Raises OSError or ValueError.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        notebook = _script(path.name, text) if path.suffix == ".py" else nbformat.reads(text, 4)
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


def _script(name, source):
    """Return a script as a notebook; lines `# %%` or `# In[3]:` begin a new cell."""
    parts = re.split(r"^# ?(?:%%|In ?\[[\d ]*\]:?).*\n", source, flags=re.MULTILINE)
    start = f"import sys\n\nsys.argv, __file__ = [{name!r}], {name!r}"
    sources = [start, *(part.strip("\n") for part in parts if part.strip())]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])


def copy_of(path, output_dir):
    """Return the path of the executed copy of a notebook or script."""
    return output_dir / path.with_suffix(".ipynb").name


def run(path, output_dir, values):
    """Execute the notebook or script at `path`; write the executed copy into `output_dir`.

    A course notebook of 2018 gets TensorFlow 1 and a working folder of its own, and what it prints
    is printed here too. A run that fails leaves <name>_unfinished.ipynb, and does not change the
    good copy of an earlier run.

    Raises CellFailed if a cell fails; RuntimeError if the kernel dies; KeyboardInterrupt once
    Ctrl-C has ended the run; OSError or ValueError.
    """
    notebook = read_notebook(path)
    _check_stopped_run(notebook, output_dir, values)
    values = installed_values(notebook, output_dir) | values
    if values:
        set_parameters(notebook, values)
    copy = copy_of(path, output_dir)
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
        extra_arguments=["--log-level=CRITICAL", NO_TERMINAL],
        log=log,
    )
    # for the diagnosis of a failed cell
    environment = os.environ | {"PYTHONPATH": PACKAGE_DIR, "JPY_SESSION_NAME": str(path.resolve())}
    if is_course_notebook(notebook):
        client.echo = True
        client.extra_arguments += ["--ext=nst"]
        with working_folder(path, _code_of(notebook), output_dir) as folder:
            _execute(client, folder, environment, copy)
    else:
        _execute(client, path.parent, environment, copy)


def _check_stopped_run(notebook, output_dir, values):
    """Refuse to overwrite a run that was stopped, unless RESUME is given; False removes it."""
    if not any("RESUME" in notebook.cells[i].source for i in _tagged(notebook)):
        return
    last = stopped_after(output_dir)
    if last is not None and "RESUME" not in values:
        go_on, again = ("RESUME=1", "RESUME=0") if _by_make() else ("--resume", "--resume=0")
        raise ValueError(
            f"{output_dir} has a run that was stopped after iteration {last}: add {go_on} to "
            f"continue it, or {again} to start again"
        )
    if values.get("RESUME") is False:
        Path(output_dir, "state.npz").unlink(missing_ok=True)


def _by_make():
    return "MAKELEVEL" in os.environ


def _execute(client, folder, environment, copy):
    """Execute a client's notebook in a folder and write the copy; raises as `run` does."""
    client.resources = {"metadata": {"path": str(folder)}}
    picture = copy.with_name("generated_image.jpg")
    before = modified(picture)
    try:
        with on_interrupt(client.on_signal):
            client.execute(env=environment)
    except (Exception, KeyboardInterrupt) as error:
        stopped = client.interrupted or isinstance(error, KeyboardInterrupt)
        if not (stopped and modified(picture) != before):
            copy = _unfinished(copy)
        if client.code_cells_executed:
            with suppress(OSError):  # the first failure is the one to report
                _write(client.nb, copy)
        if isinstance(error, CellExecutionError) and not stopped:
            raise CellFailed(*_describe_failure(client.nb, copy)) from None
        raise KeyboardInterrupt if stopped else error from None
    finally:
        # nbclient leaves it registered if the kernel dies before its first answer
        atexit.unregister(client._cleanup_kernel)
    _write(client.nb, copy)
    if client.interrupted:
        raise KeyboardInterrupt


class CellFailed(Exception):
    """A cell failed; the message says where and why, and where the executed copy is.

    `reason` is the error's first line alone.
    """

    def __init__(self, message, reason):
        super().__init__(message)
        self.reason = reason


def _describe_failure(notebook, copy):
    """Return lines about the cell that failed (number, line, reason, advice), and the reason."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    number, cell, error = next(
        (number, cell, output)
        for number, cell in enumerate(cells, 1)
        for output in cell.outputs
        if output.output_type == "error"
    )
    trace = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in error.traceback]
    at = re.search(rf"In ?\[{cell.execution_count}\], line (\d+)", "\n".join(trace))
    where = f"Code cell {number}"
    if at:
        line = cell.source.splitlines()[int(at[1]) - 1]
        where += f", line {at[1]}: {shorten(line, 70, placeholder=' …')}"
    reason = f"{error.ename}: {next(iter(error.evalue.strip().splitlines()), '')}"
    # the diagnosis puts an empty line before its advice
    advice = trace[len(trace) - trace[::-1].index("") :] if "" in trace else []
    lines = [where, f"  {reason}", *(f"  {line}" for line in advice)]
    if copy.exists():
        lines.append(f"The executed copy: {os.path.relpath(copy)}")
    return "\n".join(lines), reason


def _unfinished(copy):
    """Return the path of the copy of a run that did not reach its end."""
    return copy.with_stem(f"{copy.stem}_unfinished")


def _write(notebook, path):
    with whole_file(path) as temporary:
        nbformat.write(notebook, temporary)


def modified(path):
    """Return when a file was written, by its disk's clock, or None if it does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def changed(before):
    """Return the paths that were written since `before`, a dict from path to `modified(path)`."""
    return [path for path, time in before.items() if modified(path) not in (None, time)]


def from_project(path):
    """Return a path relative to the project's folder, in which notebooks run, if it is in there."""
    if path is None or "://" in str(path):  # opening the picture refuses an address
        return path
    path = Path(path).expanduser().absolute()
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


# --- the command ---------------------------------------------------------------------------------


def _parser():
    parser = Parser(
        prog="nst run",
        description="Run the lab, another notebook or a script (.py) from the terminal.",
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
    parser.add_switch("resume", help="1 continues a run that was stopped, 0 starts again")
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
    if _by_make() and not args.weights:
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
    copy = copy_of(args.notebook, output_dir)
    names = ("generated_image.jpg", "evolution.gif", copy.name, _unfinished(copy).name, "state.npz")
    before = {output_dir / name: modified(output_dir / name) for name in names}
    start, stopped = time.monotonic(), False
    try:
        _check(args)
        run(args.notebook, output_dir, {k: v for k, v in values.items() if v is not None})
    except (CellFailed, MemoryError, OSError, ValueError) as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        stopped = True
    except RuntimeError:  # of nbclient: the kernel died, or never came
        again = "choose a smaller size"
        if output_dir / "state.npz" in changed(before):
            again = f"continue from its last report: {command_to_go_on(args)}"
        sys.exit(
            "\nthe notebook's kernel died, perhaps because memory ran out: close other programs "
            f"and {again}"
        )
    _report(args, changed(before), time.monotonic() - start, stopped)


def _report(args, made, seconds, stopped):
    """Print how long it took, what was made, and how to continue a run that was stopped."""
    if stopped and not made:
        sys.exit("Stopped before anything was made")
    print(f"{'Stopped after' if stopped else 'Finished in'} {format_duration(seconds)}:")
    for path in made:
        if path.name != "state.npz":
            print(f"  {os.path.relpath(path)}")
    if stopped and any(path.name == "state.npz" for path in made):
        print(f"To continue: {command_to_go_on(args)}")
