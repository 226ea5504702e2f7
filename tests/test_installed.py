"""The project installed from its wheel: the command and the module, without a checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from nst.core.config import LAB, PROJECT
from nst.vgg.tiny import write_fake_vgg
from tests.conftest import ROOT

pytest.importorskip("pip")
for builder in ("hatchling", "hatch_requirements_txt"):
    pytest.importorskip(builder)


def pip(*arguments):
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--no-deps", "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the package in it, which is not on the path of pytest's Python."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--target", folder, wheel)
    (folder / "notebooks").mkdir()  # another package's, which makes no checkout of this folder
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with an unhandy name and one picture in it."""
    folder = tmp_path_factory.mktemp("Ann's own pictures")
    Image.linear_gradient("L").convert("RGB").resize((40, 30)).save(folder / "it's gray.jpg")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def python(installed, elsewhere, home):
    """Function: run Python in `elsewhere` by a user whose home is empty; return what it prints."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "PYTEST"))}
    environment |= {"PYTHONPATH": str(installed), "HOME": str(home), "LOCALAPPDATA": str(home)}

    def run(*arguments, status=0):
        command = [sys.executable, *map(str, arguments)]
        run = subprocess.run(
            command, capture_output=True, text=True, cwd=elsewhere, env=environment
        )
        assert run.returncode == status, run.stderr
        assert "Traceback" not in run.stderr
        return run.stdout + run.stderr

    return run


@pytest.fixture(scope="module")
def nst(python, installed):
    """Function: run the command `nst` as `python` does."""
    return lambda *arguments, status=0: python(installed / "bin" / "nst", *arguments, status=status)


@pytest.fixture(scope="module")
def weights(python):
    """Path of the weights of an installed nst."""
    return Path(python("-c", "from nst.core.config import CONFIG; print(CONFIG.VGG_MODEL)").strip())


def test_the_wheel_requires_what_requirements_txt_names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    required = {line for line in lines if line.startswith("Requires-Dist")}
    for path in ROOT.glob("requirements*.txt"):
        extra = path.stem.partition("-")[2]
        named = {line.split("#")[0].strip() for line in path.read_text().splitlines()}
        found = {
            line.removeprefix("Requires-Dist: ").partition(";")[0].strip()
            for line in required
            if (f"extra == '{extra}'" in line if extra else "extra ==" not in line)
        }
        assert {re.split(r"[<>=]", line)[0] for line in found} == {
            re.split(r"[<>=]", line)[0] for line in named
        }


def test_the_wheel_holds_what_git_does_and_no_weights(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "nst").rglob("*.py")}
    own = {"nst_utils.py"} | code
    notebooks = {p.name for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert own <= names
    assert {Path(n).name for n in names if n.startswith("nst/project/notebooks/")} == notebooks
    assert {Path(n).parts[0] for n in names} == {"nst", "nst_utils.py"}
    assert not [name for name in names if name.endswith((".mat", ".pyc"))]


@pytest.mark.parametrize("arguments", [["--help"], ["weights", "--help"]])
def test_the_command_helps(nst, arguments):
    assert "example: nst " in nst(*arguments)


def test_weights_land_in_the_users_cache(nst, weights, home):
    assert weights.is_relative_to(home)
    assert str(weights) in "".join(nst("weights", "--help").split())


def test_missing_weights_are_refused_with_the_command_of_an_installation(nst, weights):
    weights.unlink(missing_ok=True)
    images = PROJECT / "images"
    said = nst(
        "paint", images / "pyramid.jpg", images / "kashi.jpg", "--output=o ut/a.jpg", status=1
    )
    assert f"{weights} not found: run nst weights" in said


def test_weights_that_cannot_be_fetched_end_a_run_with_one_sentence(nst, weights):
    weights.unlink(missing_ok=True)
    weights.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(weights.parent)
    weights.parent.write_text("in the way")
    try:
        said = nst("run", "--iterations", 2, "--output", "o ut", status=1)
    finally:
        weights.parent.unlink()
    assert f"cannot create folder {weights.parent}" in said


def test_every_command_finds_what_it_needs(nst, weights, installed, elsewhere):
    """The lab, the gallery and the grader run on their copies, and write where the user says."""
    shipped = files_in(installed)
    weights.parent.mkdir(parents=True, exist_ok=True)
    write_fake_vgg(weights)
    picture = "it's gray.jpg"
    options = ["--content", picture, "--style", picture, "--iterations", 2]

    said = nst("run", *options, "--output", "o ut")
    made = Path("o ut", "generated_image.jpg")
    assert str(made) in said
    with Image.open(elsewhere / made) as generated:
        assert generated.format == "JPEG"

    (elsewhere / "pairs.csv").write_text(f"content,style,name\n{picture},{picture},gray\n")
    lab = ("--method", "lab", "--iterations", 2)
    nst("gallery", "--pairs", "pairs.csv", *lab, "--output", "all")
    assert {"gray.jpg", "gallery.jpg"} <= files_in(elsewhere / "all")

    gram = "def gram_matrix(A):\n    return tf.matmul(A, tf.transpose(A))\n"
    (elsewhere / "answer.py").write_text(f"import tensorflow as tf\n{gram}")
    said = nst("grade", "answer.py")  # the other functions are missing
    (line,) = [line for line in said.splitlines() if line.startswith("gram_matrix")]
    assert line.split()[-1] == "pass"

    assert files_in(installed) == shipped
    assert {path.name for path in elsewhere.iterdir()} == {
        *(picture, "o ut", "pairs.csv", "all", "answer.py")
    }


@pytest.mark.parametrize("tool", ["jupyter execute", "jupyter nbconvert --to notebook --execute"])
def test_the_lab_s_notebook_runs_alone_in_an_empty_folder(python, weights, tmp_path, tool):
    """Its pictures come from the package, its weights from the cache; results are beside it."""
    weights.parent.mkdir(parents=True, exist_ok=True)
    write_fake_vgg(weights)
    notebook = nbformat.read(LAB, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if cell.id == "parameters"]
    parameters.source = parameters.source.replace("= 400", "= 48").replace("= 200", "= 2")
    nbformat.write(notebook, tmp_path / "my lab.ipynb")
    python("-m", *tool.split(), tmp_path / "my lab.ipynb", "--output", tmp_path / "done.ipynb")
    executed = (tmp_path / "done.ipynb").read_text()
    assert "Iteration 0 of pyramid.jpg and impressionist.jpg with 8-bit weights:" in executed
    assert {"my lab.ipynb", "output"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "output" / "generated_image.jpg").exists()


def files_in(folder):
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {str(path) for path in paths if "__pycache__" not in path.parts}
