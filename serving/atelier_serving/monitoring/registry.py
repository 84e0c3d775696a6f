"""Prometheus metrics as plain data, so that the metrics of several workers can be added.

Text format: https://prometheus.io/docs/instrumenting/exposition_formats/. The names, labels and buckets of TensorFlow
Serving are in request_metrics.py. Its names begin with `:`, because util/prometheus_exporter.cc replaces `/`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Labels = tuple[str, ...]
# The values of a series: one number for a counter or gauge; for a histogram the counts of its buckets (the last bucket
# is +Inf), and the sum.
Snapshot = dict[str, dict[Labels, list[float]]]


@dataclass(frozen=True)
class Metric:
    """The name and labels of a metric. A histogram has `bounds`, the upper bounds of its buckets.

    A gauge with `everywhere` is 1 when it is 1 in every worker, else 0.
    """

    name: str
    labels: Labels
    bounds: tuple[float, ...] = ()
    kind: str = field(default="")
    everywhere: bool = False

    def __post_init__(self) -> None:
        if not self.kind:
            object.__setattr__(self, "kind", "histogram" if self.bounds else "counter")


class Registry:
    """The metrics of one process. Thread-safe."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = {metric.name: metric for metric in metrics}
        self._series: Snapshot = {name: {} for name in self._metrics}
        self.lock = threading.Lock()

    def add(self, metric: Metric, labels: Labels, value: float = 1.0) -> None:
        """Add `value` to a counter. The caller holds `lock`."""
        series = self._series[metric.name]
        if labels in series:
            series[labels][0] += value
        else:
            series[labels] = [value]

    def observe(self, metric: Metric, labels: Labels, value: float, times: int = 1) -> None:
        """Add `value` to its bucket of a histogram, so many times. The caller holds `lock`."""
        series = self._histogram(metric, labels)
        series[bisect_left(metric.bounds, value)] += times
        series[-1] += value * times

    def observe_all(self, metric: Metric, labels: Labels, values: Sequence[float]) -> None:
        """Add each of the values to its bucket of a histogram. The caller holds `lock`."""
        series = self._histogram(metric, labels)
        bounds = metric.bounds
        for value in values:
            series[bisect_left(bounds, value)] += 1
        series[-1] += sum(values)

    def _histogram(self, metric: Metric, labels: Labels) -> list[float]:
        series = self._series[metric.name].get(labels)
        if series is None:
            series = self._series[metric.name][labels] = [0.0] * (len(metric.bounds) + 2)
        return series

    def series(self, metric: Metric) -> list[Labels]:
        """The labels of all series of a metric. The caller holds `lock`."""
        return list(self._series[metric.name])

    def drop(self, metric: Metric, first: Labels) -> None:
        """Remove the series whose labels begin with `first`. The caller holds `lock`."""
        own = self._series[metric.name]
        for labels in [labels for labels in own if labels[: len(first)] == first]:
            del own[labels]

    def replace(self, metric: Metric, values: dict[Labels, float]) -> None:
        """Replace all series of a gauge."""
        with self.lock:
            self._series[metric.name] = {labels: [value] for labels, value in values.items()}

    def snapshot(self) -> Snapshot:
        """A copy of all values."""
        with self.lock:
            return {
                name: {labels: list(v) for labels, v in series.items()}
                for name, series in self._series.items()
            }

    def counters(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot without gauges, which have no meaning after the end of their process."""
        return {name: series for name, series in snapshot.items() if self._metrics[name].kind != "gauge"}

    def text(self, snapshots: Sequence[Snapshot]) -> str:
        """The sum of the snapshots in Prometheus' text format."""
        total = sum_snapshots(snapshots)
        lines: list[str] = []
        for name, metric in self._metrics.items():
            lines.append(f"# TYPE {name} {metric.kind}")
            asked = sum(name in snapshot for snapshot in snapshots)
            for labels, values in sorted(total.get(name, {}).items()):
                lines += _lines(metric, labels, [float(values[0] == asked)] if metric.everywhere else values)
        return "\n".join(lines) + "\n"


def sum_snapshots(snapshots: Sequence[Snapshot]) -> Snapshot:
    """The sum of snapshots, series by series."""
    total: Snapshot = {}
    for snapshot in snapshots:
        for name, series in snapshot.items():
            into = total.setdefault(name, {})
            for labels, values in series.items():
                old = into.get(labels)
                into[labels] = (
                    list(values) if old is None else [a + b for a, b in zip(old, values, strict=True)]
                )
    return total


def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as plain data for JSON."""
    return {
        name: [[list(labels), values] for labels, values in series.items()]
        for name, series in snapshot.items()
    }


def from_json(document: dict[str, Any]) -> Snapshot:
    """The snapshot from the result of `to_json`."""
    return {name: {tuple(labels): values for labels, values in series} for name, series in document.items()}


def _lines(metric: Metric, labels: Labels, values: list[float]) -> list[str]:
    names = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(metric.labels, labels, strict=True))
    if not metric.bounds:
        return [f"{metric.name}{{{names}}} {values[0]:.15g}"]
    comma = "," if names else ""
    count = 0.0
    lines = []
    for bound, own in zip((*(f"{bound:.10g}" for bound in metric.bounds), "+Inf"), values, strict=False):
        count += own
        lines.append(f'{metric.name}_bucket{{{names}{comma}le="{bound}"}} {count:.15g}')
    return [
        *lines,
        f"{metric.name}_sum{{{names}}} {values[-1]:.15g}",
        f"{metric.name}_count{{{names}}} {count:.15g}",
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
