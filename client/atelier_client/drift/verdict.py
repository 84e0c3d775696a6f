"""Whether a column has changed: stable, changed, or too few examples to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from atelier_client.drift.column import ANSWERS, Column, Counts, Measure
from atelier_client.drift.distances import Distance, distance

Verdict = Literal["stable", "changed", "too few"]

# From here on a difference is one to act on (docs/decisions.md has what they were measured on).
THRESHOLDS: dict[Measure, float] = {"jensen_shannon": 0.08, "wasserstein": 0.1, "rate": 0.05}
# Of the columns that are called changed, the expected part that is not (Benjamini and Hochberg 1995).
FALSE_DISCOVERIES = 0.01


@dataclass(frozen=True)
class Difference:
    """The examples of a column in two samples, and how far these are apart."""

    before: Counts
    now: Counts
    distance: Distance


@dataclass(frozen=True)
class Compared:
    """A column in two samples. `difference` is None where one of them has no example of it.

    `decides`: it counts for the verdict of the window, else it only explains.
    """

    column: Column
    difference: Difference | None
    threshold: float
    decides: bool
    verdict: Verdict


def compare(
    columns: Sequence[Column],
    reference: Sequence[Counts | None],
    window: Sequence[Counts | None],
    *,
    outputs_alone: bool,
) -> list[Compared]:
    """Judge every column. With `outputs_alone` the model's answers decide, when both samples have any."""
    found = []
    for column, before, now in zip(columns, reference, window, strict=True):
        difference = None
        if before and now and before.examples and now.examples:
            difference = Difference(before, now, distance(column, before, now))
        found.append(Compared(column, difference, THRESHOLDS[column.measure], True, "too few"))
    if outputs_alone and any(one.difference and one.column.group in ANSWERS for one in found):
        found = [replace(one, decides=one.column.group in ANSWERS) for one in found]
    real = _discoveries([one.difference.distance.chance if one.difference else 1.0 for one in found])
    return [replace(one, verdict=_verdict(one, real[place])) for place, one in enumerate(found)]


def overall(compared: Sequence[Compared]) -> Verdict:
    """Of the columns that decide and have examples: changed when one has, stable when all are."""
    verdicts = {one.verdict for one in compared if one.decides and one.difference}
    if "changed" in verdicts:
        return "changed"
    return "stable" if verdicts == {"stable"} else "too few"


def _verdict(one: Compared, real: bool) -> Verdict:
    if one.difference is None:
        return "too few"
    found = one.difference.distance
    large = abs(found.value) >= one.threshold
    low, high = found.interval
    if large and real and not low <= 0 <= high:
        return "changed"
    return "too few" if large or found.resolution > one.threshold else "stable"


def _discoveries(chances: Sequence[float]) -> list[bool]:
    """Which of the differences are no chance, by Benjamini and Hochberg's step-up procedure."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    passed = [
        rank
        for rank, place in enumerate(order, 1)
        if chances[place] <= FALSE_DISCOVERIES * rank / len(chances)
    ]
    real = set(order[: max(passed, default=0)])
    return [place in real for place in range(len(chances))]
