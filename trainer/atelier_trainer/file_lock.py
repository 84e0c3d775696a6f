"""Lock files. Something else under a lock file's name is neither followed nor changed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def open_lock(path: Path) -> IO[str]:
    """Open a lock file; create it when it is missing. Raises `OSError` when it is no regular file.

    A symbolic link may lead to somebody else's file, which must not be emptied.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if path.is_symlink():
            raise OSError(
                error.errno, "A lock file is no symbolic link; remove the link", str(path)
            ) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path}: expected a lock file, got something else under its name; remove it")
    return os.fdopen(descriptor, "r+")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of a file for the block; waits for it. Raises `OSError`."""
    with open_lock(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def try_lock(path: Path) -> IO[str] | None:
    """The lock file, locked until it is closed, or None when another process holds it. Raises `OSError`."""
    handle = open_lock(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle
