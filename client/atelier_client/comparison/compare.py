"""Counts the predictions of two versions pair by pair."""

from __future__ import annotations

from dataclasses import dataclass, field

from atelier_client.client import Client
from atelier_client.comparison.changes import Changes
from atelier_client.comparison.counts import PairCounts
from atelier_client.comparison.pairs import Pairs
from atelier_client.data.table import Reader
from atelier_client.evaluation.classification import Settings
from atelier_client.evaluation.progress import Progress


@dataclass
class ComparisonResult:
    """What was counted."""

    class_names: tuple[str, ...]
    counts: PairCounts
    changes: Changes = field(default_factory=Changes)


def compare(client: Client, reader: Reader, a: Settings, b: Settings, progress: Progress) -> ComparisonResult:
    """Send every example to both versions; an example counts when both have answered. Raises `ClientError`.

    The two may have different inputs: each gets those of its own signature from the same rows.
    """
    pairs = Pairs(client, reader, a, b, progress)
    names = pairs.class_names
    result = ComparisonResult(names, PairCounts(len(names)))
    for pair in pairs:
        result.counts.add(pair.labels, pair.a, pair.b)
        result.changes.add(pair.inputs, pair.labels, pair.a, pair.b, pair.first)
    return result
