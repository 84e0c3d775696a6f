"""Counts the answers of two versions pair by pair."""

from __future__ import annotations

from dataclasses import dataclass, field

from atelier_client._layout import Task
from atelier_client.client import Client
from atelier_client.comparison.changes import Changes
from atelier_client.comparison.measures import pair_measures
from atelier_client.comparison.moves import Moves
from atelier_client.comparison.paired import PairMeasures
from atelier_client.comparison.pairs import Pairs
from atelier_client.data.table import Reader
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.settings import Settings


@dataclass
class ComparisonResult:
    """What was counted; `changes` are of a classification, `moves` of a regression. `examples` are rows."""

    task: Task
    class_names: tuple[str, ...]
    counts: PairMeasures
    examples: int = 0
    changes: Changes = field(default_factory=Changes)
    moves: Moves = field(default_factory=Moves)


def compare(client: Client, reader: Reader, a: Settings, b: Settings, progress: Progress) -> ComparisonResult:
    """Send every example to both versions; an example counts when both have answered. Raises `ClientError`.

    The two may have different inputs: each gets those of its own signature from the same rows.
    """
    pairs = Pairs(client, reader, a, b, progress)
    result = ComparisonResult(pairs.a.task, pairs.class_names, pair_measures(pairs.a))
    for pair in pairs:
        result.counts.add(pair.elements.labels, pair.elements.answers, pair.b)
        result.examples += pair.rows
        if result.task == "classification":
            result.changes.add(pair)
        elif result.task == "regression":
            result.moves.add(pair)
    return result
