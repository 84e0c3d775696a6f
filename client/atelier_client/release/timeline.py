"""Which version was stable when, for how long, and why: the record, read as a history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from atelier_client.release.record import MOVES, Entry


@dataclass(frozen=True)
class Period:
    """The time in which a version was stable. `end` is None for the one that still is."""

    version: int
    begin: datetime
    end: datetime | None
    entry: Entry

    def seconds(self, now: datetime) -> float:
        """How long it lasted, up to now for the last one; 0 when the clock was set back."""
        return max(0.0, ((self.end or now) - self.begin).total_seconds())


def periods(entries: Sequence[Entry]) -> list[Period]:
    """The periods of one model's entries, oldest first."""
    moves = [entry for entry in entries if entry.event in MOVES and entry.to_version is not None]
    begins = [datetime.fromisoformat(entry.time) for entry in moves]
    ends = [*begins[1:], None][: len(begins)]
    found = []
    for entry, begin, end in zip(moves, begins, ends, strict=True):
        assert entry.to_version is not None
        found.append(Period(entry.to_version, begin, end, entry))
    return found


def at(entries: Sequence[Entry], moment: datetime) -> Period | None:
    """The period of a moment, None before the first one."""
    before = [period for period in periods(entries) if period.begin <= moment]
    return before[-1] if before else None
