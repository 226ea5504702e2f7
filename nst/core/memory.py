"""Free memory, within the limit of a container, and the refusal of sizes that would not fit."""

import math
from contextlib import suppress
from pathlib import Path

import psutil

from nst.core.config import BYTES_PER_PIXEL, SHORTEST_SIDE

# Memory files of a control group (see cgroups(7)), per version: limit, usage, and the entry of
# memory.stat that counts file cache which the kernel gives back when memory is needed
CGROUP_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
CGROUP_2 = ("memory.max", "memory.current", "inactive_file")


def free_memory():
    """Return the bytes that this process can still allocate: the host's, or its container's."""
    return max(0, min([psutil.virtual_memory().available, *_free_in_cgroups()]))


def check_memory(
    height, width, bytes_per_pixel=BYTES_PER_PIXEL, work="training", free=None, memory="memory"
):
    """Refuse a size that would not fit into memory.

    Arguments:
    height, width -- size of the image, in pixels
    bytes_per_pixel -- what `work` allocates at its peak for each pixel
    free -- free bytes, default `free_memory()`
    memory -- name of that memory in the message

    Raises MemoryError with the largest size of the same shape that fits.
    """
    free = free_memory() if free is None else free
    need = bytes_per_pixel * int(height) * int(width)
    if need <= free:
        return
    zoom = math.sqrt(free / need)
    fitting = [math.floor(zoom * side) for side in (width, height)]
    advice = "close other programs first"
    if min(fitting) >= SHORTEST_SIDE:
        advice = "choose {}×{}, the largest size of this shape that fits".format(*fitting)
    raise MemoryError(
        f"{work} at {width}×{height} pixels takes {format_bytes(need, math.ceil)} of {memory}, but "
        f"only {format_bytes(free, math.floor)} are free: {advice}"
    )


def format_bytes(number, rounded=round):
    """Format a number of bytes as "12 GB", "1.2 GB" or "120 MB"; `rounded` may be ceil or floor."""
    if number >= 1e10:
        return f"{rounded(number / 1e9):,} GB"
    if number >= 1e9:
        return f"{rounded(number / 1e8) / 10} GB"
    return f"{rounded(number / 1e6)} MB"


def _free_in_cgroups(mount=Path("/sys/fs/cgroup"), membership=Path("/proc/self/cgroup")):
    """Return the free bytes of each control group with a limit that this process belongs to."""
    free = []
    with suppress(OSError):  # only Linux has control groups
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                free += _free_on_the_way_up(mount, path, *CGROUP_2)
            elif "memory" in controllers.split(","):
                free += _free_on_the_way_up(mount / "memory", path, *CGROUP_1)
    return free


def _free_on_the_way_up(mount, path, limit_file, usage_file, cache_entry):
    """Yield the free bytes of the group at `path` and of the groups around it."""
    group = mount / path.strip("/")  # inside a container often missing: only `mount` is visible
    while group.is_relative_to(mount):
        with suppress(OSError, ValueError):  # no such group; "max" if there is no limit
            limit = int((group / limit_file).read_text())
            usage = int((group / usage_file).read_text())
            statistics = dict(map(str.split, (group / "memory.stat").read_text().splitlines()))
            yield limit - usage + int(statistics.get(cache_entry, 0))
        group = group.parent
