"""The outcome of one threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from atelier_client.evaluation.intervals import Interval

Outcome = Literal["passed", "rejected", "inconclusive", "not_evaluated", "no_baseline", "observed"]


@dataclass(frozen=True)
class Check:
    """One threshold of a rule, or what it observes.

    `measured` is what the threshold bounds: a value, or a change, as a share of stable's value when the threshold is
    relative; `interval` is its 95 % interval. `observed` checks decide nothing, whatever their outcome.
    `more_examples` (of the latency: requests) would decide an inconclusive one; None when no number would.
    `clause` says it all in words.
    """

    what: str
    kind: Literal["value", "change"]
    threshold: Mapping[str, float]
    outcome: Outcome
    observed: bool
    clause: str
    wanted: str = ""
    candidate: float | None = None
    stable: float | None = None
    measured: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    more_examples: int | None = None

    def document(self) -> dict[str, Any]:
        """The check as plain JSON data."""
        return {
            **{name: value for name, value in vars(self).items() if name != "clause"},
            "threshold": dict(self.threshold),
            "interval": list(self.interval) if self.interval else None,
            "sentence": self.clause,
        }
