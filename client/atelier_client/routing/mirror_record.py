"""What a mirror has seen: counts, the largest differences, and a few examples of rows that differ."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from atelier_client.errors import ServerError
from atelier_client.responses import Prediction
from atelier_client.routing.differences import Difference, compare, differing_rows
from atelier_client.routing.snapshot import row
from atelier_client.routing.statistics import Latencies

EXAMPLES = 20
_VERSIONS = 8
# A value of more elements is shown by its first ones.
_SHOWN = 1000


@dataclass(frozen=True)
class Example:
    """A row that differs: when, its number in the request, its inputs, and both answers by output."""

    at: str
    row: int
    inputs: Mapping[str, Any]
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]


@dataclass
class _Output:
    rows: int = 0
    different: int = 0
    largest: float | None = None
    reason: str | None = None

    def add(self, difference: Difference) -> None:
        self.rows += len(difference.differing)
        self.different += int(difference.differing.sum())
        if difference.largest is not None:
            self.largest = max(self.largest or 0.0, difference.largest)
        self.reason = difference.reason or self.reason


@dataclass
class _Side:
    versions: set[int] = field(default_factory=set)
    latencies: Latencies = field(default_factory=Latencies)

    def add(self, prediction: Prediction) -> None:
        self.versions |= set(prediction.versions)
        while len(self.versions) > _VERSIONS:
            self.versions.remove(min(self.versions))
        self.latencies.add(max(prediction.seconds))

    def report(self) -> dict[str, Any]:
        p50, p99 = self.latencies.percentiles_ms() if self.latencies.count else (None, None)
        return {"versions": sorted(self.versions), "p50_ms": p50, "p99_ms": p99}


class MirrorRecord:
    """Counts what was compared. Thread-safe; answers are compared outside its lock."""

    def __init__(self) -> None:
        self.examples: list[Example] = []
        self._compared = self._different = self._rows = self._rows_different = 0
        self._failed: Counter[str] = Counter()
        self._last_error: str | None = None
        self._outputs: dict[str, _Output] = {}
        self._ours, self._theirs = _Side(), _Side()
        self._lock = threading.Lock()

    def add(self, inputs: Any, ours: Prediction, theirs: Prediction) -> None:
        """Compare two answers to the same inputs."""
        differences = compare(ours, theirs)
        differing = differing_rows(differences)
        examples = [
            _example(inputs, number, len(differing), ours, theirs)
            for number in np.flatnonzero(differing)[: EXAMPLES - len(self.examples)].tolist()
        ]
        with self._lock:
            self._compared += 1
            self._different += bool(differing.any())
            self._rows += len(differing)
            self._rows_different += int(differing.sum())
            self._ours.add(ours)
            self._theirs.add(theirs)
            for name, difference in differences.items():
                self._outputs.setdefault(name, _Output()).add(difference)
            self.examples = (self.examples + examples)[:EXAMPLES]

    def fail(self, error: Exception) -> None:
        """Count a copy that was not answered, by its status or the kind of its error."""
        code = error.code if isinstance(error, ServerError) and error.code else type(error).__name__
        with self._lock:
            self._failed[code] += 1
            self._last_error = str(error)

    def report(self) -> dict[str, Any]:
        """What was seen, as plain data."""
        with self._lock:
            return {
                "requests": {
                    "compared": self._compared,
                    "different": self._different,
                    "failed": dict(self._failed),
                    "last_error": self._last_error,
                },
                "rows": {"compared": self._rows, "different": self._rows_different},
                "outputs": {
                    name: {
                        "rows": output.rows,
                        "different": output.different,
                        "largest_difference": output.largest,
                        "not_comparable": output.reason,
                    }
                    for name, output in sorted(self._outputs.items())
                },
                "answered_by": {"fallback": self._ours.report(), "mirror": self._theirs.report()},
                "examples": [
                    {
                        "at": example.at,
                        "row": example.row,
                        "inputs": _plain_row(example.inputs),
                        "fallback": _plain_row(example.ours),
                        "mirror": _plain_row(example.theirs),
                    }
                    for example in self.examples
                ],
            }


def _example(inputs: Any, number: int, rows: int, ours: Prediction, theirs: Prediction) -> Example:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    copied = (row(side, number, rows) for side in (inputs, ours, theirs))
    return Example(now, number, *({name: _array(value) for name, value in side.items()} for side in copied))


def _array(value: Any) -> Any:
    """A copy, because a view would keep the whole batch; lists of different lengths as text."""
    try:
        return np.array(value)
    except ValueError:
        return np.array(str(value))


def _plain_row(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(np.asarray(value)) for name, value in values.items()}


def _plain(array: Any) -> Any:
    """The values for JSON; the first ones, flat, of an array that is too large to read."""
    return _json((array if array.size <= _SHOWN else array.ravel()[:_SHOWN]).tolist())


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    # JSON has no NaN.
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
