"""The tiles of the page Live: a number now, and the lines of the last minutes by version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from atelier_console.live.figures import Figures, batch_fill, between
from atelier_console.live.snapshot import ALL, Snapshot
from atelier_console.live.watch import KEPT_SECONDS
from atelier_console.texts import say

# A figure is of so many seconds: those of one reading to the next would jump.
_OVER = 10.0
KEYS = ("rate", "p50", "p99", "errors", "batch", "memory")
_MOST_LINES = 4

Points = list[tuple[float, float]]


def tiles(snapshots: Sequence[Snapshot]) -> list[dict[str, Any]]:
    """For each key: `now`, a sentence a version, and `lines` of `points` [when, value] with `top`, the largest value.

    `when` is from 0, so long ago as readings are kept, to 1, the last one.
    """
    steps = [(now, _before(snapshots, now)) for now in snapshots]
    pairs = [(before, now) for now, before in steps if before is not None]
    last = snapshots[-1].seconds if snapshots else 0.0
    figures = [(1 - (last - now.seconds) / KEPT_SECONDS, between(before, now)) for before, now in pairs]
    fills = [(1 - (last - now.seconds) / KEPT_SECONDS, batch_fill(before, now)) for before, now in pairs]
    memory = [(1 - (last - one.seconds) / KEPT_SECONDS, one.memory) for one in snapshots]
    return [
        _by_version("rate", figures, lambda one: one.rate, "now_rate", 1.0),
        _by_version("p50", figures, lambda one: one.p50, "now_milliseconds", 1e3),
        _by_version("p99", figures, lambda one: one.p99, "now_milliseconds", 1e3),
        _by_version("errors", figures, lambda one: one.failures, "now_rate", 1.0),
        _single("batch", fills, "now_rows", 1.0),
        _single("memory", memory, "now_megabytes", 1e-6),
    ]


def _before(snapshots: Sequence[Snapshot], now: Snapshot) -> Snapshot | None:
    """The snapshot that a figure of `now` counts from."""
    earlier = [one for one in snapshots if one.seconds < now.seconds]
    return next(
        (one for one in earlier if now.seconds - one.seconds <= _OVER), earlier[-1] if earlier else None
    )


def _by_version(
    key: str,
    figures: Sequence[tuple[float, dict[str, Figures]]],
    value: Callable[[Figures], float | None],
    words: str,
    unit: float,
) -> dict[str, Any]:
    versions = sorted({version for _, found in figures for version in found}, key=_newest_first)[:_MOST_LINES]
    lines = []
    for version in versions:
        points = [
            (at, unit * number)
            for at, found in figures
            if version in found and (number := value(found[version])) is not None
        ]
        if points:
            name = say("all_versions") if version == ALL else say("version", version=version)
            now = value(figures[-1][1][version]) if version in figures[-1][1] else None
            lines.append((name, points, None if now is None else unit * now))
    return _tile(key, lines, words)


def _single(
    key: str, values: Sequence[tuple[float, float | None]], words: str, unit: float
) -> dict[str, Any]:
    points = [(at, unit * value) for at, value in values if value is not None]
    last = values[-1][1] if values else None
    now = None if last is None else unit * last
    # A tile of one line needs no name for it.
    return _tile(key, [("", points, now)] if points else [], words)


def _tile(key: str, lines: Sequence[tuple[str, Points, float | None]], words: str) -> dict[str, Any]:
    said = [(name, say(words, value=now)) for name, _, now in lines if now is not None]
    return {
        "key": key,
        "now": [say("now_of", name=name, now=now) if name else now for name, now in said],
        "lines": [{"name": name, "points": points} for name, points, _ in lines],
        "top": max((value for _, points, _ in lines for _, value in points), default=0.0),
    }


def _newest_first(version: str) -> tuple[int, str]:
    return (-int(version), "") if version.isdecimal() else (0, version)
