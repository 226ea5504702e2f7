"""Measure the lab against the course's graph and, on request, against PyTorch.

    python -m tests.benchmark           the course's graph, ours in float32 and bfloat16
    python -m tests.benchmark --peers   PyTorch as well, in a virtual environment of its own; then
        no L-BFGS on the course's costs, and the painter on one pair: it ends within 15 minutes
    python -m tests.benchmark --painter make paint beside the lab's 200 steps, and nothing else;
        --pairs pyramid_impressionist   of these pairs
        --sizes 800                     and of these larger sizes
        --precision float32             both in this precision

Each variant is a process of its own that paints the lab's pair of pictures from the lab's start:
the same layers, sizes, costs and Adam, checked by comparing the costs. The steps are interleaved
(one of each, again and again), because machines are noisy: trust the ratios more than the seconds.
A precision that is slower than float32 there is left out. Prints a section of BENCHMARKS.md.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nst.core.hardware import computes_bfloat16
from nst.core.tensorflow import import_tensorflow
from nst.gallery.pairs import default_pairs
from tests.benchmark.painter import SIZES as LARGER
from tests.benchmark.painter import print_painter
from tests.benchmark.worker import Worker, export_problem

STEPS = 7  # of each variant, counted, after 2 that are not
BURST = 20  # steps in a row that count as one on a GPU, where a step takes milliseconds
TOLERANCE = {"float32": 1e-4, "TF32": 5e-3, "bfloat16": 0.02}  # of the costs, relative
SIZES = ((150, 200), (300, 400), (600, 800), (1200, 1600))

OURS = (
    "course's graph",
    "lab, float32",
    "lab, TF32",
    "lab, bfloat16",
    "course's costs on our graph, float32",
)
PEERS = tuple(
    f"PyTorch {mode}, {precision}" for precision in TOLERANCE for mode in ("eager", "compiled")
)


def compare(variants):
    """Interleave the variants' steps; return a row of figures for each."""
    workers = {name: Worker(name) for name in variants}
    times = {name: [] for name in variants}
    for i in range(STEPS + 2):
        for name, worker in workers.items():
            burst = range(BURST if gpu() else 1)
            seconds = statistics.median(worker.ask("step")["seconds"] for _ in burst)
            if i >= 2:
                times[name].append(seconds)
    rows = {}
    for name, worker in workers.items():
        costs = worker.first["costs"]
        rows[name] = {"times": times[name], "costs": costs, "peak": worker.ask("peak")["peak"]}
        rows[name]["start"] = worker.first["start"]
        worker.close()
    reference = rows["lab, float32"]["costs"]
    for name, row in rows.items():
        tolerance = TOLERANCE[name.split(", ")[-1]] if ", " in name else TOLERANCE["float32"]
        np.testing.assert_allclose(row["costs"], reference, rtol=tolerance, err_msg=name)
    return rows


