"""Options that command, studio and gallery share; importing this does not import TensorFlow."""

from itertools import count
from pathlib import Path

from nst.core.config import WORKPLACE
from nst.core.progress import format_duration

STRENGTHS = {"light": 0.25, "medium": 0.5, "strong": 0.75}


def load_painter():
    """Import and return `painter.paint`, with TensorFlow's notices off; this takes seconds."""
    from nst.painting import painter
    from nst.vgg import network

    network.tf.logging.set_verbosity(network.tf.logging.ERROR)
    return painter.paint


def describe(progress):
    """Return the state of a painting as one line."""
    height, width = progress.image.shape[1:3]
    line = f"  level {progress.level} of {progress.levels}, {width}×{height} pixels"
    if progress.tiles > 1:
        line += f" in {progress.tiles} tiles"
    line += f"   {progress.done:4.0%} done"
    if progress.seconds_left is not None:
        line += f"   {format_duration(progress.seconds_left)} left"
    return line


def output_paths(content, styles, folder=WORKPLACE / "output"):
    """Yield names for a result: <content>_<style>.jpg in `folder`, then with _2, _3, …"""
    stems = "_".join(Path(path).stem for path in (content, *styles))
    for number in count(1):
        yield Path(folder, f"{stems}{'' if number == 1 else f'_{number}'}.jpg")
