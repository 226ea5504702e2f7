"""Ctrl-C in the lab itself, on the miniature network: at the end of every cell and 15 more moments.

Each moment costs a kernel that imports TensorFlow, so `make test` leaves them out: there a notebook
of five cells is stopped. Run them by hand when runner.py, notebook_client.py or training.py change.
"""

import random
import signal

import nbformat
import numpy as np
import pytest
from PIL import Image

from nst.core.config import LAB
from nst.lab import runner
from tests.lab.striking import STRIKE, StruckClient, kernels, no_run_hangs

pytestmark = pytest.mark.slow

SOURCES = {c.id: c.source for c in nbformat.read(LAB, 4).cells if c.cell_type == "code"}
CELLS = list(SOURCES)
TRAINING = CELLS.index("run")
STEPS = 2  # of a training that comes to its end
ENDLESS = 1_000_000

# IPython runs this in every kernel.
STARTUP = f"""
def strike(result):
    if result.info.raw_cell == {{source!r}}:
        {STRIKE}

get_ipython().events.register("post_run_cell", strike)
"""


@pytest.fixture(autouse=True)
def _watched():
    with no_run_hangs():
        yield


def seeded_moments():
    """The end of every cell, as the kernel or the client sees it; others; during the training."""
    draw = random.Random(0)
    ends = [(cell, draw.choice(("post_run_cell", "idle", "after"))) for cell in CELLS]
    places = ("before", "busy", "execute_input")
    others = draw.sample([(cell, place) for cell in CELLS for place in places], 12)
    training = [("run", place) for place in ("display_data", "update_display_data", "stream")]
    return ends + others + training


@pytest.mark.parametrize("moment", seeded_moments())
def test_ctrl_c_at_any_moment_of_the_lab_ends_it(tmp_path, fake_weights, monkeypatch, moment):
    """Unless the training is over at that moment, it would never end."""
    cell, place = moment
    struck = CELLS.index(cell)
    at_the_end = place in ("post_run_cell", "idle", "after")
    if place == "post_run_cell":
        startup = tmp_path / "ipython" / "profile_default" / "startup" / "strike.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP.format(source=SOURCES[cell]))
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    else:
        index = {c.id: i for i, c in enumerate(nbformat.read(LAB, 4).cells)}[cell]
        index += struck > CELLS.index("parameters")  # behind it stands the cell of the values
        monkeypatch.setattr(StruckClient, "moment", (index, place))
    monkeypatch.setattr(runner, "TerminalClient", StruckClient)
    made = tmp_path / "made"
    values = {"VGG_MODEL": str(fake_weights), "SIZE": 48, "OUTPUT_DIR": str(made)}
    ends = struck > TRAINING or (struck == TRAINING and at_the_end)
    values["ITERATIONS"] = STEPS if ends else ENDLESS

    with pytest.raises(KeyboardInterrupt):
        runner.run(LAB, made, values)
    assert kernels() == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    (copy,) = made.glob("*.ipynb")
    counts = {c.id: c.get("execution_count") for c in nbformat.read(copy, 4).cells}
    # a signal at a cell's end reaches the runner's event loop as it begins the next cell
    later = CELLS[struck + 1 + at_the_end :]
    assert [cell for cell in later if counts[cell]] == []
    assert all(counts[earlier] for earlier in CELLS[:struck])
    if struck >= TRAINING and place not in ("before", "busy", "execute_input"):
        with Image.open(made / "generated_image.jpg") as picture:
            assert picture.size == (48, 36)
        with np.load(made / "state.npz") as state:
            assert state["iteration"] < values["ITERATIONS"]
