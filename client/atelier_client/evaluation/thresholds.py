"""`--fail-under accuracy=0.88`: the lowest value that a metric may have."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atelier_client.errors import InputError
from atelier_client.evaluation.metrics import ERRORS, METRICS


@dataclass(frozen=True)
class Threshold:
    """One condition: a metric and its lowest value."""

    metric: str
    least: float

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read a text like `accuracy=0.88`. Raises `InputError`."""
        name, _, number = text.partition("=")
        name = name.strip()
        try:
            least = float(number)
        except ValueError:
            raise InputError(
                f"--fail-under {text!r}: expected METRIC=NUMBER, such as accuracy=0.88."
            ) from None
        if name in ERRORS:
            raise InputError(
                f"--fail-under {text!r}: a lower {name} is the better one. Choose a metric that should be high, such "
                "as accuracy."
            )
        if name not in METRICS:
            raise InputError(f"--fail-under {text!r}: there is no metric {name!r}.{_choice(name, METRICS)}")
        if not 0 <= least <= 1:
            raise InputError(f"--fail-under {text!r}: {name} lies between 0 and 1 (0.88, not 88).")
        return cls(name, least)

    def verdict(self, metrics: Mapping[str, float]) -> str | None:
        """A sentence when the metric is too low, else None. Raises `InputError` when it was not measured."""
        if self.metric not in metrics:
            known = [name for name in metrics if name not in ERRORS]
            raise InputError(
                f"--fail-under: {self.metric} is not measured for this model and data.{_choice(self.metric, known)}"
            )
        value = metrics[self.metric]
        if value >= self.least:
            return None
        return f"{self.metric} is {value:.4f}, under the {self.least:g} asked for."


def verdicts(thresholds: Sequence[Threshold], metrics: Mapping[str, float]) -> list[tuple[str, str | None]]:
    """For each condition its text and why it failed, or None."""
    return [
        (f"{threshold.metric} >= {threshold.least:g}", threshold.verdict(metrics)) for threshold in thresholds
    ]


def _choice(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return (f" Did you mean {near[0]}?" if near else "") + f" There are: {', '.join(known)}."
