"""The points of a load test: the load, the measurement, and warnings for the reader of the numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

# Windows agree when their rates and mean latencies differ by no more than this share.
TOLERANCE = 0.10
# The share of an open loop's mean latency that may be the generator's own lateness.
LATE = TOLERANCE
# Seconds of lag that are always allowed: a timer and waking up for it take 0.15 to 0.2 ms. With a fast server that is
# more than a tenth of the latency, although the generator keeps up.
WAKE_UP = 0.00025
MOST_WINDOWS = 12


@dataclass(frozen=True)
class LoadPoint:
    """A point to measure: requests of `batch` rows, `concurrency` at a time, or `rate` arrivals a second."""

    batch: int
    concurrency: int = 1
    rate: float | None = None


@dataclass(frozen=True)
class Point:
    """What was measured. `latency_ms` has percentiles (None when there are too few samples), `mean` and `max`.

    `client_cpu` is the busiest worker's share of a core. `client_limited` is True when that may limit the rate.
    `lag_ms` (open loop only) is how late the requests left. The cause is the generator, or a machine that did not let
    it run. The lag is a part of the latencies.
    """

    batch: int
    concurrency: int | None
    rate: float | None
    requests_per_s: float
    rows_per_s: float
    latency_ms: dict[str, float | None]
    errors: dict[str, int]
    requests: int
    windows: int
    stable: bool
    processes: int
    client_cpu: float
    client_limited: bool = field(default=False)
    lag_ms: dict[str, float | None] | None = None

    @property
    def late(self) -> bool:
        """True when the lag is above both limits: the time to wake up, and the share of the latency."""
        lag = (self.lag_ms or {}).get("mean")
        return lag is not None and is_late(lag / 1000, (self.latency_ms["mean"] or 0.0) / 1000)

    def plain(self) -> dict[str, Any]:
        """The point as plain data, for JSON."""
        return asdict(self)


def load_points(
    batches: Sequence[int], concurrencies: Sequence[int], rates: Sequence[float]
) -> list[LoadPoint]:
    """The points to measure: every batch with every concurrency, or with every rate when rates are given."""
    if rates:
        return [LoadPoint(batch, rate=rate) for batch, rate in itertools.product(batches, rates)]
    return [LoadPoint(batch, concurrency) for batch, concurrency in itertools.product(batches, concurrencies)]


def best(points: Sequence[Point], p99_ms: float) -> Point | None:
    """The point with the most rows per second of those that are stable, have no errors, and keep the limit of p99."""
    allowed = [
        point
        for point in points
        if point.stable and not point.errors and (point.latency_ms["p99"] or np.inf) <= p99_ms
    ]
    return max(allowed, key=lambda point: point.rows_per_s, default=None)


def warnings(points: Sequence[Point]) -> list[str]:
    """Warnings for the reader of the numbers, in sentences."""
    said = []
    limited = [name(point) for point in points if point.client_limited]
    if limited:
        said.append(
            f"The client's own processes were busy (over 85 % of a core each) at {'; '.join(limited)}: the server may "
            "be able to do more. Measure from a machine with more cores, or from several."
        )
    behind = [name(point) for point in points if point.rate and point.requests_per_s < 0.95 * point.rate]
    if behind:
        said.append(
            f"Fewer answers than requests at {'; '.join(behind)}: the queue grows, and so does its latency."
        )
    late = [f"{name(point)} ({(point.lag_ms or {})['mean']:.2f} ms)" for point in points if point.late]
    if late:
        said.append(
            f"The requests left late at {'; '.join(late)}: more than a tenth of the mean latency is the generator's, "
            "not the server's. The machine did not let it run in time, or the rate is more than it can send."
        )
    unstable = [name(point) for point in points if not point.stable]
    if unstable:
        said.append(
            f"Not stable within {MOST_WINDOWS} windows: {'; '.join(unstable)}. Something else is running, or the load "
            "is beyond what the server can take."
        )
    return said


def name(point: Point) -> str:
    """A point in a few words."""
    load = f"{point.rate:g} requests/s" if point.rate else f"concurrency {point.concurrency}"
    return f"batch {point.batch}, {load}"


def is_late(lag: float, latency: float) -> bool:
    """True when the mean lag is too large a part of the mean latency. Both are in seconds."""
    return lag > max(LATE * latency, WAKE_UP)
