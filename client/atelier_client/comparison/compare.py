"""Sends labelled examples to two versions and counts their predictions pair by pair."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.client import Client
from atelier_client.comparison.changes import Changes
from atelier_client.comparison.counts import PairCounts
from atelier_client.data.table import Reader
from atelier_client.errors import InputError
from atelier_client.evaluation.classification import Classification, Settings
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.retrying_sender import RetryingSender


@dataclass
class ComparisonResult:
    """What was counted."""

    class_names: tuple[str, ...]
    counts: PairCounts
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True)
class _Batch:
    """Rows of the source: the number of the first, their labels, and the inputs of one of the two versions."""

    first: int
    inputs: dict[str, NDArray[Any]]
    labels: NDArray[Any]


def compare(client: Client, reader: Reader, a: Settings, b: Settings, progress: Progress) -> ComparisonResult:
    """Send every example to both versions; an example counts when both have answered. Raises `ClientError`.

    The two may have different inputs: each gets those of its own signature from the same rows.
    """
    asked_a = Classification(client, reader, a, progress.say)
    asked_b = Classification(client, reader, b, progress.say)
    names = _class_names(asked_a, asked_b)
    result = ComparisonResult(names, PairCounts(len(names)))
    # The two senders are read in step, so only what is in flight is held twice.
    for_a, for_b = itertools.tee(_batches(reader, asked_a, asked_b))
    sender_a: RetryingSender[_Batch] = RetryingSender(client, asked_a.request, a.patience, progress.waiting)
    sender_b: RetryingSender[_Batch] = RetryingSender(client, asked_b.request, b.patience, progress.waiting)
    pairs = zip(
        sender_a.predictions(pair[0] for pair in for_a),
        sender_b.predictions(pair[1] for pair in for_b),
        strict=True,
    )
    for (batch, prediction_a), (_, prediction_b) in pairs:
        rows = len(batch.labels)
        of_a = asked_a.probabilities(prediction_a, batch.first, rows)
        of_b = asked_b.probabilities(prediction_b, batch.first, rows)
        result.counts.add(batch.labels, of_a, of_b)
        result.changes.add(batch.inputs, batch.labels, of_a, of_b, batch.first)
        progress.advance(rows)
    if not result.counts.examples:
        raise InputError(f"{reader.name} holds no examples.")
    return result


def _class_names(a: Classification, b: Classification) -> tuple[str, ...]:
    """The names both have. Raises `InputError` when they differ."""
    names_a = a.names or b.names or tuple(str(number) for number in range(a.classes))
    names_b = b.names or a.names or tuple(str(number) for number in range(b.classes))
    if names_a != names_b:
        raise InputError(
            f"Version {a.request.version} has the classes {_listed(names_a)}, version {b.request.version} has "
            f"{_listed(names_b)}. Only versions with the same classes in the same order can be compared."
        )
    return names_a


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (", .." if len(names) > 12 else "")


def _batches(reader: Reader, a: Classification, b: Classification) -> Iterator[tuple[_Batch, _Batch]]:
    first = 0
    for table in reader.tables(min(a.rows_at_once, b.rows_at_once)):
        labels = a.labels(table, first)
        # Both read the labels by their own model card; a contradiction would compare two different questions.
        if not np.array_equal(labels, b.labels(table, first)):
            raise InputError(f"The two versions' model cards read the labels of {reader.name} differently.")
        yield _Batch(first, a.inputs(table, first), labels), _Batch(first, b.inputs(table, first), labels)
        first += len(labels)
