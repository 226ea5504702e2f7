"""Grade notebooks: `make grade NOTEBOOK=path`.

Takes any edition of the assignment, as a notebook or as a .py exported from one. Its graded
functions run in a process of their own, which an answer that never ends cannot hold up; then its
own training runs for one step, on a miniature VGG, and its costs are compared with right ones.
"""

import argparse
import ast
import dis
import io
import json
import linecache
import multiprocessing
import os
import re
import shutil
import signal
import sys
import textwrap
from contextlib import suppress
from itertools import cycle, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, SimpleNamespace
from unittest.mock import MagicMock

import nbformat.reader
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# Read, not imported: this process needs no TensorFlow.
FUNCTIONS = re.findall(
    r"^def (\w+)_test\(", (ROOT / "tests" / "public_tests.py").read_text("utf-8"), re.M
)
TRAINING = "training, one step"
PROVIDED = {"sess", "model", "train_step", "J", "J_content", "J_style"}  # by the public tests
START_LIMIT, TRAINING_LIMIT = 60, 20  # seconds; the limit of a function is an option
NEVER_RETURNS = "it does not return in time. Look for a loop that never ends."
DIES = "it ends Python itself. Look for exit(), os._exit(), or arrays that fill the memory."


# --- reading notebooks -------------------------------------------------------------------------


def find_notebooks(path):
    """List what to grade at `path`: the file, or the notebooks and scripts of a folder."""
    if path.is_file():
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix in (".ipynb", ".py")
        and ".ipynb_checkpoints" not in file.parts
        and any(f"def {f}(" in file.read_text("utf-8", "replace") for f in FUNCTIONS)
    ]
    if not found:
        what = "holds no graded function" if path.is_dir() else "is not there"
        raise FileNotFoundError(f"{path} {what}: name a notebook, a .py, or a folder of them")
    return found


def read_cells(path):
    """Read the code of a notebook or a script as a list of (name, source)."""
    if path.suffix != ".ipynb":
        text = path.read_text("utf-8", "replace")
        starts = [0, *(m.start() for m in re.finditer(r"^# (In\[|%%)", text, re.M)), len(text)]
        return [  # the empty lines keep the numbers of the others
            (path.name, "\n" * text.count("\n", 0, start) + text[start:end])
            for start, end in pairwise(starts)
        ]
    try:
        # no nbformat.read: it validates, and grumbles about what other programs have left out
        notebook = nbformat.reader.reads(path.read_text("utf-8"))
        cells = nbformat.convert(notebook, 4).cells
    except Exception:  # nbformat raises whatever its parts raise
        raise ValueError(f"{path} cannot be read as a notebook: save it again") from None
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    return [(f"cell {number}", source) for number, source in enumerate(code, 1)]


def compile_cells(cells):
    """Compile cells, statement by statement.

    Returns:
    statements -- list of code objects
    unreadable -- list of sentences on cells that are no Python 3
    """
    from IPython.core.inputtransformer2 import TransformerManager

    statements, unreadable = [], []
    for name, source in cells:
        if name.startswith("cell "):
            source = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b.*", "", source)
            source = TransformerManager().transform_cell(source)  # magics: calls of get_ipython()
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        try:
            nodes = ast.parse(source).body
            statements += [compile(ast.Module([node], []), name, "exec") for node in nodes]
        except SyntaxError as error:
            unreadable.append(f"{name} is no Python 3 (line {error.lineno}: {error.msg})")
    return statements, unreadable


def definitions(statements):
    """Select the imports, and what sets the names that graded functions use, however far off."""
    needed, chosen = set(FUNCTIONS), []
    while more := [
        code
        for code in statements
        if code not in chosen and (_names(code, "IMPORT") or needed & _names(code, "STORE"))
    ]:
        chosen += more
        needed = needed.union(*(_names(code, "LOAD") for code in more)) - PROVIDED
    return [code for code in statements if code in chosen]


def _names(code, verb):
    """Name the globals that a statement stores or imports, or that it and its functions load."""
    verbs = {f"{verb}_NAME", f"{verb}_GLOBAL"}
    names = {step.argval for step in dis.get_instructions(code) if step.opname in verbs}
    inner = [part for part in code.co_consts if isinstance(part, CodeType) and verb == "LOAD"]
    return names.union(*(_names(part, verb) for part in inner))


# --- in the process that runs a notebook's code ------------------------------------------------


