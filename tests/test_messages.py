"""The form of error messages: one sentence of what was found, what was expected, what to do."""

import argparse
import re

import numpy as np
import pytest

from nst.core import cli, files, images, memory
from nst.gallery import dask_cluster, pairs
from nst.lab import runner
from nst.vgg import network, weights

CASES = {  # title: (error, key word, function of an empty folder)
    "no image": (OSError, "not found", lambda folder: images.load_image(folder / "none.jpg")),
    "a folder": (OSError, "folder", lambda folder: images.load_image(folder)),
    "a web address": (ValueError, "download", lambda _: images.load_image("https://a.org/b.jpg")),
    "text": (ValueError, "not an image", lambda folder: images.load_image(text(folder))),
    "no pixels": (ValueError, "pixels", lambda folder: images.load_image(text(folder), 0, 8)),
    "wrong shape": (
        ValueError,
        "shape",
        lambda _: images.reshape_and_normalize_image(np.zeros((2, 3, 3))),
    ),
    "normalized twice": (
        ValueError,
        "255",
        lambda _: images.reshape_and_normalize_image(np.full((8, 8, 3), -9.0), 8, 8),
    ),
    "diverged": (ValueError, "NaN", lambda _: images.to_pixels(np.full((1, 8, 8, 3), np.nan))),
    "no extension": (
        ValueError,
        "extension",
        lambda folder: images.check_picture_path(folder / "a"),
    ),
    "no memory": (MemoryError, "GB", lambda _: memory.check_memory(10**6, 10**6)),
    "no state": (OSError, "not found", lambda folder: opened_state(folder / "state.npz")),
    "corrupt state": (ValueError, "corrupt", lambda folder: opened_state(text(folder))),
    "a file for a folder": (
        OSError,
        "folder",
        lambda folder: files.make_folder(text(folder) / "a"),
    ),
    "no number": (argparse.ArgumentTypeError, "number", lambda _: cli.number(0, 1)("very")),
    "no whole number": (argparse.ArgumentTypeError, "whole", lambda _: cli.whole_number(1)("0.5")),
    "no choice": (argparse.ArgumentTypeError, "one of", lambda _: cli.one_of("a", "b")("c")),
    "no weights": (OSError, "make weights", lambda folder: weights.read_vgg(folder / "none.mat")),
    "other weights": (ValueError, "MatConvNet", lambda folder: weights.read_vgg(text(folder))),
    "precision": (ValueError, "precision", lambda _: network.choose_precision("float16")),
    "no notebook": (OSError, "notebook", lambda folder: runner.read_notebook(folder / "a.ipynb")),
    "other notebook": (ValueError, "notebook", lambda folder: runner.read_notebook(text(folder))),
    "no list": (OSError, "CSV", lambda folder: pairs.read_pairs(folder / "none.csv")),
    "other list": (ValueError, "content,style", lambda folder: pairs.read_pairs(text(folder))),
    "no scheduler": (OSError, "scheduler", lambda _: dask_cluster.connect("nowhere")),
}


def text(folder):
    path = folder / "text"
    path.write_text("not what is expected")
    return path


def opened_state(path):
    with files.stored_state(path, "set RESUME = False"):
        pass


@pytest.mark.parametrize("title", CASES)
def test_an_error_is_one_sentence_that_says_what_to_do(title, tmp_path):
    kind, key, function = CASES[title]
    with pytest.raises(kind, match=key) as caught:
        function(tmp_path)
    message = str(caught.value)
    if kind is not argparse.ArgumentTypeError:  # the parser adds what to do
        assert re.fullmatch(r"\S[^\n]*: \w[^\n]*[^\s.!]", message), message
    assert "\n" not in message
    assert not re.search(r"Traceback|  |is not there|object at 0x", message)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
