"""Two versions side by side: metrics, sizes, and what differs in their jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from atelier_console.models.metrics import MetricRow
from atelier_console.models.versions import VersionRow


@dataclass(frozen=True)
class Pair:
    """A metric of both versions; None where one does not have it."""

    name: str
    first: MetricRow | None
    second: MetricRow | None

    @property
    def difference(self) -> float | None:
        """The second's value less the first's."""
        return self.second.value - self.first.value if self.first and self.second else None


def metric_pairs(first: VersionRow, second: VersionRow) -> list[Pair]:
    """The metrics of both cards, in the first one's order."""
    sides = [
        {row.name: row for row in version.of_card.rows} if version.of_card else {}
        for version in (first, second)
    ]
    return [Pair(name, sides[0].get(name), sides[1].get(name)) for name in {**sides[0], **sides[1]}]


def differing_keys(first: VersionRow, second: VersionRow) -> list[tuple[str, str, str]]:
    """(key, first's value, second's value) of what the cards say differently of job, data and size."""
    sides = [dict(_flat(_about(version))) for version in (first, second)]
    keys = {**sides[0], **sides[1]}
    return [
        (key, sides[0].get(key, "–"), sides[1].get(key, "–"))
        for key in keys
        if sides[0].get(key) != sides[1].get(key)
    ]


def _about(version: VersionRow) -> dict[str, Any]:
    document: Mapping[str, Any] = version.card.document if version.card else {}
    return {
        key: document[key]
        for key in ("job", "run", "parameters", "data", "class_names", "versions", "created_at")
        if key in document
    }


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, str(value)
