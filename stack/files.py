"""The stack's own files. They are never written through a symbolic link, and a pipe in their place is refused."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import IO

from stack.errors import Unavailable, UsageError


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file to read it. Raises `OSError`, also for a pipe, which would keep the reader waiting."""
    handle = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(handle.fileno()).st_mode):
        handle.close()
        raise OSError(f"{path} is no regular file")
    return handle


def read_text(path: Path) -> str:
    """The text of a regular file. Raises `OSError`, and `ValueError` for what is no UTF-8."""
    with open_regular(path) as handle:
        return handle.read().decode()


def replace(path: Path, text: str, mode: int | None = None) -> None:
    """Replace a file in one step, its content on disk before it gets its name. The caller holds the checkout's lock.

    `mode` is the file's rights; None for those that the user's umask gives.
    """
    temporary = path.with_name(f"{path.name}.new")
    if not _is_folder(temporary):
        # A killed command may have left it, and a symbolic link would be followed.
        temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "x", encoding="utf-8") as handle:
            if mode is not None:
                os.fchmod(handle.fileno(), mode)
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        # An error while writing (a full disk) does not name the file.
        raise OSError(error.errno, error.strerror, str(path)) from None


def open_own(path: Path, *, truncate: bool = False) -> IO[bytes]:
    """Open a lock or a log for appending; create it when it is missing. Raises `OSError`, or `Unavailable` when
    something else has its name."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError:
        if path.is_symlink() or _is_folder(path):
            raise _in_the_way(path) from None
        raise
    # Unbuffered: a full disk is noticed where a line is written, and not when the file is closed.
    handle = os.fdopen(descriptor, "ab", buffering=0)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        handle.close()
        raise _in_the_way(path)
    if truncate:
        os.ftruncate(descriptor, 0)
    return handle


def make_folder(path: Path) -> None:
    """Make a folder of the stack's own where there is none. Raises `OSError`, or `Unavailable` for something else."""
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError:
        raise _in_the_way(path) from None


def require_folder(path: Path) -> None:
    """Raise `UsageError` for what is neither a folder, nor a link to one, nor free to become one."""
    if path.is_dir() or not os.path.lexists(path):
        return
    if path.is_symlink() and not path.exists():
        raise UsageError(
            f"{path} is a link to {os.readlink(path)}, which does not exist: make that folder, or remove the link."
        )
    raise UsageError(f"{path} is no folder, and make keeps its files there: move it away.")


def _in_the_way(path: Path) -> Unavailable:
    kind = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "something else"
    return Unavailable(f"{path}: make writes here, and found {kind} that it did not make. Remove it.")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