def work(connection, cells, folder, hanging):
    """Answer each name of a function, or TRAINING, with its result.

    Arguments:
    connection -- pipe of JSON, as to unpickle what foreign code sends would be to run it
    cells -- from read_cells
    folder -- an empty folder to run in
    hanging -- functions that are known never to return
    """
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", MPLBACKEND="agg")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.stdout = sys.stderr = Counter()
    os.chdir(folder)
    sys.path[:0] = [folder, str(ROOT), str(ROOT / "tests")]

    import tf1_compat

    tf1_compat.install()
    source = "\n".join(source for _, source in cells)
    if "compat.v1" in source and "disable_v2_behavior" not in source:
        import tensorflow.compat.v1 as tf

        tf.enable_v2_tensorshape()  # which that notebook has not given up
    build_world(source)
    statements, unreadable = compile_cells(cells)
    namespace = new_namespace()
    for code in definitions(statements):
        with suppress(Exception, SystemExit):  # what fails here is missed where it is used
            exec(code, namespace)
    for name in hanging:
        namespace[name] = never_returning(name)
    connection.send_bytes(b"{}")  # ready
    while True:
        name = connection.recv_bytes().decode()
        try:
            if name == TRAINING:
                answer = train(statements)
            elif name in namespace:
                answer = try_out(name, namespace[name])
            else:
                answer = {"complaint": ". ".join(["no cell defines it", *unreadable, ""]).strip()}
        except KeyboardInterrupt:  # time is up
            namespace[name] = never_returning(name)
            answer = {"complaint": NEVER_RETURNS}
        connection.send_bytes(json.dumps(answer).encode())


class Counter(io.TextIOBase):
    """A sys.stdout that counts what is printed, and forgets it."""

    written = 0

    def write(self, text):
        self.written += len(text)
        return len(text)


def never_returning(name):
    """Make what takes the place of a function on which others would wait for ever."""
    namespace = {}
    exec(f"def {name}(*_): raise TimeoutError('{name} does not return')", namespace)
    return namespace[name]


def new_namespace():
    return {"__name__": "__main__", "get_ipython": MagicMock()}


def try_out(name, target):
    """Examine one function of the notebook."""
    import public_tests

    before = sys.stdout.written
    got, complaint = public_tests.examine(name, target)
    printed = sys.stdout.written - before
    return {
        "published": public_tests.PUBLISHED.get(name),
        "got": plain(got),
        "complaint": complaint.removeprefix(f"{name}: "),
        "note": f"It prints {printed:,} characters." if printed > 10_000 else "",
    }


def plain(value):
    """Turn a value of any size and kind into what JSON can hold."""
    array = np.asarray(value)
    if value is None or array.size > 100 or array.dtype.kind not in "iuf":
        return None
    return array.tolist() if np.isfinite(array).all() else str(array)


def build_world(source):
    """Fill the current folder with what notebooks read: our helper, pictures, fake weights."""
    from PIL import Image

    from fake_vgg import write_fake_vgg

    shutil.copy(ROOT / "nst_utils.py", ".")
    ours = [Image.open(file) for file in sorted((ROOT / "images").glob("*.jpg"))]
    pictures = cycle(picture for picture in ours if picture.size == (400, 300))
    source += Path("nst_utils.py").read_text("utf-8")
    for file in dict.fromkeys(re.findall(r"[\w./-]+\.(?:jpe?g|png|mat)\b", source)):
        path = Path(file)
        if path.is_absolute() or ".." in path.parts or path.parts[0] == "output":
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".mat":
            write_fake_vgg(path)
        else:
            next(pictures).save(path)
    Path("output").mkdir()


class Trained(BaseException):
    """Ends the run of a notebook where it has trained: (sess, first picture, returned picture)."""


def train(statements):
    """Run the notebook from its top into its training, which gets one step, and judge that."""
    from public_tests import explain

    namespace, errors = new_namespace(), []
    for code in statements:
        if "public_tests" in _names(code, "LOAD"):
            continue
        try:
            exec(code, namespace)
        except Trained as end:
            try:
                return judge(namespace, *end.args)
            except Exception as error:
                return {"complaint": f"it cannot be compared: {explain(error)}"}
        except (Exception, SystemExit) as error:
            if "sess" in namespace or "sess" in _names(code, "STORE"):  # the training has begun
                errors.append(f"{code.co_filename} stops with {explain(error)}")
        if "model_nn" in _names(code, "STORE") and "model_nn" in namespace:
            namespace["model_nn"] = one_step(namespace["model_nn"])
    return {"complaint": f"it does not begin: {(errors or ['model_nn is never called.'])[0]}"}


def one_step(model_nn):
    def train_once(sess, input_image, *_, **__):
        raise Trained(sess, input_image, model_nn(sess, input_image, 1))

    return train_once


