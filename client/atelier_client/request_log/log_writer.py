"""Writes the files of a request log: begun anew often enough that the oldest can be deleted one by one.

Several processes may write into one folder. Each holds a lock on the files that it writes, and deletes no file that
another one holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from atelier_client.data.tfrecord import framed
from atelier_client.errors import DataError
from atelier_client.request_log.log_files import log_files, name_of, safe

# As many as a warm-up file of TensorFlow Serving may have.
_MOST_RECORDS = 1000
# A file is closed at this part of what all may have, so that old records go a little at a time.
_PART = 16
_MOST_FILE_BYTES = 64 * 2**20
_MOST_FILE_SECONDS = 3600.0


class LogWriter:
    """Appends records to `folder`, for one thread. All files together have `max_bytes` at most, about."""

    def __init__(self, folder: Path, max_bytes: int, max_seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._most = max_bytes
        self._seconds = max_seconds
        self._file_seconds = min(max_seconds / _PART, _MOST_FILE_SECONDS)
        self._left = 0
        self._made = 0
        self._open: dict[str, _File] = {}

    @property
    def tidy_seconds(self) -> float:
        """How often `tidy` is to be called when nothing is written."""
        return max(1.0, min(60.0, self._file_seconds))

    def write(self, model: str, record: bytes) -> bool:
        """Append a record; False when there is no room for it. Raises `OSError`; then no part of it stays."""
        data = framed(record)
        if len(data) > self._left and not self.tidy(len(data)):
            return False
        self._left -= len(data)
        file = self._open.get(safe(model))
        if file is None or file.is_gone():
            self._close(safe(model))
            file = self._open[safe(model)] = self._begin(model)
        try:
            file.append(data)
        except OSError:
            self._close(safe(model))
            raise
        if file.records == _MOST_RECORDS or file.size >= min(self._most // _PART, _MOST_FILE_BYTES):
            self._close(safe(model))
        return True

    def tidy(self, needed: int = 0) -> bool:
        """Close files that are old enough, and delete the oldest until `needed` bytes are free. False if it cannot."""
        for name in [name for name, file in self._open.items() if file.seconds() > self._file_seconds]:
            self._close(name)
        part = self._most // _PART
        if not self._delete(self._most - part - needed):
            # What this process writes is a part of it.
            self.close()
            if not self._delete(self._most - part - needed):
                self._left = 0
                return False
        self._left = part + needed
        return True

    def close(self) -> None:
        """Close all files. The next record begins another one."""
        for name in list(self._open):
            self._close(name)

    def leave(self) -> None:
        """After a fork, in the child: let the parent's files alone, which goes on writing them."""
        for file in self._open.values():
            file.leave()
        self._open.clear()

    def _begin(self, model: str) -> _File:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Two files of one millisecond need two names.
        self._made = max(time.time_ns() // 1_000_000, self._made + 1)
        return _File(self._folder / name_of(model, self._made, os.getpid()))

    def _close(self, name: str) -> None:
        file = self._open.pop(name, None)
        if file is not None:
            file.close()

    def _delete(self, most: int) -> bool:
        """Delete files that are too old, and the oldest until all have `most` bytes. False when they have more."""
        try:
            files = [file for file in log_files(self._folder) if file.made]
        except DataError:
            return True
        sizes = {file.path: _size_and_age(file.path) for file in files}
        total = sum(size for size, _ in sizes.values())
        for path, (size, age) in sizes.items():
            if (total > most or age > self._seconds) and _deleted(path):
                total -= size
        return total <= most


class _File:
    """A file that is being written, and locked as long as it is."""

    def __init__(self, path: Path) -> None:
        # O_EXCL makes a new file: an existing link or file is never followed or overwritten.
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        # Where there are no locks, another process may delete the file too early.
        with contextlib.suppress(OSError):
            fcntl.flock(self._handle, fcntl.LOCK_SH)
        self._path = path
        self._begun = time.monotonic()
        self.records = 0
        self.size = 0

    def seconds(self) -> float:
        """How long ago it was begun."""
        return time.monotonic() - self._begun

    def is_gone(self) -> bool:
        """Whether somebody has deleted it."""
        return os.fstat(self._handle).st_nlink == 0

    def append(self, data: bytes) -> None:
        """Write a record's bytes, all of them or none. Raises `OSError`."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self.size)
            raise
        self.size += len(data)
        self.records += 1

    def close(self) -> None:
        """Close it; a file without a record goes."""
        with contextlib.suppress(OSError):
            if not self.records:
                self._path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Let go of it, whatever it has. The lock stays as long as another process has it open."""
        os.close(self._handle)


def _size_and_age(path: Path) -> tuple[int, float]:
    """Bytes of a file, and the seconds since it was written last. Another process may delete it at the same time."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0.0
    return status.st_size, time.time() - status.st_mtime


def _deleted(path: Path) -> bool:
    """Delete a file, unless a process writes it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
