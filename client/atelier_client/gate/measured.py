"""What was measured of a candidate, and of its change against the stable version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from atelier_client._layout import Task
from atelier_client.comparison.paired import PairedTest, PairMeasures
from atelier_client.evaluation.classification.metrics import MetricCounts, of_classes
from atelier_client.evaluation.findings import Measures
from atelier_client.evaluation.intervals import Interval


@dataclass(frozen=True)
class Change:
    """The stable version's value, and the candidate's less it with the 95 % interval.

    `relative` is the interval of the change as a share of stable's value, None when that is 0. `paired` is the test of
    the task's main metric. The interval of what varies not at all has the width 0.
    """

    stable: float
    difference: float
    interval: Interval
    relative: Interval | None
    paired: PairedTest | None = None

    @classmethod
    def of(
        cls, stable: float, difference: float, interval: Interval, paired: PairedTest | None = None
    ) -> Change:
        """A change whose relative interval takes stable's value as it was measured."""
        low, high = interval
        relative = (low / abs(stable), high / abs(stable)) if stable else None
        return cls(stable, difference, interval, relative, paired)


@dataclass(frozen=True)
class Measurement:
    """The candidate's value, its 95 % interval when it has one, and the change when there is a stable version."""

    value: float
    interval: Interval | None = None
    change: Change | None = None


@dataclass(frozen=True)
class Part:
    """All examples, or those of a slice: how many, and the metrics by name. None of none."""

    name: str | None
    examples: int
    metrics: Mapping[str, Measurement]


@dataclass(frozen=True)
class Measured:
    """Everything that rules can ask for.

    `whole` is None when the quality could not be measured, for the `reason`; `slices` are by expression; `latency`
    (milliseconds) and `size` (megabytes of 10**6 bytes) are None when they could not be measured. `requests` were sent
    to each version for the latency.
    """

    candidate: int
    stable: int | None
    whole: Part | None = None
    slices: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    latency: Measurement | None = None
    requests: int = 0
    size: Measurement | None = None
    dataset: Mapping[str, str] | None = None
    reason: str = ""
    task: Task = "classification"


def part_of(name: str | None, counts: Measures, pairs: PairMeasures | None) -> Part:
    """The metrics of the candidate's counts, and their changes when there are counts of pairs."""
    if not counts.examples:
        return Part(name, 0, {})
    values, bounds = counts.metrics()
    if isinstance(counts, MetricCounts) and counts.classes == 2:
        of_second = of_classes(counts.confusion)[1]
        values, bounds = values | of_second[0], bounds | of_second[1]
    changes: dict[str, Change] = {}
    main, test = pairs.main() if pairs else (None, None)
    for row in pairs.differences() if pairs else ():
        paired = test if row.name == main else None
        changes[row.name] = Change.of(row.a, row.b - row.a, row.interval, paired)
    metrics = {key: Measurement(value, bounds[key], changes.get(key)) for key, value in values.items()}
    return Part(name, counts.examples, metrics)