def judge(namespace, sess, start, returned):
    """Compare the notebook after its one step with a right training after the same step."""
    needed = ("content_image", "style_image", "STYLE_LAYERS", "J", "J_content", "J_style", "model")
    if missing := [name for name in needed if name not in namespace]:
        return {"complaint": f"it cannot be compared, for want of the variable {missing[0]}."}
    state = sess.run(namespace["model"]["input"])
    got = sess.run([namespace[cost] for cost in ("J", "J_content", "J_style")])
    pictures = {
        "the content picture": namespace["content_image"],
        "the style picture": namespace["style_image"],
        "the noise": start,
        "zeros": np.zeros_like(start),
    }
    right = right_training(pictures, dict(namespace["STYLE_LAYERS"]), state)
    fault = find_fault(right, start, state, returned, got)
    return {"published": right.costs, "got": plain(got), "complaint": fault}


def right_training(pictures, layers, state):
    """Do the same with a right training.

    Returns:
    costs -- [J, J_content, J_style] after one step from the noise
    stepped, from_zeros -- the image after one step from the noise, and from zeros
    J_contents, J_styles -- the costs of the image `state` when compared with each of `pictures`
    """
    import tensorflow.compat.v1 as tf

    import nst_utils
    from public_tests import CONTENT_STEPS, LAYER_STEPS, right_cost, right_layer_cost

    content, style, noise, zeros = pictures
    with tf.Graph().as_default(), tf.Session() as session:
        model = nst_utils.load_vgg_model(nst_utils.CONFIG.VGG_MODEL, *state.shape[1:3])

        def see(image):
            session.run(model["input"].assign(image))
            return session.run({name: model[name] for name in ("conv4_2", *layers)})

        def step(image):
            session.run([tf.global_variables_initializer()])
            session.run(model["input"].assign(image))
            session.run(train_step)
            return session.run(model["input"])

        seen = {name: see(image) for name, image in pictures.items()}
        a_C = seen[content]["conv4_2"]
        J_content = tf.reduce_sum((model["conv4_2"] - a_C) ** 2) / (4 * a_C.size)
        J_style = sum(
            w * right_layer_cost(seen[style][name], model[name]) for name, w in layers.items()
        )
        train_step = tf.train.AdamOptimizer(2.0).minimize(10 * J_content + 40 * J_style)
        stepped, from_zeros = step(pictures[noise]), step(pictures[zeros])
        at_stepped, at_state = see(stepped), see(state)

    def content_cost(a, b):
        return float(right_cost(CONTENT_STEPS, a["conv4_2"], b["conv4_2"]))

    def style_cost(a, b):
        return float(
            sum(w * right_cost(LAYER_STEPS, a[name], b[name]) for name, w in layers.items())
        )

    parts = content_cost(at_stepped, seen[content]), style_cost(at_stepped, seen[style])
    return SimpleNamespace(
        costs=[10 * parts[0] + 40 * parts[1], *parts],
        stepped=stepped,
        from_zeros=from_zeros,
        J_contents={name: content_cost(at_state, a) for name, a in seen.items()},
        J_styles={name: style_cost(at_state, a) for name, a in seen.items()},
    )


def find_fault(right, start, state, returned, got):
    """Say what is wrong with one step of training, "" if nothing is.

    Arguments:
    right -- from right_training
    start, state, returned -- images: handed to model_nn, in the model after it, returned by it
    got -- the notebook's [J, J_content, J_style] at `state`
    """
    if np.array_equal(state, start):
        return "train_step did not run: the picture is still the noise."
    if near(state, right.from_zeros) or not state.any():
        return "assign did not run: the training began with zeros. sess.run it before the loop."
    J, *parts = got
    for name, part, rights in zip(
        ("J_content", "J_style"), parts, (right.J_contents, right.J_styles), strict=True
    ):
        matching = [picture for picture, cost in rights.items() if np.isclose(part, cost, 1e-3)]
        meant = "the content picture" if name == "J_content" else "the style picture"
        if matching and meant not in matching:
            return (
                f"{name} compares with {matching[0]}, not with {meant}: sess.run its assign first."
            )
        if not matching:
            return f"{name} differs from ours. Look at its function, and at the layers it takes."
    if not np.isclose(J, 10 * parts[0] + 40 * parts[1], rtol=1e-3):
        return "J is not 10 * J_content + 40 * J_style. Look at the call of total_cost."
    pace = np.max(np.abs(state - start))
    if not np.isclose(pace, 2, rtol=0.01):
        return f"one step moves a pixel by {pace:.2g}, not by 2. The learning rate of Adam is 2.0."
    if not near(state, right.stepped):
        return "the picture after one step is not ours. train_step must minimise J."
    if np.shape(returned) != state.shape or not near(returned, state):
        noise = " but the noise" if near(returned, start) else ""
        return f"the returned picture is not the optimised one{noise}."
    return ""


def near(a, b):
    return np.shape(a) == np.shape(b) and np.mean(np.abs(a - b)) < 0.1  # of 255; a step is 2


# --- the grading -------------------------------------------------------------------------------


