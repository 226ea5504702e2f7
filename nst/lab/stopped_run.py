"""The record of a training run that was stopped."""

from pathlib import Path


def stopped_after(output_dir):
    """Return the last iteration of the stopped run in a folder, None if there is no such run."""
    import numpy as np  # here, so that `nst run` starts quickly

    try:
        with np.load(Path(output_dir, "state.npz")) as state:
            return int(state["iteration"]) if state["stopped"] else None
    except Exception:  # no file, or one that cannot be continued: zipfile and NumPy raise their own
        return None
