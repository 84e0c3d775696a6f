"""Reads the server's metrics again and again, and keeps the last minutes in memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from atelier_client._metrics_page import Sample, read_metrics
from atelier_client.errors import ClientError
from atelier_client.transports.addresses import each_address

from atelier_console.live.snapshot import Snapshot, read
from atelier_console.settings import Settings

INTERVAL = 2.0
KEPT_SECONDS = 300.0
_TIMEOUT = 5.0


def _servers(rest: str) -> list[str]:
    """The base address of every server: those given, and of a name with several addresses each by itself."""
    found: list[str] = []
    for base in (part.strip().rstrip("/") for part in rest.split(",")):
        scheme, _, host = base.partition("://")
        # A certificate is for the name, not for the addresses behind it.
        found += [f"http://{address}" for address in each_address(host)] if scheme == "http" else [base]
    return found


class Watch:
    """A thread that reads, until `stop`; thread-safe. Each model that was asked about has its snapshots."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._kept: dict[str, deque[Snapshot]] = {}
        self._problem: str | None = None
        # Of each server the last samples.
        self._last: dict[str, Sequence[Sample]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a reading that is under way is not waited for longer than its timeout."""
        self._stopped.set()
        self._thread.join(_TIMEOUT)

    def snapshots(self, model: str) -> tuple[Sequence[Snapshot], str | None]:
        """What is kept of a model, the oldest first, and why the last reading failed, None when it did not.

        The first question about a model reads at once: a page that was just opened has something to show.
        """
        with self._lock:
            known = model in self._kept
            self._kept.setdefault(model, deque())
        if not known:
            self._read()
        with self._lock:
            return list(self._kept[model]), self._problem

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            if self._kept:
                self._read()

    def _read(self) -> None:
        """One reading of every server. Times are of a clock that is never set."""
        problem = None
        read: dict[str, Sequence[Sample]] = {}
        fresh = False
        for server in _servers(self._settings.rest):
            try:
                read[server] = read_metrics(server, _TIMEOUT, self._settings.server_token)
                fresh = True
            except ClientError as error:
                problem = str(error)
                # Without what it has counted before, the others' sum would seem to fall.
                if server in self._last:
                    read[server] = self._last[server]
        with self._lock:
            self._problem = problem
            if fresh:
                self._last = read
                self._keep([sample for samples in read.values() for sample in samples], time.monotonic())

    def _keep(self, samples: Sequence[Sample], seconds: float) -> None:
        for model, kept in self._kept.items():
            kept.append(read(samples, model, seconds))
            while kept and seconds - kept[0].seconds > KEPT_SECONDS:
                kept.popleft()
