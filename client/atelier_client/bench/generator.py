"""The load generator: one or several worker processes, and the rule that says when a measurement counts.

A point is measured in windows, after a warm-up that does not count. It is stable when the last three windows agree
within 10 % in rate and in mean latency; its percentiles are those of these three windows. In an open loop the generator
must also be on time in these windows: the mean time between when a request was due and when it left must be under 10 %
of the mean latency, or no more than a process needs to wake up. A point that does not become stable is marked.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np

from atelier_client.bench.points import MOST_WINDOWS, TOLERANCE, LoadPoint, Point, is_late
from atelier_client.bench.worker import Plan, Window, main
from atelier_client.errors import ClientError
from atelier_client.transports.base import PREDICT, Method

AGREEING = 3
# An open loop has longer windows at low rates, because the mean latency of a few requests is chance.
ARRIVALS_A_WINDOW = 300
LONGEST_WINDOW = 5.0
# A Python process can use one core for its own code. Near that limit, the client is measured, not the server.
BUSY = 0.85
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


class LoadGenerator:
    """Worker processes that send requests to `target`. Use it as a context manager.

    `settings` are those of `AsyncClient`: timeout, tls, token.
    """

    def __init__(
        self, target: str, settings: dict[str, Any], *, window: float = 1.0, warm_up: float = 1.0
    ) -> None:
        self._target = target
        self._settings = settings
        self._window = window
        self._warm_up = warm_up
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[tuple[Any, Connection]] = []

    def __enter__(self) -> LoadGenerator:
        self._grow(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _, connection in self._workers:
            connection.close()
        for process, _ in self._workers:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()

    def measure(
        self,
        load: LoadPoint,
        request: bytes,
        method: Method = PREDICT,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Point:
        """Measure one point, with more processes when one is not enough. `request` is a serialized request of `method`.

        Raises `ClientError` when a process died.
        """
        while True:
            point = self._measure(load, request, method, progress)
            more = 2 * len(self._workers)
            # It does not help to have more processes than cores, or than requests at a time.
            if not point.client_limited or more > (os.cpu_count() or 1) or _share(load, more)[-1] == 0:
                return point
            self._grow(more)

    def _measure(
        self, load: LoadPoint, request: bytes, method: Method, progress: Callable[[int], None]
    ) -> Point:
        length = self._window
        if load.rate is not None:
            length = min(max(length, ARRIVALS_A_WINDOW / load.rate), LONGEST_WINDOW)
        shares = _share(load, len(self._workers))
        workers = [(worker, share) for worker, share in zip(self._workers, shares, strict=True) if share]
        rate = load.rate / len(workers) if load.rate is not None else None
        for (_, connection), share in workers:
            connection.send(
                Plan(method.path, request, share, rate, self._warm_up, length, self._settings["timeout"])
            )
        last: deque[list[Window]] = deque(maxlen=AGREEING)
        count = 0
        try:
            while count < MOST_WINDOWS and not _agree(last, load.rate is not None) and not _dead(last):
                received = [_receive(connection) for (_, connection), _ in workers]
                last.append([window for window in received if window is not None])
                count += 1
                progress(count)
        finally:
            for (_, connection), _ in workers:
                connection.send(None)
            for (_, connection), _ in workers:
                # Windows that ended meanwhile do not count.
                while _receive(connection) is not None:
                    pass
        return _point(load, last, count, len(workers))

    def _grow(self, count: int) -> None:
        while len(self._workers) < count:
            here, there = self._context.Pipe()
            process = self._context.Process(
                target=main, args=(there, self._target, self._settings), daemon=True
            )
            process.start()
            there.close()
            self._workers.append((process, here))


def _share(load: LoadPoint, processes: int) -> list[int]:
    """The number of requests that each process keeps in flight."""
    if load.rate is not None:
        return [1] * processes
    base, extra = divmod(load.concurrency, processes)
    return [base + (number < extra) for number in range(processes)]


def _receive(connection: Connection) -> Window | None:
    try:
        window: Window | None = connection.recv()
    except (EOFError, OSError):
        raise ClientError("A process of the load generator ended before its work was done.") from None
    return window


def _agree(last: Sequence[list[Window]], open_loop: bool) -> bool:
    """The rule of the module's docstring. Windows without any response never agree."""
    if len(last) < AGREEING:
        return False
    rates = [_rate(parts, open_loop) for parts in last]
    if min(rates) == 0:
        return False
    means = [float(np.concatenate([part.latencies for part in parts]).mean()) for parts in last]
    if open_loop and any(is_late(_lag(parts), mean) for parts, mean in zip(last, means, strict=True)):
        return False
    return all(max(values) <= min(values) * (1 + TOLERANCE) for values in (rates, means))


def _lag(parts: Sequence[Window]) -> float:
    """How late requests left, on average, in seconds."""
    lags = np.concatenate([part.lags for part in parts])
    return float(lags.mean()) if len(lags) else 0.0


def _dead(last: Sequence[list[Window]]) -> bool:
    """True when the last windows contain only errors."""
    parts = [part for window in last for part in window]
    return len(last) == AGREEING and not any(len(p.latencies) for p in parts) and any(p.errors for p in parts)


def _rate(parts: Sequence[Window], open_loop: bool) -> float:
    """Responses a second. In an open loop responses a request: the number of requests in a window is chance."""
    if open_loop:
        return sum(len(part.latencies) for part in parts) / max(sum(part.due for part in parts), 1)
    return sum(len(part.latencies) / part.seconds for part in parts)


def _point(load: LoadPoint, last: Sequence[list[Window]], count: int, processes: int) -> Point:
    parts = [part for window in last for part in window]
    latencies = np.concatenate([part.latencies for part in parts]) * 1000
    seconds = sum(part.seconds for part in parts) / processes
    errors: Counter[str] = sum((part.errors for part in parts), Counter())
    rate = len(latencies) / seconds
    busiest = max(sum(window[worker].cpu for window in last) for worker in range(processes)) / seconds
    return Point(
        batch=load.batch,
        concurrency=None if load.rate is not None else load.concurrency,
        rate=load.rate,
        requests_per_s=round(rate, 1),
        rows_per_s=round(rate * load.batch, 1),
        latency_ms=_percentiles(latencies),
        errors=dict(errors),
        requests=len(latencies),
        windows=count,
        stable=_agree(last, load.rate is not None),
        processes=processes,
        client_cpu=round(busiest, 2),
        client_limited=busiest >= BUSY,
        lag_ms=_percentiles(np.concatenate([part.lags for part in parts]) * 1000) if load.rate else None,
    )


def _percentiles(latencies: Any) -> dict[str, float | None]:
    result: dict[str, float | None] = {}
    for percent in PERCENTILES:
        # The 99.9th percentile of 500 samples would be the largest sample, so it says nothing.
        enough = len(latencies) * round(100 - percent, 3) >= 100
        result[f"p{percent:g}"] = round(float(np.percentile(latencies, percent)), 3) if enough else None
    result["mean"] = round(float(latencies.mean()), 3) if len(latencies) else None
    result["max"] = round(float(latencies.max()), 3) if len(latencies) else None
    return result
