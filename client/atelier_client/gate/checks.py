"""Judges one rule on what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from atelier_client.comparison.paired import POWER_Z
from atelier_client.evaluation.intervals import Interval, Z
from atelier_client.gate import words
from atelier_client.gate.check import Check, Outcome
from atelier_client.gate.measured import Change, Measured, Measurement, Part
from atelier_client.gate.rule import LATENCY, SIZE, Rule, higher_is_better


def checks_of(rule: Rule, measured: Measured) -> Iterator[Check]:
    """The checks of a rule: one a threshold, for each part that a slice selects."""
    if rule.metric in (LATENCY, SIZE):
        found = measured.latency if rule.metric == LATENCY else measured.size
        count = measured.requests if rule.metric == LATENCY else 1
        yield from _thresholds(rule, measured, Part(None, count, {rule.metric: found} if found else {}))
        return
    whole = (measured.whole,) if measured.whole else ()
    parts = whole if rule.slice is None else measured.slices.get(rule.slice, ())
    for part in parts or (Part(rule.slice, 0, {}),):
        yield from _thresholds(rule, measured, part)


def _thresholds(rule: Rule, measured: Measured, part: Part) -> Iterator[Check]:
    what = rule.metric if part.name is None else f'{rule.metric} of slice "{part.name}"'
    found = part.metrics.get(rule.metric)
    if rule.value:
        threshold = {name: bound for name, bound in vars(rule.value).items() if bound is not None}
        yield (
            _value(rule, what, threshold, part, found)
            if found
            else _missing(rule, what, "value", threshold, _reason(rule, measured, part))
        )
    if rule.change:
        threshold = {name: bound for name, bound in vars(rule.change).items() if bound is not None}
        if measured.stable is None:
            clause = f"{what} has no baseline to compare with"
            value = found.value if found else None
            yield Check(what, "change", threshold, "no_baseline", rule.observe, clause, candidate=value)
        elif found and found.change:
            yield _change(rule, what, threshold, part, found, found.change)
        else:
            yield _missing(rule, what, "change", threshold, _reason(rule, measured, part))
    if not rule.value and not rule.change:
        yield (
            _observed(rule, what, found)
            if found
            else _missing(rule, what, "value", {}, _reason(rule, measured, part))
        )


def _reason(rule: Rule, measured: Measured, part: Part) -> str:
    if rule.metric == SIZE:
        return "the version's folder is not on this machine"
    if measured.reason:
        return measured.reason
    if part.name is not None and not part.examples:
        return "the slice holds no examples"
    return f"it cannot be measured of this model, only {', '.join(part.metrics) or 'nothing'}"


def _missing(
    rule: Rule, what: str, kind: Literal["value", "change"], threshold: Mapping[str, float], reason: str
) -> Check:
    return Check(what, kind, threshold, "not_evaluated", rule.observe, f"{what} was not measured: {reason}")


def _value(rule: Rule, what: str, threshold: Mapping[str, float], part: Part, found: Measurement) -> Check:
    """The value decides, not its interval: docs/releases.md says why."""
    low = threshold.get("lower_bound", -math.inf)
    high = threshold.get("upper_bound", math.inf)
    wanted = words.bounds(rule.metric, threshold)
    clause = f"{what} {words.with_interval(rule.metric, found.value, found.interval)}, wanted {wanted}"
    if found.interval and any(found.interval[0] < bound < found.interval[1] for bound in (low, high)):
        clause += f" (the bound lies within the interval of {words.counted(rule.metric, part.examples)})"
    return Check(
        what,
        "value",
        threshold,
        "passed" if low <= found.value <= high else "rejected",
        rule.observe,
        clause,
        wanted,
        candidate=found.value,
        measured=found.value,
        interval=found.interval,
    )


def _change(
    rule: Rule, what: str, threshold: Mapping[str, float], part: Part, found: Measurement, change: Change
) -> Check:
    assert rule.change
    relative = rule.change.relative is not None
    if relative and change.relative is None:
        return _missing(rule, what, "change", threshold, "stable's value is 0, of which no change is a share")
    size, interval = change.difference, change.interval
    if relative and change.relative is not None:
        size, interval = size / abs(change.stable), change.relative
    outcome, needed = _decide(rule, part.examples, size, interval, change)
    wanted = words.change_bound(rule.metric, rule.change.bound, relative)
    p_value = change.paired.p_value() if change.paired else None
    clause = f"{words.change(rule.metric, what, found, change, size, interval, relative)}, wanted {wanted}"
    more = None
    if outcome == "inconclusive":
        more = max(1, needed - part.examples) if needed else None
        clause += f"; {words.more(rule.metric, more)}"
    return Check(
        what,
        "change",
        threshold,
        outcome,
        rule.observe,
        clause,
        wanted,
        candidate=found.value,
        stable=change.stable,
        measured=size,
        interval=interval,
        p_value=p_value,
        more_examples=more,
    )


def _decide(
    rule: Rule, count: int, size: float, interval: Interval, change: Change
) -> tuple[Outcome, int | None]:
    """The outcome of a change, and about how many examples would decide it in four of five cases."""
    assert rule.change
    bound = rule.change.bound
    if change.paired and not bound:
        better = change.paired.better()
        return ("passed" if better == "b" else "rejected") if better else "inconclusive", (
            change.paired.examples_needed()
        )
    low, high = interval
    if not higher_is_better(rule.metric):
        size, low, high, bound = -size, -high, -low, -bound
    # A size is known, not estimated: a change of exactly the bound is allowed.
    if low > bound or (rule.metric == SIZE and low >= bound):
        return "passed", None
    if high < bound:
        return "rejected", None
    gap = size - bound
    # The interval shrinks with the root of the examples; the power is as in `PairedAccuracy.examples_needed`.
    half = size - low if gap > 0 else high - size
    return "inconclusive", math.ceil(count * ((1 + POWER_Z / Z) * half / gap) ** 2) if gap else None


def _observed(rule: Rule, what: str, found: Measurement) -> Check:
    change = found.change
    if change is None:
        clause = f"{what} {words.with_interval(rule.metric, found.value, found.interval)}"
        return Check(
            what,
            "value",
            {},
            "observed",
            True,
            clause,
            candidate=found.value,
            measured=found.value,
            interval=found.interval,
        )
    size, interval = change.difference, change.interval
    return Check(
        what,
        "change",
        {},
        "observed",
        True,
        words.change(rule.metric, what, found, change, size, interval, False),
        candidate=found.value,
        stable=change.stable,
        measured=size,
        interval=interval,
        p_value=change.paired.p_value() if change.paired else None,
    )
