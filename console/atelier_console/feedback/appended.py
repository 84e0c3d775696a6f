"""Appends a record to a file, whole or not at all: two writers take turns, and what a kill left half-written is cut."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from atelier_client._files import check_folder
from atelier_client.release.durable_files import locked, sync


def append(path: Path, record: bytes, end_of_whole: Callable[[Path], int], head: bytes = b"") -> None:
    """Add a record behind the last whole one, and put it on disk; a new file begins with `head`.

    `end_of_whole` finds where the whole records of the file end; it raises `DataError` for a file that is none of this
    kind, which is left as it is. Raises `OSError` that names the file; then the file is as it was.
    """
    check_folder(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock")):
            _append(path, record, end_of_whole, head)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _append(path: Path, record: bytes, end_of_whole: Callable[[Path], int], head: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o644), "wb", buffering=0) as handle:
        end = end_of_whole(path) if os.fstat(handle.fileno()).st_size else 0
        handle.truncate(end)
        handle.seek(end)
        try:
            _write(handle.fileno(), record if end else head + record)
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
