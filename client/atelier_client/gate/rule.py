"""A rule of a gate: what is asked of one metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from atelier_client._layout import Task
from atelier_client.evaluation.metric_names import ERRORS

LATENCY = "latency_p99_ms"
SIZE = "size_mb"
# Compared example by example.
PAIRED = (
    "accuracy",
    "loss",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "precision",
    "recall",
    "f1",
    "mae",
    "rmse",
    "r2",
    "subset_accuracy",
)
# Measured of the candidate only.
SINGLE = (
    "top_3_accuracy",
    "top_5_accuracy",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "ece",
    "median_absolute_error",
    "micro_precision",
    "micro_recall",
    "micro_f1",
)


def higher_is_better(metric: str) -> bool:
    """The direction of a metric."""
    return metric not in (*ERRORS, LATENCY, SIZE)


@dataclass(frozen=True)
class ValueThreshold:
    """Bounds of the candidate's value; both bounds belong to what is allowed."""

    lower_bound: float | None = None
    upper_bound: float | None = None


@dataclass(frozen=True)
class ChangeThreshold:
    """A bound of the candidate's value less stable's: absolute, or relative to stable's value. One of them is set."""

    absolute: float | None = None
    relative: float | None = None

    @property
    def bound(self) -> float:
        """The one that is set."""
        bound = self.absolute if self.relative is None else self.relative
        assert bound is not None
        return bound


@dataclass(frozen=True)
class Rule:
    """What is asked of one metric, of all examples or of a slice. With `observe` it is shown and decides nothing."""

    metric: str
    slice: str | None = None
    value: ValueThreshold | None = None
    change: ChangeThreshold | None = None
    observe: bool = False


# Promote only what is better; each task has a metric that says so.
DEFAULT = Rule("main", change=ChangeThreshold(absolute=0.0))
DEFAULTS: Mapping[Task, Rule] = {
    "classification": Rule("accuracy", change=ChangeThreshold(absolute=0.0)),
    "regression": Rule("mae", change=ChangeThreshold(absolute=0.0)),
    "multi_label": Rule("subset_accuracy", change=ChangeThreshold(absolute=0.0)),
}
OBSERVED_LATENCY = Rule(LATENCY, observe=True)
OBSERVED_SIZE = Rule(SIZE, observe=True)
