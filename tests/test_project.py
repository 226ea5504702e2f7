"""The names of nst_utils, and the command line as a whole."""

import ast
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest

import nst_utils
from nst import __main__ as command_line
from nst.lab import runner
from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# --- the course's helper module ------------------------------------------------------------------

# what nst_utils.py defined when it did all the work itself
PUBLIC_ONCE = {
    *("CONFIG", "VGG_BLOCKS", "layer_names", "read_vgg", "load_vgg_model", "choose_precision"),
    *("large_constant", "PICTURE_EXTENSIONS", "load_image", "fit_size", "to_pixels"),
    *("reshape_and_normalize_image", "generate_noise_image", "save_image", "check_picture_path"),
    *("save_animation", "show_pictures", "make_folder", "close_session", "estimate", "Run"),
    *("explain_out_of_order", "functions_of"),
}
COURSE = {
    *("CONFIG", "load_vgg_model", "reshape_and_normalize_image"),
    *("generate_noise_image", "save_image"),
}


def used_by_notebooks():
    """Names that our notebooks load: from nst_utils, by its star import, or their own."""
    names = set()
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                nodes = list(ast.walk(ast.parse(cell.source)))
                names |= {node.id for node in nodes if isinstance(node, ast.Name)}
                names |= {
                    node.attr
                    for node in nodes
                    if isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "nst_utils"
                }
    return names


def test_nst_utils_keeps_the_names_of_the_course_and_of_the_notebooks():
    used = used_by_notebooks()
    assert used & PUBLIC_ONCE > COURSE
    missing = (COURSE | used & PUBLIC_ONCE) - set(nst_utils.__all__)
    assert not missing
    assert all(hasattr(nst_utils, name) for name in nst_utils.__all__)


def test_nst_utils_hands_names_on_and_defines_none():
    nodes = ast.parse((ROOT / "nst_utils.py").read_text("utf-8")).body
    assert not [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def python(code, folder=ROOT):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)


def test_importing_nst_utils_is_silent():
    run = python("import nst_utils")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_importing_nst_utils_changes_nothing_global():
    run = python("""
import json, sys
import numpy as np
import tensorflow
from tensorflow.python.framework import ops, random_seed

def state():
    v1 = tensorflow.compat.v1
    return [tensorflow.executing_eagerly(), random_seed.get_seed.__module__,
            sys.modules["tensorflow"] is tensorflow, "__array__" in vars(tensorflow.Tensor),
            hasattr(np, "float"), np.get_printoptions(),
            v1.logging.get_verbosity(), len(v1.get_default_graph().get_operations()),
            sorted(ops.gradient_registry.list())]

before = state()
import nst_utils
print(json.dumps([before, state()]))
""")
    assert run.returncode == 0, run.stderr
    before, after = json.loads(run.stdout)
    assert before == after
    seed_rule = "tensorflow.python.framework.random_seed"
    assert after[:5] == [True, seed_rule, True, True, False]
    assert "Conv2D" in after[-1]
    assert [name for name in after[-1] if "Gram" in name] == []


def test_a_course_notebook_finds_the_nst_utils_beside_it_before_ours(tmp_path):
    (tmp_path / "nst_utils.py").write_text("whose = 'its own'")
    notebook = nbformat.v4.new_notebook()
    source = "import tensorflow as tf\ntf.Session\nfrom nst_utils import *\nprint(whose)"
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    nbformat.write(notebook, tmp_path / "kept.ipynb")
    runner.run(tmp_path / "kept.ipynb", tmp_path / "out", {})
    (cell,) = nbformat.read(tmp_path / "out" / "kept.ipynb", as_version=4).cells
    assert [output.text for output in cell.outputs] == ["its own\n"]


# --- the command line ----------------------------------------------------------------------------


def nst_command(monkeypatch, *arguments):
    """Run `nst` with arguments; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["nst", *arguments])
    try:
        command_line.main()
    except SystemExit as end:
        return end.code or 0
    return 0


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_help_of_a_command_shows_an_example(name, monkeypatch, capsys):
    assert nst_command(monkeypatch, name, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: nst {name}")
    assert len(re.findall(rf"^example: nst {name}\b", said, re.MULTILINE)) == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands_and_shows_an_example(arguments, monkeypatch, capsys):
    assert nst_command(monkeypatch, *arguments) == 0
    said = capsys.readouterr().out
    assert re.findall(r"^  nst (\w+)  +\S", said, re.MULTILINE) == list(command_line.COMMANDS)
    assert said.count("example: nst ") == 1


@pytest.mark.parametrize(
    ("name", "advice"),
    [("pant", "did you mean nst paint?"), ("xyz", f"one of {', '.join(command_line.COMMANDS)}")],
)
def test_an_unknown_command_is_refused_in_one_sentence(name, advice, monkeypatch, capsys):
    assert nst_command(monkeypatch, name) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(rf"nst: there is no command {name}: .*{re.escape(advice)}\n", said.err)


@pytest.mark.parametrize("code_page", ["cp1251", "cp1252", "ascii"])
def test_a_console_without_a_character_gets_another_one(code_page):
    """A size is printed as 400×300, which code page 1251 cannot write."""
    run = subprocess.run(
        [sys.executable, "-m", "nst", "run", "--size=99999999"],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": code_page},
        check=False,
    )
    sign = "×".encode(code_page, "replace")
    assert run.returncode == 1
    assert re.match(rb"\s*reading an image at 99999999" + re.escape(sign), run.stderr)
