"""Rates, latencies and shares between two readings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from atelier_console.live.snapshot import Counts, Snapshot


@dataclass(frozen=True)
class Figures:
    """Of one version, between two readings: requests a second, failures a second, latencies in seconds.

    The latencies are None when nothing was asked.
    """

    rate: float
    failures: float
    p50: float | None
    p99: float | None


def between(before: Snapshot, now: Snapshot) -> dict[str, Figures]:
    """The figures of each version. A count that fell belongs to a server that was started anew, and counts from 0."""
    seconds = max(now.seconds - before.seconds, 1e-9)
    found = {}
    for version, counts in now.versions.items():
        earlier = before.versions.get(version, Counts())
        if counts.requests < earlier.requests:
            earlier = Counts()
        buckets = {bound: value - earlier.buckets.get(bound, 0.0) for bound, value in counts.buckets.items()}
        found[version] = Figures(
            (counts.requests - earlier.requests) / seconds,
            max(0.0, counts.failed - earlier.failed) / seconds,
            quantile(buckets, 0.5),
            quantile(buckets, 0.99),
        )
    return found


def batch_fill(before: Snapshot, now: Snapshot) -> float | None:
    """The mean rows a batch between two readings; None when none ran."""
    if now.batches < before.batches:
        before = Snapshot(before.seconds)
    batches = now.batches - before.batches
    return (now.rows - before.rows) / batches if batches > 0 else None


def quantile(buckets: dict[float, float], share: float) -> float | None:
    """A quantile from cumulative counts by upper bound, linear within a bucket, as Prometheus' histogram_quantile.

    None without observations; in the last bucket, which has no upper bound, the bound before it.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    wanted = share * buckets[bounds[-1]]
    low = below = 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (wanted - below) / max(count - below, 1e-12)
        low, below = bound, count
    return low
