"""A limit on the memory of what is started inside: a control group of Linux, of version 1 or 2."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def memory_limit(size: int) -> Iterator[Callable[[], None]]:
    """Processes started before the function given is called hold `size` bytes together at most.

    A process is born into its parent's group, so the test is in it until then. Skips where groups cannot be made.
    """
    root, limit = _ROOT, "memory.max"
    if (_ROOT / "memory").is_dir():
        root, limit = _ROOT / "memory", "memory.limit_in_bytes"
    group, before = root / f"atelier-test-{os.getpid()}", _own_group(root)
    try:
        group.mkdir()
        (group / limit).write_text(str(size))
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError as error:
        if group.exists():
            group.rmdir()
        pytest.skip(f"control groups of memory cannot be made here: {error.strerror}")

    def leave() -> None:
        (before / "cgroup.procs").write_text(str(os.getpid()))

    try:
        yield leave
    finally:
        leave()
        group.rmdir()


def _own_group(root: Path) -> Path:
    """The group this process is in now; inside a container the path is the host's, and the group is the root."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (root == _ROOT and not controllers) or "memory" in controllers.split(","):
            folder = root / path.lstrip("/")
            return folder if folder.is_dir() else root
    return root
