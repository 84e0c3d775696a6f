"""The request log: a sample of the requests with their answers, as PredictionLog records (docs/contracts.md).

A thread of its own writes it, from a queue with bounds, so that no request waits for the disk. A file of the log,
copied to assets.extra/tf_serving_warmup_requests of a version, is a warm-up file. So a file has at most 1,000 records,
the limit of a warm-up.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque

from atelier_serving.monitoring.exchange import Exchange, Facts, record
from atelier_serving.monitoring.log_settings import LogSettings
from atelier_serving.monitoring.request_log_files import FullError, RequestLogFiles
from atelier_serving.monitoring.request_metrics import RequestMetrics

_log = logging.getLogger(__name__)

# What waits to be written: more is dropped.
QUEUE_BYTES = 64 * 2**20
QUEUE_RECORDS = 10_000
# After an error the disk is left alone for so long.
_PAUSE_SECONDS = 1.0
# What the metric says of a record: written; dropped, the queue or the log being full; not written after an error.
OK, DROPPED, FAILED = "OK", "DROPPED", "FAILED"


class RequestLog:
    """Keeps requests. Thread-safe. Raises `ServingError` when the folder cannot be made."""

    def __init__(self, settings: LogSettings, metrics: RequestMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._files = RequestLogFiles(
            settings.folder, settings.max_bytes, settings.max_seconds, settings.writers
        )
        self._queue: deque[tuple[Exchange, int, Facts]] = deque()
        # Bytes and records that wait or are going to: `hold` counts them before their request has ended.
        self._bytes = 0
        self._records = 0
        self._changed = threading.Condition()
        self._idle = False
        self._closing = False
        self._failed = False
        self._seen: set[str] = set()
        self._thread = threading.Thread(target=self._work, daemon=True, name="request-log")
        self._thread.start()

    def draws(self) -> bool:
        """Whether this request falls into the sample."""
        return random.random() < self._settings.rate

    def hold(self, model: str, exchange: Exchange) -> int | None:
        """Make room for a request: its bytes, to be given to `add` or `release`. None, and counted, without room."""
        size = exchange.size() if self._records < QUEUE_RECORDS else 0
        with self._changed:
            room = self._records < QUEUE_RECORDS and self._bytes + size <= QUEUE_BYTES and not self._closing
            if room:
                self._records += 1
                self._bytes += size
        if room:
            return size
        self._metrics.logged(model, DROPPED)
        return None

    def add(self, exchange: Exchange, size: int, facts: Facts) -> None:
        """Let a request be written."""
        with self._changed:
            self._queue.append((exchange, size, facts))
            if self._idle:
                self._changed.notify()

    def release(self, size: int) -> None:
        """Give back the room of a request that is not written."""
        with self._changed:
            self._records -= 1
            self._bytes -= size

    def close(self, seconds: float) -> None:
        """Write what waits, for at most so many seconds, and take nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        tidied = 0.0
        while (entry := self._next()) is not None or not self._closing:
            if entry:
                exchange, size, facts = entry
                self._metrics.logged(facts.model, self._written(exchange, facts))
                self.release(size)
                # While this thread waits, it must keep no request alive.
                del entry, exchange
            if time.monotonic() - tidied >= self._files.tidy_seconds:
                tidied = time.monotonic()
                self._tidy()
        self._files.close()

    def _next(self) -> tuple[Exchange, int, Facts] | None:
        with self._changed:
            if not self._queue and not self._closing:
                self._idle = True
                self._changed.wait(self._files.tidy_seconds)
                self._idle = False
            return self._queue.popleft() if self._queue else None

    def _written(self, exchange: Exchange, facts: Facts) -> str:
        hidden = self._settings.hidden
        try:
            data, removed = record(exchange, facts, self._settings.rate, hidden)
            self._files.write(facts.model, data)
        except FullError:
            return DROPPED
        except Exception as error:
            # A full disk must not make requests fail. The log says it only once, until it works again.
            if not self._failed:
                self._failed = True
                _log.error(f"The request log cannot be written: {error}")
            with self._changed:
                self._changed.wait(0 if self._closing else _PAUSE_SECONDS)
            return FAILED
        if self._failed:
            self._failed = False
            _log.info("The request log is written again.")
        if facts.model not in self._seen:
            self._seen.add(facts.model)
            if missing := sorted(hidden.difference(removed)):
                _log.info(
                    f"Request log: {facts.model} was asked without {', '.join(missing)} of --request_log_redact."
                )
        return OK

    def _tidy(self) -> None:
        try:
            self._files.tidy()
        except (OSError, FullError) as error:
            _log.debug(f"request log: {error}")
