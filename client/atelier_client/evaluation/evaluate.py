"""Evaluates a served model: sends labelled examples and counts the predictions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from numpy.typing import NDArray

from atelier_client.client import Client
from atelier_client.data.table import Reader, Table
from atelier_client.errors import (
    ClientError,
    DataError,
    InputError,
    InvalidRequest,
    TooLarge,
)
from atelier_client.evaluation.classification import Classification, Settings
from atelier_client.evaluation.curves import Scores
from atelier_client.evaluation.metrics import MetricCounts
from atelier_client.evaluation.mistakes import Mistakes
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.retrying_sender import RetryingSender
from atelier_client.evaluation.slices import Slices
from atelier_client.responses import Prediction


@dataclass
class EvaluationResult:
    """What was measured. `stopped` is the error that ended counting before the last example, or None."""

    class_names: tuple[str, ...]
    counts: MetricCounts
    scores: Scores
    slices: Slices
    mistakes: Mistakes = field(default_factory=Mistakes)
    latencies: list[float] = field(default_factory=list)
    started_at: str = ""
    seconds: float = 0.0
    stopped: BaseException | None = None


@dataclass(frozen=True)
class _Batch:
    """Rows to send, and the labels and columns that are needed to count their prediction."""

    first: int
    inputs: dict[str, NDArray[Any]]
    labels: NDArray[Any]
    table: Table


def evaluate(client: Client, reader: Reader, settings: Settings, progress: Progress) -> EvaluationResult:
    """Send every example to one version and count the predictions. Raises `ClientError`.

    `progress` shows how many examples are done, and when the client waits for the server.

    Ctrl-C, or a server that does not come back, ends the evaluation early. Then the result has the examples counted so
    far. If there are none, the error is raised.
    """
    asked = Classification(client, reader, settings, progress.say)
    slices = Slices(settings.slices)
    result: EvaluationResult | None = None
    started = time.perf_counter()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    sender: RetryingSender[_Batch] = RetryingSender(
        client, asked.request, settings.patience, progress.waiting
    )
    try:
        for batch, prediction in sender.predictions(_batches(reader, asked, slices)):
            probabilities = asked.probabilities(prediction, batch.first, len(batch.labels))
            if result is None:
                names = asked.names or tuple(str(number) for number in range(probabilities.shape[1]))
                result = EvaluationResult(
                    names, MetricCounts(len(names)), Scores(len(names)), slices, started_at=started_at
                )
            _count(result, batch, probabilities, prediction)
            result.seconds = time.perf_counter() - started
            progress.advance(len(batch.labels))
    except (ClientError, KeyboardInterrupt) as stopped:
        # When the user made a mistake, there is no partial result.
        if result is None or isinstance(stopped, (InputError, DataError, InvalidRequest, TooLarge)):
            raise
        result.stopped = stopped
    if result is None:
        raise InputError(f"{reader.name} holds no examples.")
    return result


def _batches(reader: Reader, asked: Classification, slices: Slices) -> Iterator[_Batch]:
    first = 0
    for table in reader.tables(asked.rows_at_once):
        inputs = asked.inputs(table, first)
        labels = asked.labels(table, first)
        if not first:
            slices.check(table, asked.names or [str(number) for number in range(asked.classes)])
        yield _Batch(first, inputs, labels, table)
        first += len(labels)


def _count(
    result: EvaluationResult, batch: _Batch, probabilities: NDArray[Any], prediction: Prediction
) -> None:
    labels = batch.labels
    result.counts.add(probabilities, labels)
    result.scores.add(probabilities, labels)
    result.slices.add(batch.table, labels, probabilities, batch.first, result.class_names)
    result.mistakes.add(batch.inputs, labels, probabilities, batch.first)
    result.latencies.extend(prediction.seconds)
