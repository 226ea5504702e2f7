"""What the command, the studio and the gallery share: strengths, names of results, the painter."""

from itertools import count, takewhile
from pathlib import Path

from nst.core.config import WORKPLACE
from nst.painting.checkpoint import state_path

STRENGTHS = {"light": 0.25, "medium": 0.5, "strong": 0.75}


def load_painter():
    """Import and return `painter.paint`, with TensorFlow's notices off; this takes seconds."""
    from nst.painting import painter
    from nst.vgg import network

    network.tf.logging.set_verbosity(network.tf.logging.ERROR)
    return painter.paint


def unused_output_path(content, styles, resume=False):
    """Name a result that is not there yet: output/<content>_<style>.jpg, or with a number.

    With `resume` it is the last one that has a state, if any has.
    """
    stems = "_".join(Path(path).stem for path in (content, *styles))
    names = (f"{stems}{'' if n == 1 else f'_{n}'}.jpg" for n in count(1))
    paths = (WORKPLACE / "output" / name for name in names)
    if not resume:
        return next(path for path in paths if not path.exists())
    begun = [path for path in takewhile(Path.exists, paths) if state_path(path).exists()]
    return begun[-1] if begun else WORKPLACE / "output" / f"{stems}.jpg"
