"""What the processor has, and the kernels that are fast on it.

Knows nothing of the project; imported before TensorFlow, which reads its settings once.
"""

import os
import platform
import sys
from pathlib import Path

AMD = "AuthenticAMD"  # as its processors name their maker


def prefer_onednn():
    """Have TensorFlow take oneDNN's kernels on every x86 processor; to be called before its import.

    By itself it takes them only with AVX512-VNNI, AVX512-BF16 or AMX. A TF_ENABLE_ONEDNN_OPTS of
    the user's stays.
    """
    if _onednn_is_built_in() and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def share_gpu():
    """Have TensorFlow take a GPU's memory as it needs it; to be called before the first session.

    By itself it takes all of it, and a second notebook, or the screen, finds none. A
    TF_FORCE_GPU_ALLOW_GROWTH of the user's stays.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def choose_kernels(precision="float32"):
    """Choose the way to compute a frozen convolution that is fastest on this machine.

    The ways differ in speed, and by rounding; BENCHMARKS.md has the measurements.

    Returns:
    "plain" -- a convolution forward, a transposed one back, as TensorFlow does it. With AMD's
        AVX-512 oneDNN's kernels are equally fast both ways, and a convolution takes the bias along;
        a GPU's library is equally fast in all ways. Also for bfloat16: a transposed convolution is
        rounded before the bias is added, which takes 0.9 % off the style cost
    "transposed" -- transposed convolutions in both directions. Elsewhere oneDNN is faster at these:
        for a convolution it gets the weights in TensorFlow's layout, which its fast kernel cannot
        read
    "turned" -- convolutions in both directions, with the kernel turned for the way back. Without
        oneDNN (macOS, ARM, switched off) the kernels are Eigen's, whose transposed convolution
        takes up to twice as long
    """
    import tensorflow.compat.v1 as tf  # not before `prefer_onednn`

    if precision == "bfloat16" or tf.config.list_physical_devices("GPU"):
        return "plain"
    if not _onednn_is_on():
        return "turned"
    return "plain" if {"avx512f", AMD} <= processor_flags() else "transposed"


def processor_flags():
    """Return what the processor has, and who made it, in Linux's words; nothing elsewhere.

    ONEDNN_MAX_CPU_ISA, by which oneDNN plays a lesser processor, counts: AVX2 hides AVX-512, and
    AVX512_CORE hides what came after it.
    """
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    if limit.startswith(("SSE", "AVX")) and not limit.startswith("AVX512"):
        return {flag for flag in flags if not flag.startswith(("avx512", "amx"))}
    if limit in ("AVX512_CORE", "AVX512_CORE_VNNI"):
        flags -= {"avx512_bf16"}
    if limit.startswith("AVX512_CORE") and "AMX" not in limit:
        flags -= {"amx_bf16", "amx_tile"}
    return flags


def computes_bfloat16():
    """Tell whether TensorFlow's convolutions are faster in bfloat16 than in float32 here.

    That is an NVIDIA GPU of compute capability 8 or more; or oneDNN on a processor with AMX, or on
    one of AMD's with AVX512-BF16. Elsewhere bfloat16 is slower than float32: emulated, or, with
    Intel's AVX512-BF16 and no AMX, as virtual machines may show it, by a half.
    """
    import tensorflow.compat.v1 as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    flags = processor_flags()
    return _onednn_is_on() and ("amx_bf16" in flags or {"avx512_bf16", AMD} <= flags)


def _onednn_is_on():
    """Tell whether TensorFlow computes with oneDNN, by the rule that it has itself."""
    asked = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    if asked is None:  # TensorFlow was imported before we could ask for it
        return bool(processor_flags() & {"avx512_vnni", "avx512_bf16", "amx_tile"})
    return _onednn_is_built_in() and asked.lower() in ("1", "true")


def _onednn_is_built_in():
    """Tell whether TensorFlow's packages for this machine carry oneDNN for x86."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and platform.system() in ("Linux", "Windows")
