"""Values that `make` passes to the commands or refuses, and the Python that it looks for."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nst.__main__ import from_environment
from nst.lab import runner
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="needs make")

ARRIVED = """
import json, sys
from nst.__main__ import from_environment
print(json.dumps(from_environment(sys.argv[2:])))
"""
NAMES = [
    "$(shell touch x)`touch x`",
    "'; touch x; \"",
    "price $5 & 50% #1.jpg",
    "a folder/it's naïve.jpg",
]


def make(folder, *arguments, nst="-m nst", **environment):
    """Run a target of the Makefile in a folder, as if everything were installed."""
    ready = ["-o", ".venv/installed", f"NST={shlex.quote(sys.executable)} {nst}"]
    ready += [] if "weights" in arguments else ["-o", "weights"]
    outer = ("MAKEFLAGS", "MAKELEVEL")  # of the make that runs the tests
    inherited = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(
        ["make", "-f", ROOT / "Makefile", *ready, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        check=False,
    )


@pytest.fixture
def arrived(tmp_path, tmp_path_factory):
    """Function: the options that arrive at Python when make is given these arguments."""
    script = tmp_path_factory.mktemp("script") / "arrived.py"
    script.write_text(ARRIVED)

    def options(*arguments, **environment):
        done = make(tmp_path, *arguments, nst=shlex.quote(str(script)), **environment)
        assert done.returncode == 0, done.stderr
        assert list(tmp_path.iterdir()) == []
        return json.loads(done.stdout.splitlines()[-1])

    return options


@pytest.mark.parametrize("name", NAMES)
def test_make_passes_every_value_on_letter_by_letter(arrived, name):
    given = ["CONTENT", "STYLE", "SIZE", "ITERATIONS", "PRECISION", "OUTPUT", "RESUME", "NOTEBOOK"]
    options = arrived("run", *(f"{variable}={name}" for variable in given))
    assert options == [f"--{variable.lower()}={name}" for variable in given]


@pytest.mark.parametrize("spelling", ["COLORS", "COLOURS"])
def test_make_paint_takes_both_spellings_of_colors(arrived, spelling):
    options = arrived("paint", f"{spelling}=content", "CONTENT=a.jpg", "STRENGTH=light")
    style = "--style=images/impressionist_800x600.jpg"
    wanted = [f"--{spelling.lower()}=content", "--content=a.jpg", "--strength=light", style]
    assert sorted(options) == sorted(wanted)


def test_make_takes_nothing_from_the_users_environment(arrived):
    shell = {"SIZE": "7", "STYLE": "fashion", "OUTPUT": "x.log", "CONTENT": "text/html"}
    assert arrived("run", **shell) == []
    assert arrived("run", "SIZE=64", **shell) == ["--size=64"]


def test_what_make_passes_on_is_what_nst_run_takes():
    given = dict(CONTENT="-x.jpg", STYLE="", SIZE="64", RESUME="0", NOTEBOOK="-a b.ipynb")
    options = from_environment(["--x", f"--environment={','.join(given)}"], given)
    args = runner._parser().parse_args(options[1:])
    assert (args.content, args.style, args.size, args.resume) == ("-x.jpg", None, 64, False)
    assert str(args.notebook) == "-a b.ipynb"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("paint content=my.jpg", r"does not take content= \(did you mean CONTENT=\?\): it takes C"),
        ("paint COLOR=content", r"does not take COLOR= \(did you mean COLORS=\?\)"),
        ("paint STLYE=my.jpg", r"make paint does not take STLYE=: it takes .* STYLE="),
        ("run STRENGTH=light", r"make run does not take STRENGTH=: it takes "),
        ("lessons SIZE=64", "make lessons does not take SIZE=: it takes no names"),
        (
            "paint my.jpg",
            r"know the target my\.jpg: a picture is given as make paint CONTENT=my\.jpg",
        ),
        ("pant", "know the target pant: make help lists the targets"),
    ],
)
def test_what_make_does_not_know_is_refused_by_name(tmp_path, arguments, message):
    done = make(tmp_path, *arguments.split())
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert not done.stdout


def test_make_clean_keeps_pictures_and_weights(tmp_path):
    for name in ("output/mine.jpg", "pretrained-model/vgg.mat", ".venv/bin/python"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    make(tmp_path, "clean")
    assert {path.name for path in tmp_path.iterdir()} == {"output", "pretrained-model"}
    assert (tmp_path / "output" / "mine.jpg").exists()


# --- set-up --------------------------------------------------------------------------------------


def supported_versions():
    line = re.search(r"^SUPPORTED := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return line[1].split()


def test_make_looks_for_the_pythons_that_the_package_supports():
    versions = supported_versions()
    newest, oldest = (int(versions[i].partition(".")[2]) for i in (0, -1))
    assert versions == [f"3.{minor}" for minor in range(newest, oldest - 1, -1)]
    project = (ROOT / "pyproject.toml").read_text()
    assert f'\nrequires-python = ">=3.{oldest},<3.{newest + 1}"' in project


@pytest.fixture
def setting_up(tmp_path):
    """Function: run `make .venv/installed` where only these Pythons are; return its output.

    A Python is a script that prints its version, and copies itself as its virtual environment.
    """

    def run(*arguments, uv=False, **pythons):
        programs = tmp_path / "programs"
        programs.mkdir(exist_ok=True)
        for name, version in pythons.items():
            write_program(programs / name.replace("_", "."), PYTHON.format(version=version))
        if uv:
            write_program(programs / "uv", UV)
        for name in ("make", "sh", "tr", "rm", "touch", "mkdir", "cp", "chmod"):
            if not (programs / name).exists():
                (programs / name).symlink_to(shutil.which(name))
        if not (tmp_path / "requirements.txt").exists():
            (tmp_path / "requirements.txt").touch()
        done = subprocess.run(
            ["make", "-f", ROOT / "Makefile", ".venv/installed", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PATH": str(programs)},
            check=False,
        )
        return done.stdout + done.stderr

    return run


PYTHON = """#!/bin/sh
case "$*" in
*version_info*) echo {version} ;;
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*"-m pip"*) echo pip of {version} installs ;;
*"-m nst kernel"*) touch jupyter_is_prepared ;;
esac
"""
UV = """#!/bin/sh
case "$*" in
venv*--python*) echo "$*" ;;

