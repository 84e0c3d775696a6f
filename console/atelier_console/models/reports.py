"""The reports that commands have written: pages to link to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from atelier_client._files import read_bytes

from atelier_console.problems import NotFound
from atelier_console.texts import say


@dataclass(frozen=True)
class ReportLink:
    """A report's file name, and when it was written (UTC)."""

    name: str
    written: str


def links(reports: Path) -> list[ReportLink]:
    """The pages of the reports folder by name; none where there is no such folder."""
    if not reports.is_dir():
        return []
    return [
        ReportLink(
            path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
        )
        for path in sorted(reports.glob("*.html"))
        if path.is_file()
    ]


def read(reports: Path, name: str) -> bytes:
    """A report's page. Raises `NotFound` for a name that `links` does not give."""
    if name not in {link.name for link in links(reports)}:
        raise NotFound(say("no_report", name=name))
    return read_bytes(reports / name)
