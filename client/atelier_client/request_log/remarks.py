"""What a reader of a request log has to say about it: records that it cannot read, and clocks that were set back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Remarks:
    """Filled while a log is read: `skipped` counts records (a torn end is one), `set_back` the clocks set back."""

    skipped: int = 0
    set_back: int = 0
    _first: dict[Path, str] = field(default_factory=dict)
    _more: dict[Path, int] = field(default_factory=dict)
    _clocks: dict[Path, str] = field(default_factory=dict)

    def skip(self, path: Path, reason: str) -> bool:
        """Count a record that cannot be read. True for the first one of its file, whose `reason` is kept."""
        self.skipped += 1
        if path in self._first:
            self._more[path] = self._more.get(path, 0) + 1
            return False
        self._first[path] = reason
        return True

    def clock(self, path: Path, what: str) -> bool:
        """Count a clock that was set back. True for the first time in a file."""
        self.set_back += 1
        if path in self._clocks:
            return False
        self._clocks[path] = what
        return True

    def lines(self) -> list[str]:
        """A sentence for each file with a remark, with the first record that is meant."""
        lines = []
        for path, reason in self._first.items():
            more = self._more.get(path, 0)
            others = f" {more:,} more of its records are left out too." if more else ""
            lines.append(reason + others)
        return lines + list(self._clocks.values())
