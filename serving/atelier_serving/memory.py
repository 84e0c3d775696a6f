"""This process's memory: how much it has, how much it can still get, and how it gives memory back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_LIBC = ctypes.CDLL(None)
_trim = getattr(_LIBC, "malloc_trim", None)
# malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def bound_free_memory() -> None:
    """Have the C library (glibc) keep at most 8 MB of freed memory for each thread, where it would keep up to 64.

    Blocks of 4 MB and more have pages of their own, which go back as soon as they are freed. The batches that clients
    usually send are smaller: for them nothing changes.
    """
    if set_option := getattr(_LIBC, "mallopt", None):
        set_option(_M_MMAP_THRESHOLD, 4 * 2**20)
        set_option(_M_TRIM_THRESHOLD, 8 * 2**20)


def resident() -> int:
    """The bytes of memory that this process has now."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def available() -> int:
    """The bytes that this process can still get from the machine and from its control group (a container's limit)."""
    with open("/proc/meminfo") as meminfo:
        machine = next(int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemAvailable"))
    return max(0, min(machine, *_left_in_groups()))


def trim() -> None:
    """Collect garbage, and return free pages to the system when the C library can do it (glibc)."""
    # Graphs have reference cycles. Without this call Python frees them late: 0.6 MB stayed after each load.
    gc.collect()
    # Each load runs in its own thread. glibc keeps the memory that a thread has freed for later threads: up to 100 MB
    # after some dozens of loads.
    if _trim is not None:
        _trim(0)


def _left_in_groups() -> list[int]:
    """For each limit of the process's control groups, the bytes that are left. Both versions of cgroups are read.

    https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html. In a container the group of the
    process is at the mount; outside a container it is at the path in /proc/self/cgroup.
    """
    left = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = _CGROUPS
            limit = "memory.max"
            usage = "memory.current"
        elif "memory" in controllers.split(","):
            root = _CGROUPS / "memory"
            limit = "memory.limit_in_bytes"
            usage = "memory.usage_in_bytes"
        else:
            continue
        for folder in (root / path.lstrip("/"), root):
            # "max" means no limit; it is no number, so int() fails.
            with contextlib.suppress(OSError, ValueError):
                left.append(int((folder / limit).read_text()) - int((folder / usage).read_text()))
    return left
