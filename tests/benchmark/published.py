"""Repeat the course's published training run and compare the costs.

    python -m tests.benchmark.published [FOLDER]

FOLDER holds the assignment's two pictures, louvre_small.jpg and monet.jpg, which are not ours to
give away: put your copies into images/. The lab notebook runs on them as it stands; the table goes
to the terminal as Markdown.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from nst.core.config import LAB, PROJECT
from nst.lab.runner import run

IMAGES = PROJECT / "images"
PICTURES = ("louvre_small.jpg", "monet.jpg")

# Iteration, total, content and style cost that public copies of the assignment print: 400x300,
# alpha 10, beta 40, Adam with rate 2.0, the noise drawn after the J cell's seed.
PUBLISHED = np.array(
    [
        (0, 5.05035e09, 7877.67, 1.26257e08),
        (20, 9.43272e08, 15187.1, 2.3578e07),
        (40, 4.84905e08, 16785.1, 1.21184e07),
        (60, 3.12573e08, 17466.2, 7.80995e06),
        (80, 2.28117e08, 17715.2, 5.69849e06),
        (100, 1.80691e08, 17894.8, 4.51281e06),
        (120, 1.50008e08, 18026.0, 3.7457e06),
        (140, 1.278e08, 18187.2, 3.19046e06),
        (160, 1.10793e08, 18347.4, 2.76524e06),
        (180, 9.74139e07, 18489.8, 2.43072e06),
    ]
)


def has_course_pictures(folder=IMAGES):
    """Tell whether a folder holds the assignment's pictures."""
    return all((folder / name).exists() for name in PICTURES)


def costs(folder, iterations):
    """Run the lab on the course's pictures; return rows (iteration, total, content, style)."""
    with tempfile.TemporaryDirectory() as output:
        values = {"ITERATIONS": iterations, "OUTPUT_DIR": output}
        values |= {"CONTENT_IMAGE": str(folder / PICTURES[0])}
        values |= {"STYLE_IMAGE": str(folder / PICTURES[1])}
        run(LAB, Path(output), values)
        rows = np.loadtxt(Path(output, "costs.csv"), delimiter=",", skiprows=1)
    return rows[np.isin(rows[:, 0], PUBLISHED[:, 0])]


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    if not has_course_pictures(folder):
        sys.exit(f"{' and '.join(PICTURES)} are not in {folder}: copy yours there, and try again")
    print("\n| iteration | total | published | | content | published | |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (i, total, content, _), (_, total_0, content_0, _) in zip(
        costs(folder, 181), PUBLISHED, strict=True
    ):
        print(
            f"| {i:.0f} | {total:.4g} | {total_0:.4g} | {total / total_0 - 1:+.2%} "
            f"| {content:.6g} | {content_0:.6g} | {content / content_0 - 1:+.2%} |"
        )


if __name__ == "__main__":
    main()