pip*) echo "uv installs" ;;
esac
[ "$1" != venv ] || { mkdir -p .venv/bin; printf '#!/bin/sh\\necho 3.13\\n' > .venv/bin/python
chmod +x .venv/bin/python; }
"""


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def venv_version(folder):
    python = Path(folder, ".venv/bin/python")
    return subprocess.run([python, "-c", "version_info"], capture_output=True, text=True).stdout


def test_a_supported_python_is_found_beside_a_newer_one(setting_up, tmp_path):
    said = setting_up(python3="3.14", python3_12="3.12")
    assert "pip of 3.12 installs" in said
    assert (tmp_path / "jupyter_is_prepared").exists()
    assert venv_version(tmp_path) == "3.12\n"


def test_without_a_supported_python_one_sentence_says_so_before_anything_is_made(
    setting_up, tmp_path
):
    said = setting_up(python3="3.14")
    assert re.match(r"TensorFlow needs Python 3\.10 to 3\.13, but none is installed: install", said)
    assert not (tmp_path / ".venv").exists()


def test_a_named_python_that_is_not_supported_is_refused(setting_up, tmp_path):
    said = setting_up("PYTHON=python3.14", python3_14="3.14", python3="3.13")
    assert "but python3.14 is not one" in said
    assert not (tmp_path / ".venv").exists()


def test_an_environment_of_another_python_is_replaced(setting_up, tmp_path):
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "installed").touch()
    (tmp_path / ".venv" / "leftover").touch()
    write_program(tmp_path / ".venv" / "bin" / "python", PYTHON.format(version="3.14"))
    assert "pip of 3.13 installs" in setting_up(python3="3.13")
    assert venv_version(tmp_path) == "3.13\n"
    assert not (tmp_path / ".venv" / "leftover").exists()
    assert "is up to date" in setting_up()
    assert "pip of 3.12 installs" in setting_up("PYTHON=python3.12", python3_12="3.12")


def test_uv_is_used_if_it_is_installed_and_brings_a_python(setting_up, tmp_path):
    assert "uv installs" in setting_up(uv=True, python3="3.14")
    assert venv_version(tmp_path) == "3.13\n"


def test_uv_takes_a_python_that_is_there(setting_up):
    assert "venv --quiet --python python3.11 .venv" in setting_up(uv=True, python3_11="3.11")
