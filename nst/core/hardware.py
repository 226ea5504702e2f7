"""The processor's features, and the kernels that are fast on it.

Imported before TensorFlow, which reads its environment variables once.
"""

import os
import platform
import sys
from pathlib import Path

AMD = "AuthenticAMD"  # vendor string in /proc/cpuinfo


def prefer_onednn():
    """Make TensorFlow use oneDNN's kernels on every x86 processor; call this before its import.

    By default it uses them only with AVX512-VNNI, AVX512-BF16 or AMX. A TF_ENABLE_ONEDNN_OPTS that
    the user has set is kept.
    """
    if _onednn_is_built_in() and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def share_gpu():
    """Make TensorFlow allocate GPU memory as needed; call this before the first session.

    By default it takes all of it, and none is left for a second notebook or the screen. A
    TF_FORCE_GPU_ALLOW_GROWTH that the user has set is kept.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def choose_kernels(precision="float32"):
    """Choose the strategy that computes a frozen convolution fastest on this machine.

    The strategies differ in speed, and by rounding; BENCHMARKS.md has the measurements.

    Returns:
    "plain" -- a convolution forward and a transposed one backward, as TensorFlow does it: for GPUs,
        whose library is equally fast in all ways, and for bfloat16, in which a transposed
        convolution is rounded before the bias is added, which lowers the style cost by 0.9 %
    "transposed" -- transposed convolutions in both directions: with oneDNN these are faster, since
        for a convolution it gets the weights in TensorFlow's layout, which its fast kernel cannot
        read
    "rotated" -- convolutions in both directions, with a rotated kernel backward: without oneDNN
        (macOS, ARM, switched off) the kernels are Eigen's, whose transposed convolution takes up to
        twice as long
    """
    import tensorflow.compat.v1 as tf  # not before `prefer_onednn`

    if precision == "bfloat16" or tf.config.list_physical_devices("GPU"):
        return "plain"
    return "transposed" if _onednn_is_on() else "rotated"


def processor_flags():
    """Return the processor's features and vendor, as the set of words in /proc/cpuinfo.

    The set is empty on other systems than Linux. ONEDNN_MAX_CPU_ISA, which makes oneDNN emulate an
    older processor, is respected: AVX2 hides AVX-512, and AVX512_CORE hides what came after it.
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
    """Return whether TensorFlow's convolutions are faster in bfloat16 than in float32 here.

    They are on an NVIDIA GPU of compute capability 8 or more, and with oneDNN on a processor with
    AMX or on AMD's with AVX512-BF16. On any other, bfloat16 is slower: emulated, or, with Intel's
    AVX512-BF16 and no AMX, as virtual machines may show it, 1.5 times as slow.
    """
    import tensorflow.compat.v1 as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    flags = processor_flags()
    return _onednn_is_on() and ("amx_bf16" in flags or {"avx512_bf16", AMD} <= flags)


def _onednn_is_on():
    """Return whether TensorFlow computes with oneDNN, by TensorFlow's own rule."""
    asked = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    if asked is None:  # TensorFlow was imported before `prefer_onednn` was called
        return bool(processor_flags() & {"avx512_vnni", "avx512_bf16", "amx_tile"})
    return _onednn_is_built_in() and asked.lower() in ("1", "true")


def _onednn_is_built_in():
    """Return whether TensorFlow's packages for this machine include oneDNN for x86."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and platform.system() in ("Linux", "Windows")
