"""Files that survive a kill and a power cut, and the locks that keep their writers apart (docs/contracts.md)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from atelier_client._files import read_bytes
from atelier_client.errors import DataError


def read_text(path: Path) -> str | None:
    """The text of a file, None when there is none. Raises `OSError`, and `DataError` for what is no text file."""
    try:
        return read_bytes(path).decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: byte {error.start + 1} is no UTF-8.") from None


def replace(path: Path, text: str, *, unless: Callable[[], bool] = lambda: False) -> bool:
    """Replace a file in one step; its content is on disk before it gets the name. The caller holds its lock.

    `unless` is asked at the last moment: when it says yes, nothing is replaced and False is returned. Raises `OSError`
    that names the file.
    """
    for half in path.parent.glob(f"{path.name}.{'[0-9a-f]' * 32}.new"):
        half.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
    try:
        with open(temporary, "x", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        if unless():
            return False
        os.replace(temporary, path)
        sync(path.parent)
        return True
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Put a folder's entries on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_lock(path: Path) -> IO[str]:
    """Open a lock file; create it when it is missing. Nothing is followed and nothing is cut.

    Raises `OSError`, and `DataError` when something else has its name.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError:
        if path.is_symlink() or path.is_dir():
            raise DataError(
                f"{path}: expected a lock file, got something else under its name; remove it."
            ) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{path}: expected a lock file, got something else under its name; remove it.")
    return os.fdopen(descriptor, "r+")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of a file for the block; waits for it. Such blocks are short."""
    with open_lock(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
