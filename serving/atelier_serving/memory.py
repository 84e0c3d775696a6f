"""This process's memory: how much it holds, how much it may still have, and giving it back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def resident() -> int:
    """Bytes of memory that this process holds now."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def available() -> int:
    """Bytes that the machine, or this process's control group (a container's limit), still has to give."""
    with open("/proc/meminfo") as meminfo:
        machine = next(int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemAvailable"))
    return max(0, min(machine, *_left_in_groups()))


def give_back() -> None:
    """Free what is unreachable, and return free pages to the system where the C library can (glibc)."""
    # Graphs are cyclic; left to themselves they go late (0.6 MB a load stayed, now none).
    gc.collect()
    # Each load has a thread of its own, and glibc keeps what a thread has freed for later ones: up to 100 MB after some
    # dozens of loads.
    if _trim is not None:
        _trim(0)


def _left_in_groups() -> list[int]:
    """What the limits of the process's control groups leave, of both versions; empty without limits.

    https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html. A container sees its own group at the
    mount, a process outside one at the path that /proc/self/cgroup names.
    """
    left = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, limit, usage = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, usage = _CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        for folder in (root / path.lstrip("/"), root):
            # "max" is no number: no limit.
            with contextlib.suppress(OSError, ValueError):
                left.append(int((folder / limit).read_text()) - int((folder / usage).read_text()))
    return left
