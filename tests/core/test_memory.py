"""Free memory inside control groups, and the sizes that are refused."""

import re
from types import SimpleNamespace

import psutil
import pytest

from nst.core import memory
from nst.core.memory import check_memory, format_bytes, free_memory

MB, GB = 10**6, 10**9


def write_group(folder, files, limit, usage, cache):
    folder.mkdir(parents=True, exist_ok=True)
    limit_file, usage_file, cache_entry = files
    (folder / limit_file).write_text(f"{limit}\n")
    (folder / usage_file).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"anon {usage - cache}\n{cache_entry} {cache}\n")


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A tree of control groups; the function that fills /proc/self/cgroup and reads the limits."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=60 * GB))
    membership = tmp_path / "membership"
    read = memory._free_in_cgroups
    monkeypatch.setattr(memory, "_free_in_cgroups", lambda: read(tmp_path, membership))
    membership.write_text("0::/\n")
    return tmp_path, membership


def test_the_limit_of_a_container_counts(groups):
    mount, _ = groups
    write_group(mount, memory.CGROUP_2, 2 * GB, 500 * MB, 100 * MB)
    assert free_memory() == 1600 * MB  # file cache is given back


def test_the_limit_of_a_container_with_version_1_counts(groups):
    mount, membership = groups
    membership.write_text("5:cpu,cpuacct:/docker/4f\n4:memory:/docker/4f\n0::/\n")
    # the container sees its own group as the root
    write_group(mount / "memory", memory.CGROUP_1, 2 * GB, 500 * MB, 0)
    assert free_memory() == 1500 * MB


def test_the_narrowest_group_on_the_way_up_counts(groups):
    mount, membership = groups
    membership.write_text("0::/user.slice/job\n")
    write_group(mount / "user.slice", memory.CGROUP_2, 3 * GB, 2 * GB, 0)
    write_group(mount / "user.slice" / "job", memory.CGROUP_2, "max", 100 * MB, 0)
    assert free_memory() == 1 * GB


def test_without_a_limit_the_host_counts(groups):
    mount, membership = groups
    write_group(mount, memory.CGROUP_2, "max", 500 * MB, 0)
    assert free_memory() == 60 * GB
    membership.unlink()  # not on Linux
    assert free_memory() == 60 * GB


def test_a_full_container_has_nothing_free(groups):
    mount, _ = groups
    write_group(mount, memory.CGROUP_2, 1 * GB, 1 * GB + 4096, 0)
    assert free_memory() == 0


def test_the_largest_size_that_fits_does_fit():
    with pytest.raises(MemoryError, match="painting at 4000×3000 pixels takes 24 GB") as caught:
        check_memory(3000, 4000, 2000, "painting", free=6 * GB)
    width, height = map(int, re.search(r"choose (\d+)×(\d+)", str(caught.value)).groups())
    assert (width, height) == (2000, 1500)
    check_memory(height, width, 2000, "painting", free=6 * GB)


@pytest.mark.parametrize("free", [500_000, 0])
def test_no_size_is_recommended_that_vgg_cannot_use(free):
    with pytest.raises(MemoryError, match=r"takes 360 MB .* only 0 MB .*: close other programs"):
        check_memory(300, 400, 3000, free=free)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 MB"), (4e8, "400 MB"), (1.26e9, "1.3 GB"), (3.6e10, "36 GB"), (8e12, "8,000 GB")],
)
def test_bytes_are_read_without_counting_zeros(number, text):
    assert format_bytes(number) == text
