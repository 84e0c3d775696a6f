"""Appends a record to a file, whole or not at all: two writers take turns, and what a kill left half-written is cut."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from atelier_client._files import check_folder
from atelier_client.errors import DataError
from atelier_client.release.durable_files import locked, sync

from atelier_console.texts import say

# Where the whole records of a file end, in bytes, and what comes behind them. The path is None for a file that is new
# or empty.
Addition = Callable[[Path | None], tuple[int, bytes]]


def append(path: Path, addition: Addition) -> None:
    """Put what `addition` says behind the last whole record, on disk.

    `addition` is called while no other console writes; it raises `DataError` for a file that is none of this kind,
    which is left as it is, as is a link or a pipe. Raises `OSError` that names the file; then the file is as it was.
    """
    check_folder(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock")):
            _append(path, addition)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise DataError(say("no_own_file", path=path)) from None
        raise OSError(error.errno, error.strerror, str(path)) from None


def _append(path: Path, addition: Addition) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "wb", buffering=0) as handle:
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise DataError(say("no_own_file", path=path))
        end, data = addition(path if status.st_size else None)
        handle.truncate(end)
        handle.seek(end)
        try:
            _write(handle.fileno(), data)
            os.fsync(handle.fileno())
        except OSError:
            # A full disk: the half that was written is of no use.
            handle.truncate(end)
            raise
    sync(path.parent)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def now() -> str:
    """The time, UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