class Worker:
    """A process that runs `work`, in an empty folder."""

    def __init__(self, cells, hanging):
        spawn = multiprocessing.get_context("spawn")
        self.folder = TemporaryDirectory()
        self.connection, theirs = spawn.Pipe()
        arguments = theirs, cells, self.folder.name, hanging
        self.process = spawn.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.gone = False

    def answer(self, limit):
        """Wait `limit` seconds for an answer; then interrupt, as Jupyter does; then kill."""
        complaint = DIES
        for wait in (limit, 2):
            if self.connection.poll(wait):
                with suppress(EOFError):
                    return json.loads(self.connection.recv_bytes())
                break
            complaint = NEVER_RETURNS
            os.kill(self.process.pid, signal.SIGINT)
        self.stop()
        return {"complaint": complaint}

    def ask(self, name, limit):
        self.connection.send_bytes(name.encode())
        return self.answer(limit)

    def stop(self):
        self.gone = True
        self.process.kill()
        self.process.join()
        self.folder.cleanup()


def grade(path, limit):
    """Grade one notebook, with `limit` seconds for each function.

    Returns:
    list of dicts: function, published (of the training: our costs), got, verdict ("pass" or
    "fail"), diagnosis; a value is None where there is none
    """
    answers = dict.fromkeys([*FUNCTIONS, TRAINING])
    hanging, worker = [], None
    try:
        cells = read_cells(path)
        for name in answers:
            if worker is None or worker.gone:
                worker = Worker(cells, hanging)
                start = worker.answer(START_LIMIT)
                if worker.gone:
                    raise ValueError(
                        f"its imports and definitions do not run: {start['complaint']}"
                    )
            if name != TRAINING:
                answers[name] = worker.ask(name, limit)
            elif not hanging:
                answers[name] = worker.ask(name, TRAINING_LIMIT)
            else:
                answers[name] = {"complaint": f"it did not run, as {hanging[0]} does not return."}
            if worker.gone or answers[name]["complaint"] == NEVER_RETURNS:
                hanging.append(name)
    except (OSError, ValueError) as error:
        answers = {name: answer or {"complaint": str(error)} for name, answer in answers.items()}
    finally:
        if worker and not worker.gone:
            worker.stop()
    return [_row(name, **answer) for name, answer in answers.items()]


def _row(name, complaint, got=None, published=None, note=""):
    return {
        "function": name,
        "published": published,
        "got": got,
        "verdict": "fail" if complaint else "pass",
        "diagnosis": complaint or note,
    }


def print_table(rows):
    """Print the rows of one notebook, the diagnoses wrapped to the terminal."""
    width = max(40, shutil.get_terminal_size((120, 24)).columns - 66)
    for row in [{key: key for key in rows[0]}, *rows]:
        published, got = _short(row["published"]), _short(row["got"])
        if row["function"] == TRAINING:
            published = f"ours {published}"
        lines = textwrap.wrap(row["diagnosis"], width) or [""]
        print(f"{row['function']:26}{published:17}{got:13}{row['verdict']:9}{lines[0]}".rstrip())
        for line in lines[1:]:
            print(" " * 65 + line)


def _short(value):
    """Show a value in a few characters: of a matrix or a list of costs the first number."""
    while isinstance(value, list):
        value = value[0] if value else None
    return f"{value:.6g}" if isinstance(value, int | float) else value or "-"


COLUMNS = [name.removeprefix("compute_").partition(",")[0] for name in (*FUNCTIONS, TRAINING)]


def print_line(first, texts, width):
    """Print a line of the table of several notebooks: its header, or the verdicts on one."""
    columns = zip(texts, COLUMNS, strict=True)
    cells = [f"{first:{width}}", *(f"{text:{len(column)}}" for text, column in columns)]
    print("  ".join(cells).rstrip(), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Grading runs the notebooks' code with your rights: grade what strangers wrote in "
        "a container, or in an account that has nothing to lose.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="path", help="notebook, .py, folder")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    parser.add_argument("--limit", type=float, default=5, help="seconds for a function (5)")
    args = parser.parse_args()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a Windows console may know no ²
    try:
        notebooks = [notebook for path in args.paths for notebook in find_notebooks(path)]
    except FileNotFoundError as error:
        parser.exit(2, f"{error}\n")
    results, width = [], max(len(str(notebook)) for notebook in notebooks)
    for notebook in notebooks:
        rows = grade(notebook, args.limit)
        results.append({"notebook": str(notebook), "rows": rows})
        if len(notebooks) > 1 and not args.json:
            if len(results) == 1:
                print_line("notebook", COLUMNS, width)
            print_line(str(notebook), [row["verdict"] for row in rows], width)
    if args.json:
        print(json.dumps(results, indent=1))
    elif len(notebooks) == 1:
        print_table(results[0]["rows"])
    verdicts = {row["verdict"] for result in results for row in result["rows"]}
    sys.exit(0 if verdicts == {"pass"} else 1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
