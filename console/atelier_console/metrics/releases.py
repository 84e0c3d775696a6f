"""The record of releases as times: Grafana draws an event at the time that is the value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from atelier_client.release.record import Entry, Record

from atelier_console.metrics.exposition import Gauge

# Of each model so many of the newest entries.
_NEWEST = 50


def releases(models: Path, damaged: Callable[[str], None]) -> list[Gauge]:
    """When each event was last. `damaged` is told of lines that are no entries. Raises `OSError`."""
    gauge = Gauge(
        "atelier_release_event_timestamp_seconds",
        "When this last happened to a version (rollouts.jsonl), in seconds since 1970.",
    )
    by_model: dict[str, list[Entry]] = defaultdict(list)
    for entry in Record(models, damaged).entries():
        by_model[entry.model].append(entry)
    for model, entries in sorted(by_model.items()):
        # The same event of the same version twice is one series: the later time is its value.
        last = {_labels(entry): entry.time for entry in entries[-_NEWEST:]}
        for (event, before, version, verdict), time in last.items():
            gauge.add(
                datetime.fromisoformat(time).timestamp(),
                model_name=model,
                event=event,
                from_version=before,
                to_version=version,
                verdict=verdict,
            )
    return [gauge]


def _labels(entry: Entry) -> tuple[str, str, str, str]:
    before, version = (
        "" if number is None else str(number) for number in (entry.from_version, entry.to_version)
    )
    return entry.event, before, version, str(entry.verdict or "")
