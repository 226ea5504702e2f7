"""What a painting in tiles leaves on disk, so that RESUME=1 goes on with its last level.

One file beside the picture, written whole as each such level begins, and removed when the painting
is finished. It knows its pictures, weights and settings by their hashes.
"""

import hashlib
from pathlib import Path

import numpy as np
from pooch import file_hash

from nst.core.files import stored_state, whole_file

OTHERWISE = "leave RESUME out, to begin from the start"


def state_path(picture):
    """Name the state that belongs to the picture of that path."""
    return Path(f"{picture}.state.npz")


def hashes(content, styles, settings):
    """Identify a painting.

    Arguments:
    as `nst.painting.painter.paint` takes them; all settings count but `memory`

    Returns:
    dict from what a user gives to a hash
    """
    files = {"content picture": [content], "style pictures": styles, "weights": [settings["model"]]}
    found = {n: [file_hash(path, "sha256") for path in paths] for n, paths in files.items()}
    found["style pictures"] = sorted(zip(found["style pictures"], styles.values(), strict=True))
    found |= {name: settings[name] for name in sorted(settings.keys() - {"model", "memory"})}
    return {name: hashlib.sha256(repr(value).encode()).hexdigest() for name, value in found.items()}


def save_state(picture, identity, progress):
    """Write the state with which `progress`'s level begins; whole, or OSError."""
    with whole_file(state_path(picture)) as file:
        np.savez(file, level=progress.level, start=progress.start, **identity)


def load_state(picture, identity):
    """Read the state of a picture: (level, start), as `nst.painting.painter.paint` takes it.

    Raises FileNotFoundError or ValueError.
    """
    path = state_path(picture)
    with stored_state(path, OTHERWISE) as state:
        level, start = int(state.pop("level")), state.pop("start")
        others = [name for name in identity if state[name] != identity[name]]
        if start.ndim != 4:
            raise ValueError
    if others:
        raise ValueError(
            f"{path} is of a painting with another {' and '.join(others)}: give the same again, or "
            f"{OTHERWISE}"
        )
    return level, start
