"""Evaluates a served model: sends labelled examples and counts the answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
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
from atelier_client.evaluation.passes.undivided import undivided
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.question import Question
from atelier_client.evaluation.retrying_sender import RetryingSender
from atelier_client.evaluation.settings import Settings
from atelier_client.evaluation.slices import Slices
from atelier_client.responses import Prediction

# What the user did wrong ends a pass without a result.
MISTAKES = (InputError, DataError, InvalidRequest, TooLarge)


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

    @classmethod
    def of(cls, asked: Question, settings: Settings) -> EvaluationResult:
        """A result without any example yet, that begins now."""
        return cls(
            asked,
            asked.findings(),
            Slices(settings.slices, asked.counts),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


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
    result = EvaluationResult.of(asked, settings)
    started = time.perf_counter()
    try:
        for examples in add(result, client, reader.tables(asked.rows_at_once), 0, settings, progress.waiting):
            result.seconds = time.perf_counter() - started
            progress.advance(examples)
    except (ClientError, KeyboardInterrupt) as stopped:
        # When the user made a mistake, there is no partial result.
        if not result.examples or isinstance(stopped, MISTAKES):
            raise
        result.stopped = stopped
    if not result.examples:
        raise InputError(f"{reader.name} holds no examples.")
    return result


def add(
    result: EvaluationResult,
    client: Client,
    tables: Iterable[Table],
    first: int,
    settings: Settings,
    waiting: Callable[[str | None], None],
) -> Iterator[int]:
    """Send the rows of `tables`, of which the first has the number `first` (from 0), and add their answers to `result`.

    Gives the number of rows each time that some were added. `waiting` is `notify` of `RetryingSender`. Raises
    `ClientError`.
    """
    asked = result.question
    sender: RetryingSender[_Batch] = RetryingSender(client, asked.request, settings.patience, waiting)
    for batch, prediction in sender.predictions(_batches(tables, first, result, settings)):
        with undivided():
            _count(result, batch, prediction, sliced=bool(settings.slices))
        yield len(batch.labels)


def check_first(result: EvaluationResult, table: Table, settings: Settings) -> None:
    """Read the first table of a source, which decides how all are read, and send nothing. Raises `ClientError`."""
    next(_batches([table], 0, result, settings))


def _batches(
    tables: Iterable[Table], first: int, result: EvaluationResult, settings: Settings
) -> Iterator[_Batch]:
    asked = result.question
    for table in tables:
        inputs = asked.inputs(table, first)
        labels = asked.labels(table, first)
        if not first and settings.slices:
            result.slices.check(asked.columns(asked.elements(0, table, inputs, labels, asked.blank(labels))))
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
