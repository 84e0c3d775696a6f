"""The numbers of a check in words."""

from __future__ import annotations

from collections.abc import Mapping

from atelier_client.evaluation.intervals import Interval
from atelier_client.gate.measured import Change, Measurement
from atelier_client.gate.rule import LATENCY, SIZE, higher_is_better

_UNITS = {LATENCY: " ms", SIZE: " MB"}


def number(metric: str, value: float, sign: str = "") -> str:
    """A value with four decimals, or two and the unit; `sign` is "+" for a change."""
    unit = _UNITS.get(metric, "")
    return f"{value:{sign}.{2 if unit else 4}f}{unit}"


def bounds(metric: str, threshold: Mapping[str, float]) -> str:
    """The bounds of a value: "at least 0.8 and at most 0.9"."""
    unit = _UNITS.get(metric, "")
    names = {"lower_bound": "at least", "upper_bound": "at most"}
    return " and ".join(f"{names[name]} {bound:g}{unit}" for name, bound in threshold.items())


def change_bound(metric: str, bound: float, relative: bool) -> str:
    """The bound of a change: "a change above -0.01", "a change below +50 %"."""
    word = "above" if higher_is_better(metric) else "at most" if metric == SIZE else "below"
    shown = f"{100 * bound:+g} %" if relative else f"{bound:+g}{_UNITS.get(metric, '')}"
    return f"a change {word} {shown if bound else '0'}"


def with_interval(metric: str, value: float, interval: Interval | None) -> str:
    """A value and its interval."""
    if interval is None or interval[0] == interval[1]:
        return number(metric, value)
    return f"{number(metric, value)} (95 %: {number(metric, interval[0])} to {number(metric, interval[1])})"


def change(
    metric: str,
    what: str,
    found: Measurement,
    measured: Change,
    size: float,
    interval: Interval,
    relative: bool,
) -> str:
    """Both values, the change and its interval, and the paired test of the main metric."""

    def shown(value: float) -> str:
        return f"{100 * value:+.1f} %" if relative else number(metric, value, "+")

    paired = measured.paired
    inside = [f"95 %: {shown(interval[0])} to {shown(interval[1])}"] if interval[0] < interval[1] else []
    if paired:
        inside += paired.in_words()
    return (
        f"{what} {number(metric, found.value)}, in stable {number(metric, measured.stable)}, change {shown(size)}"
        + (f" ({'; '.join(inside)})" if inside else "")
    )


def more(metric: str, count: int | None) -> str:
    """How much more would decide."""
    if count is None:
        return "no number of examples would decide at this difference"
    return f"about {counted(metric, count, 'more ')} would decide at this difference"


def counted(metric: str, count: int, word: str = "") -> str:
    """Examples, or requests of the latency."""
    return f"{count:,} {word}{'request' if metric == LATENCY else 'example'}{'' if count == 1 else 's'}"
