"""Counts the requests of each label, and how long the last ones took, by the version that answered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from atelier_client.responses import Prediction

# Percentiles are those of so many last answers, and so many versions of a label are remembered.
KEPT = 1000
_VERSIONS = 8


@dataclass(frozen=True)
class VersionStatistics:
    """The answers of a version under a label: their number, and percentiles of the last 1,000 in milliseconds.

    The time of an answer is that of its slowest request, with retries.
    """

    answers: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class LabelStatistics:
    """What was asked of a label.

    `requests` were sent to it; `errors` of them failed; `missing` found no such label or version. `fallbacks` came from
    a label that did not answer and are part of `requests`. `versions` are those that answered: the newest eight, by
    number, 0 where the server does not tell it (REST).
    """

    requests: int
    errors: int
    missing: int
    fallbacks: int
    versions: Mapping[int, VersionStatistics]


class Latencies:
    """The times of the last answers. Not thread-safe."""

    def __init__(self) -> None:
        self.count = 0
        self._last: deque[float] = deque(maxlen=KEPT)

    def add(self, seconds: float) -> None:
        """Add an answer."""
        self.count += 1
        self._last.append(seconds)

    def percentiles_ms(self) -> tuple[float, float]:
        """The 50th and the 99th, in milliseconds; there must be an answer."""
        low, high = np.percentile(np.array(self._last) * 1000, [50, 99]).tolist()
        return low, high


@dataclass
class _Label:
    requests: int = 0
    errors: int = 0
    missing: int = 0
    fallbacks: int = 0
    versions: dict[int, Latencies] = field(default_factory=dict)


class Statistics:
    """The counts of a router. Thread-safe."""

    def __init__(self) -> None:
        self._labels: dict[str, _Label] = {}
        self._lock = threading.Lock()

    def answered(self, label: str, prediction: Prediction, fallback: bool) -> None:
        """Count an answer; `fallback` when another label was asked first."""
        with self._lock:
            counted = self._count(label, fallback)
            for version in prediction.versions or (0,):
                counted.versions.setdefault(version, Latencies()).add(max(prediction.seconds))
            while len(counted.versions) > _VERSIONS:
                del counted.versions[min(counted.versions)]

    def failed(self, label: str, missing: bool, fallback: bool) -> None:
        """Count a request that was not answered, because there was no such label or version (`missing`) or else."""
        with self._lock:
            counted = self._count(label, fallback)
            counted.missing += missing
            counted.errors += not missing

    def read(self) -> dict[str, LabelStatistics]:
        """What was counted, by label."""
        with self._lock:
            return {
                label: LabelStatistics(
                    counted.requests,
                    counted.errors,
                    counted.missing,
                    counted.fallbacks,
                    {
                        version: VersionStatistics(latencies.count, *latencies.percentiles_ms())
                        for version, latencies in sorted(counted.versions.items())
                    },
                )
                for label, counted in self._labels.items()
            }

    def _count(self, label: str, fallback: bool) -> _Label:
        counted = self._labels.setdefault(label, _Label())
        counted.requests += 1
        counted.fallbacks += fallback
        return counted
