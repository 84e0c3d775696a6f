"""Keeps a sample of a client's requests with their answers, where the server keeps none (TensorFlow Serving)."""

from __future__ import annotations

import atexit
import logging
import math
import os
import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType

from atelier_client._arguments import is_amount, is_text, is_whole, shown
from atelier_client._files import check_folder
from atelier_client.errors import SettingsError
from atelier_client.request_log.log_writer import LogWriter
from atelier_client.request_log.record import Exchange, serialized

_log = logging.getLogger("atelier_client")

# What waits to be written: more is dropped.
QUEUE_BYTES = 64 * 2**20
QUEUE_RECORDS = 10_000
_CLOSE_SECONDS = 5.0
# After an error the disk is left alone for so long.
_PAUSE_SECONDS = 1.0
# Those of this process that may have something to write: one that waits is kept alive by its thread.
_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


class Recorder:
    """Writes a request log on the caller's side, in the format of the embedded server's (docs/contracts.md).

        with Recorder("requests", rate=0.01) as recorder, Client(target, "shoes", recorder=recorder) as client:
            client.predict(images)

    `rate` (0 to 1) is the part of the requests that is kept. A request waits for nothing: a thread of its own writes,
    and what it cannot take (10,000 records or 64 MB wait) is dropped. `written`, `dropped` and `failed` (the disk was
    full, say; logged once) count. All files of the folder together have about `max_bytes`, none is kept longer than
    `max_age_seconds`. `redact` are the names of inputs, outputs and features that are not kept.

    Several clients may share a recorder; it is the caller's to close. A client that is closed waits until its requests
    are written, and so does a program that ends by itself (not by a signal or `os._exit`). After `os.fork` the child
    has a thread, files and counts of its own. Thread-safe. Raises `SettingsError`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        rate: float = 0.01,
        *,
        max_bytes: int = 10**9,
        max_age_seconds: float = 30 * 86400.0,
        redact: Sequence[str] = (),
    ) -> None:
        if not is_amount(rate) or rate > 1:
            raise SettingsError(f"rate is the part of the requests to keep, from 0 to 1, not {shown(rate)}.")
        if not is_whole(max_bytes) or max_bytes < 1:
            raise SettingsError(f"max_bytes is a whole number above 0, not {shown(max_bytes)}.")
        if not is_amount(max_age_seconds) or not 0 < max_age_seconds < math.inf:
            raise SettingsError(f"max_age_seconds is a number above 0, not {shown(max_age_seconds)}.")
        if isinstance(redact, str) or not all(is_text(name) for name in redact):
            raise SettingsError(f"redact is a list of names, such as ['name'], not {shown(redact)}.")
        self._rate = float(rate)
        self._hidden: Collection[str] = frozenset(redact)
        path = Path(folder)
        check_folder(path)
        try:
            self._writer = LogWriter(path, max_bytes, max_age_seconds)
        except OSError as error:
            raise SettingsError(f"{path} cannot be made: {error.strerror}.") from None
        self._closing = False
        self._begin()
        _recorders.add(self)

    def _begin(self) -> None:
        """Nothing waits, and no thread runs."""
        self.written = self.dropped = self.failed = 0
        self._queue: deque[tuple[Exchange, int]] = deque()
        self._bytes = 0
        # Of the record that is being written, too.
        self._records = 0
        self._changed = threading.Condition()
        self._broken = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def draws(self) -> bool:
        """Whether the next request falls into the sample."""
        return random.random() < self._rate

    def offer(self, exchange: Exchange) -> None:
        """Keep a request when there is room. The clients call it, for those of the sample."""
        size = len(exchange.request) + exchange.response.ByteSize()
        with self._changed:
            full = self._records >= QUEUE_RECORDS or self._bytes + size > QUEUE_BYTES
            if full or self._closing or not self._is_running():
                self.dropped += 1
                return
            self._records += 1
            self._bytes += size
            self._queue.append((exchange, size))
            self._changed.notify_all()

    def _is_running(self) -> bool:
        """Start the thread when there is none. False when the interpreter ends, and starts none any more."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, daemon=True, name="recorder")
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def flush(self, seconds: float = _CLOSE_SECONDS) -> bool:
        """Wait until everything is written, for at most so many seconds. Whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._records == 0, seconds)

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Write what waits, for at most so many seconds, and take nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _after_fork(self) -> None:
        """In the child: the parent writes what waits, and its lock may be held by a thread that is not here."""
        self._writer.leave()
        self._begin()

    def _work(self) -> None:
        tidied = 0.0
        while (entry := self._next()) is not None or not self._closing:
            if entry is not None:
                self._write(*entry)
                # While this thread waits, it must keep no request alive.
                del entry
            if time.monotonic() - tidied >= self._writer.tidy_seconds:
                tidied = time.monotonic()
                self._writer.tidy()
        self._writer.close()

    def _next(self) -> tuple[Exchange, int] | None:
        with self._changed:
            if not self._queue and not self._closing:
                self._changed.wait(self._writer.tidy_seconds)
            return self._queue.popleft() if self._queue else None

    def _write(self, exchange: Exchange, size: int) -> None:
        outcome = "failed"
        pause = 0.0
        try:
            record = serialized(exchange, self._rate, self._hidden)
            outcome = "written" if self._writer.write(exchange.model, record) else "dropped"
            self._broken = False
        except Exception as error:
            if not self._broken:
                self._broken = True
                _log.warning(f"Requests cannot be recorded: {error}")
            pause = _PAUSE_SECONDS
        with self._changed:
            self._records -= 1
            self._bytes -= size
            setattr(self, outcome, getattr(self, outcome) + 1)
            self._changed.notify_all()
        if pause and not self._closing:
            time.sleep(pause)


def _close_all() -> None:
    for recorder in list(_recorders):
        recorder.close()


def _leave_all() -> None:
    for recorder in list(_recorders):
        recorder._after_fork()


# A thread that is no daemon would keep a program from ending; handlers of atexit run while daemons still do.
atexit.register(_close_all)
os.register_at_fork(after_in_child=_leave_all)
