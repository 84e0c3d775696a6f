"""`--fail-under accuracy=0.88`, `--fail-over mae=50`: the lowest or the highest value that a metric may have."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atelier_client.errors import InputError
from atelier_client.evaluation.metric_names import ERRORS, METRICS, limits


@dataclass(frozen=True)
class Threshold:
    """One condition: a metric and its lowest value, or of an error its highest."""

    metric: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read a text of --fail-under like `accuracy=0.88`. Raises `InputError`."""
        name, bound = _parsed("--fail-under", text, "accuracy=0.88")
        if name in ERRORS:
            raise InputError(
                f"--fail-under {text!r}: a lower {name} is the better one. Give --fail-over {name}=NUMBER, or choose a "
                "metric that should be high, such as accuracy."
            )
        if name not in METRICS:
            raise InputError(f"--fail-under {text!r}: there is no metric {name!r}.{_choice(name, METRICS)}")
        low, high = limits(name)
        if not low <= bound <= high:
            words = f"between {low:g} and {high:g} (0.88, not 88)" if low == 0 else f"up to {high:g}"
            raise InputError(f"--fail-under {text!r}: {name} lies {words}.")
        return cls(name, bound)

    @classmethod
    def parse_highest(cls, text: str) -> Threshold:
        """Read a text of --fail-over like `mae=50`. Raises `InputError`."""
        name, bound = _parsed("--fail-over", text, "mae=50")
        if name in METRICS:
            raise InputError(
                f"--fail-over {text!r}: a higher {name} is the better one. Give --fail-under {name}=NUMBER."
            )
        if name not in ERRORS:
            raise InputError(f"--fail-over {text!r}: there is no metric {name!r}.{_choice(name, ERRORS)}")
        if not 0 <= bound < math.inf:
            raise InputError(f"--fail-over {text!r}: {name} is a number from 0.")
        return cls(name, bound)

    @property
    def words(self) -> str:
        """The condition as text."""
        return f"{self.metric} {'<=' if self.metric in ERRORS else '>='} {self.bound:g}"

    def verdict(self, metrics: Mapping[str, float]) -> str | None:
        """A sentence when the condition is broken, else None. Raises `InputError` when the metric was not measured."""
        highest = self.metric in ERRORS
        if self.metric not in metrics:
            known = [name for name in metrics if (name in ERRORS) == highest]
            raise InputError(
                f"--fail-{'over' if highest else 'under'}: {self.metric} is not measured for this model and data."
                f"{_choice(self.metric, known)}"
            )
        value = metrics[self.metric]
        if highest:
            return (
                None
                if value <= self.bound
                else f"{self.metric} is {value:.4f}, over the {self.bound:g} asked for."
            )
        return (
            None
            if value >= self.bound
            else f"{self.metric} is {value:.4f}, under the {self.bound:g} asked for."
        )


def _parsed(option: str, text: str, example: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise InputError(f"{option} {text!r}: expected METRIC=NUMBER, such as {example}.") from None


def verdicts(thresholds: Sequence[Threshold], metrics: Mapping[str, float]) -> list[tuple[str, str | None]]:
    """For each condition its text and why it failed, or None."""
    return [(threshold.words, threshold.verdict(metrics)) for threshold in thresholds]


def _choice(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return (f" Did you mean {near[0]}?" if near else "") + f" There are: {', '.join(known)}."
