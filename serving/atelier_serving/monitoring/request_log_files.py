"""The files of the request log: TFRecord, begun anew often enough that the oldest can be deleted one by one.

Several processes may write into one folder. Each holds a lock on the files that it writes, and deletes no file that
another one holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from atelier_serving.models.warmup_file import MAX_RECORDS
from atelier_serving.status import invalid

_log = logging.getLogger(__name__)

_NAME = re.compile(r".+-(\d{1,18})-\d+\.tfrecord")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]|^\.")
# A record has its length and two checksums beside its bytes.
_FRAME = 16
# A file is closed at this part of what all may have, so that old records go a little at a time.
_PART = 16
_MOST_FILE_BYTES = 64 * 2**20
_MOST_FILE_SECONDS = 3600.0


class FullError(Exception):
    """The record would make the log larger than it may be."""


class RequestLogFiles:
    """Writes records into `folder`. For one thread. Raises `ServingError` where the folder cannot be made."""

    def __init__(self, folder: Path, max_bytes: int, max_seconds: float, writers: int) -> None:
        """All files together have at most `max_bytes`, no record is kept longer than `max_seconds`, about.

        So many `writers` (processes) share the folder.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise invalid(
                f"--request_log_dir={folder}: the folder cannot be made: {error.strerror}. Name another one."
            ) from None
        self._folder = folder
        self._most = max_bytes
        self._seconds = max_seconds
        self._file_bytes = min(max_bytes // _PART, _MOST_FILE_BYTES)
        self._file_seconds = min(max_seconds / _PART, _MOST_FILE_SECONDS)
        # Between two looks at the folder all writers together write no more than what a look leaves free.
        self._step = max_bytes // (_PART * writers)
        self._left = 0
        self._last = 0
        self._open: dict[str, _File] = {}

    @property
    def tidy_seconds(self) -> float:
        """How often `tidy` is to be called when nothing is written."""
        return max(1.0, min(60.0, self._file_seconds))

    def write(self, model: str, record: bytes) -> None:
        """Append a record. Raises `FullError`, or `OSError` and TensorFlow's errors; then no part of it stays."""
        size = len(record) + _FRAME
        if size > self._left:
            self.tidy(size)
        self._left -= size
        safe = _UNSAFE.sub("_", model)
        file = self._open.get(safe)
        if file and file.is_gone():
            self._close(safe)
            file = None
        if file is None:
            file = self._open[safe] = self._begin(safe)
        try:
            file.append(record)
        except Exception:
            self._close(safe)
            raise
        if file.records == MAX_RECORDS or file.size >= self._file_bytes:
            self._close(safe)

    def tidy(self, needed: int = 0) -> None:
        """Close files that are old enough, and delete the oldest until `needed` bytes are free. Raises `FullError`."""
        for safe in [safe for safe, file in self._open.items() if file.seconds() > self._file_seconds]:
            self._close(safe)
        most = self._most - self._most // _PART - needed
        self._left = self._step + needed
        if not self._delete(most):
            # What this process writes is a part of it.
            self.close()
            if not self._delete(most):
                # The rest is what others write at this moment.
                self._left = needed
                if self._total() + needed > self._most:
                    raise FullError

    def close(self) -> None:
        """Close all files. The next record begins another one."""
        for safe in list(self._open):
            self._close(safe)

    def _begin(self, safe: str) -> _File:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Two files of one millisecond need two names.
        self._last = max(time.time_ns() // 1_000_000, self._last + 1)
        name = f"{safe}-{self._last:d}-{os.getpid()}.tfrecord"
        _log.info(f"Request log: {self._folder / name}")
        return _File(self._folder / name)

    def _close(self, safe: str) -> None:
        self._open.pop(safe).close()

    def _delete(self, most: int) -> bool:
        """Delete files that are too old, and the oldest until all have `most` bytes. False when they have more."""
        files = sorted(self._listed())
        total = sum(size for _, size, _, _ in files)
        now = time.time()
        for _, size, changed, path in files:
            if (total > most or now - changed > self._seconds) and _deleted(path):
                total -= size
        return total <= most

    def _total(self) -> int:
        return sum(size for _, size, _, _ in self._listed())

    def _listed(self) -> Iterator[tuple[int, int, float, Path]]:
        """When each file was begun (ms), its bytes, when it was written last (seconds since 1970), and its path."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                name = _NAME.fullmatch(entry.name)
                # Another process may delete it at the same time.
                with contextlib.suppress(FileNotFoundError):
                    if name and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        yield int(name[1]), status.st_size, status.st_mtime, Path(entry.path)


class _File:
    """A file that is being written, and locked as long as it is."""

    def __init__(self, path: Path) -> None:
        # O_EXCL makes a new file: an existing link or file is never followed or overwritten.
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._path = path
        self._begun = time.monotonic()
        self.records = 0
        self.size = 0
        # Where there are no locks, another process may delete the file too early.
        with contextlib.suppress(OSError):
            fcntl.flock(self._handle, fcntl.LOCK_SH)
        try:
            self._writer = tf.io.TFRecordWriter(str(path))
        except Exception:
            os.close(self._handle)
            raise

    def seconds(self) -> float:
        """How long ago it was begun."""
        return time.monotonic() - self._begun

    def is_gone(self) -> bool:
        """Whether somebody has deleted it."""
        return os.fstat(self._handle).st_nlink == 0

    def append(self, record: bytes) -> None:
        """Write a record, and flush it: the file has whole records even when this process dies."""
        self._writer.write(record)
        self._writer.flush()
        self.size += len(record) + _FRAME
        self.records += 1

    def close(self) -> None:
        """Close it. What a full disk has cut of the last record is taken away; a file without a record goes."""
        with contextlib.suppress(Exception):
            self._writer.close()
        with contextlib.suppress(OSError):
            if os.fstat(self._handle).st_size > self.size:
                os.ftruncate(self._handle, self.size)
            if not self.records:
                self._path.unlink(missing_ok=True)
        os.close(self._handle)


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