def print_comparison(rows):
    base = rows["course's graph"]["times"]
    print("\n| one step at 400×300 | s, median | ÷ course's graph | spread | peak memory, GB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, row in rows.items():
        ratios = [a / b for a, b in zip(row["times"], base, strict=True)]
        print(
            f"| {name} | {statistics.median(row['times']):.4g} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f}-{max(ratios):.2f} | {row['peak'] / 1e9:.2f} |"
        )


def print_start_up(variants):
    print("\n| fresh process to the end of the first step | s, median of 3 |")
    print("| --- | ---: |")
    starts = {name: [] for name in variants}
    for _ in range(3):
        for name, seconds in starts.items():
            worker = Worker(name)
            seconds.append(worker.first["start"])
            worker.close()
    for name, seconds in starts.items():
        print(f"| {name} | {statistics.median(seconds):.1f} |")


def print_sizes(variants):
    print(
        "\n| size | " + " | ".join(f"{v}: s/step, per megapixel, peak GB" for v in variants) + " |"
    )
    print("| --- |" + " ---: |" * len(variants))
    for height, width in SIZES:
        cells = []
        for name in variants:
            worker = Worker(name, height, width)
            worker.ask("step")
            seconds = statistics.median(worker.ask("step")["seconds"] for _ in range(3))
            memory = worker.ask("peak")["peak"] / 1e9
            cells.append(f"{seconds:.3g}, {seconds / (height * width / 1e6):.3g}, {memory:.2f}")
            worker.close()
        print(f"| {width}×{height} | " + " | ".join(cells) + " |")


def print_rounding():
    """Compare how far Adam gets in bfloat16 and in float32."""
    costs = []
    for name in OURS[1], OURS[3]:
        worker = Worker(name)
        for _ in range(99):
            worker.ask("step")
        costs.append(worker.ask("costs")["value"][0])
        worker.close()
    exact, other = costs
    print(f"\nCost after 100 steps, bfloat16 against float32: {other / exact - 1:+.3%}")


def print_race(course_step, variant):
    """Time to the cost that Adam has at iteration 180."""
    worker = Worker(variant)
    for _ in range(180):
        worker.ask("step")
    target = worker.ask("costs")["value"][0]
    won = worker.ask(f"coarse_to_fine {target}")["value"]
    course = 181 * course_step
    if won["cost"] > target:
        sys.exit(f"L-BFGS ended at a cost of {won['cost']:.4g}, above {target:.4g}: no race")
    evaluations = " + ".join(map(str, won["evaluations"]))
    print(
        f"\nTo the total cost of iteration 180, {target:.4g}: {course:.0f} s with the course's "
        f"graph and Adam (181 steps), {won['seconds']:.1f} s by the {variant}, with L-BFGS from "
        f"coarse to fine ({evaluations} evaluations), 1/{course / won['seconds']:.1f}"
    )
    worker.close()


def gpu():
    """Name the GPU that TensorFlow computes on; None without one."""
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else None


def processor():
    """Name the GPU where there is one, the processor, and the kernels that it gets."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = [line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")]
    flags = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    settings = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA")
    return ", ".join(
        [
            *([gpu()] if gpu() else []),
            *(names or [platform.processor()])[:1],
            f"{os.cpu_count()} cores",
            *(flag for flag in flags if flag in text.split()),
            *(f"{name}={os.environ[name]}" for name in settings if name in os.environ),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="measure PyTorch as well")
    parser.add_argument("--painter", action="store_true", help="make paint beside the lab alone")
    names = [pair.name for pair in default_pairs()]
    parser.add_argument("--pairs", nargs="*", default=(), choices=names, help="default: all")
    parser.add_argument("--sizes", nargs="*", type=int, default=LARGER, help="800 1600")
    parser.add_argument("--precision", default="auto", help="of the painter and the lab beside it")
    parser.add_argument("--quick", action="store_true", help="the steps at 400×300 alone")
    args = parser.parse_args()
    variants = OURS + (PEERS if args.peers else ())
    print(f"## {processor()}\n")
    print(f"TensorFlow {version('tensorflow')}, Python {platform.python_version()}.")
    if not gpu():  # TF32 is a GPU's
        variants = [name for name in variants if "TF32" not in name]
    if not computes_bfloat16():
        variants = [name for name in variants if "bfloat16" not in name]
        print("On this processor bfloat16 is slower than float32, so that is left out.")
    if args.painter:
        print_painter(args.precision, args.pairs, args.sizes)
        return
    with tempfile.TemporaryDirectory() as folder:
        if args.peers:
            os.environ["BENCHMARK_PROBLEM"] = str(Path(folder, "problem.npz"))
            export_problem(os.environ["BENCHMARK_PROBLEM"])
        rows = compare(variants)
    print_comparison(rows)
    if not args.quick:
        ours = [name for name in OURS[:4] if name in variants and "TF32" not in name]
        print_start_up(ours)
        print_sizes(ours[1:])
        if "lab, bfloat16" in ours:
            print_rounding()
        if not args.peers:
            print_race(statistics.median(rows["course's graph"]["times"]), ours[-1])
        pairs = args.pairs or (names[:1] if args.peers else ())
        print_painter(args.precision, pairs, args.sizes, in_other_ways=not args.peers)


if __name__ == "__main__":
    main()
