"""A rule of a gate: what is asked of one metric."""

from __future__ import annotations

from dataclasses import dataclass

from atelier_client.evaluation.metrics import ERRORS

LATENCY = "latency_p99_ms"
SIZE = "size_mb"
# Compared example by example.
PAIRED = ("accuracy", "loss", "macro_precision", "macro_recall", "macro_f1", "precision", "recall", "f1")
# Measured of the candidate only.
SINGLE = ("top_3_accuracy", "top_5_accuracy", "weighted_precision", "weighted_recall", "weighted_f1", "ece")


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


# Promote only what is better.
DEFAULT_ACCURACY = Rule("accuracy", change=ChangeThreshold(absolute=0.0))
OBSERVED_LATENCY = Rule(LATENCY, observe=True)
OBSERVED_SIZE = Rule(SIZE, observe=True)
