"""Evaluates a served model: sends labelled examples and counts the answers."""

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
from atelier_client.evaluation.findings import Findings
from atelier_client.evaluation.outputs import not_measured
from atelier_client.evaluation.passes.ask import ask
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.question import Question
from atelier_client.evaluation.retrying_sender import RetryingSender
from atelier_client.evaluation.settings import Settings
from atelier_client.evaluation.slices import Slices
from atelier_client.responses import Prediction


@dataclass
class EvaluationResult:
    """What was measured: `examples` rows were counted, each as one element or, of sequences, as one a step.

    `stopped` is the error that ended counting before the last example, or None.
    """

    question: Question
    findings: Findings
    slices: Slices
    examples: int = 0
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
    asked = ask(client, reader, settings, progress.say)
    for sentence in not_measured(asked.served, asked.output):
        progress.say(sentence)
    result = EvaluationResult(
        asked,
        asked.findings(),
        Slices(settings.slices, asked.counts),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    started = time.perf_counter()
    sender: RetryingSender[_Batch] = RetryingSender(
        client, asked.request, settings.patience, progress.waiting
    )
    try:
        for batch, prediction in sender.predictions(_batches(reader, asked, settings, result.slices)):
            _count(result, batch, prediction, sliced=bool(settings.slices))
            result.seconds = time.perf_counter() - started
            progress.advance(len(batch.labels))
    except (ClientError, KeyboardInterrupt) as stopped:
        # When the user made a mistake, there is no partial result.
        if not result.examples or isinstance(stopped, (InputError, DataError, InvalidRequest, TooLarge)):
            raise
        result.stopped = stopped
    if not result.examples:
        raise InputError(f"{reader.name} holds no examples.")
    return result


def _batches(reader: Reader, asked: Question, settings: Settings, slices: Slices) -> Iterator[_Batch]:
    first = 0
    for table in reader.tables(asked.rows_at_once):
        inputs = asked.inputs(table, first)
        labels = asked.labels(table, first)
        if not first and settings.slices:
            slices.check(asked.columns(asked.elements(0, table, inputs, labels, asked.blank(labels))))
        yield _Batch(first, inputs, labels, table)
        first += len(labels)


def _count(result: EvaluationResult, batch: _Batch, prediction: Prediction, *, sliced: bool) -> None:
    asked = result.question
    answers = asked.answers(prediction, batch.first, batch.labels)
    elements = asked.elements(batch.first, batch.table, batch.inputs, batch.labels, answers)
    result.findings.add(elements)
    if sliced:
        result.slices.add(asked.columns(elements), elements.answers, elements.labels)
    result.latencies.extend(prediction.seconds)
    result.examples += len(batch.labels)
