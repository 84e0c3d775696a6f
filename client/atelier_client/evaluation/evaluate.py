"""Evaluates a served model: sends labelled examples and counts the predictions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from numpy.typing import NDArray

from atelier_client._layout import UNKNOWN, LabelKind, Layout
from atelier_client._requests import REQUEST_BYTES, REQUEST_ROWS
from atelier_client.client import Client
from atelier_client.data.binding import Binding, rows_at_once
from atelier_client.data.table import Reader, Table
from atelier_client.errors import (
    ClientError,
    DataError,
    InputError,
    InvalidRequest,
    TooLarge,
)
from atelier_client.evaluation.class_names import LABEL_OUTPUT, names_in, outputs_labels
from atelier_client.evaluation.curves import Scores
from atelier_client.evaluation.metrics import MetricCounts
from atelier_client.evaluation.mistakes import Mistakes
from atelier_client.evaluation.probabilities import (
    count_classes,
    find_output,
    of_both_classes,
    read_probabilities,
)
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.retrying_sender import RequestOptions, RetryingSender
from atelier_client.evaluation.slices import Slices
from atelier_client.responses import Prediction
from atelier_client.signature import Signature, choose


@dataclass(frozen=True)
class Settings:
    """How to evaluate. When `output` or `class_names` is None, it is found out. `patience` is as in RetryingSender.

    `layout` is what the model card says of the columns, `label_kind` what it says of the labels (data/labels.py).
    """

    version: int
    signature: str = "serving_default"
    output: str | None = None
    class_names: tuple[str, ...] | None = None
    label_column: str | None = None
    layout: Layout = UNKNOWN
    label_kind: LabelKind | None = None
    slices: tuple[str, ...] = ()
    patience: float = 60.0


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
    served = choose(client.metadata(version=settings.version), settings.signature)
    output = find_output(served, settings.output)
    names = settings.class_names
    slices = Slices(settings.slices)
    classes = count_classes(served, output, names)
    binding = Binding(
        served,
        reader.name,
        row_word=reader.row_word,
        layout=settings.layout,
        label_column=settings.label_column,
        label_kind=settings.label_kind,
        say=progress.say,
    )
    names = names or _names_of_the_server(client, reader, binding, settings, served, output)
    result: EvaluationResult | None = None
    started = time.perf_counter()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    request = RequestOptions(settings.version, settings.signature, (output,))
    sender: RetryingSender[_Batch] = RetryingSender(client, request, settings.patience, progress.waiting)
    batches = _batches(reader, binding, slices, names, classes, served)
    try:
        for batch, prediction in sender.predictions(batches):
            probabilities = read_probabilities(prediction, output, batch.first, len(batch.labels), names)
            if result is None:
                names = names or tuple(str(number) for number in range(probabilities.shape[1]))
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


def _names_of_the_server(
    client: Client, reader: Reader, binding: Binding, settings: Settings, served: Signature, output: str
) -> tuple[str, ...] | None:
    """The class names in the predictions for the first examples. None when the model has no label output."""
    if not outputs_labels(served):
        return None
    table = next(iter(reader.tables(_rows_at_once(served))), None)
    if table is None:
        return None
    prediction = client.predict(
        binding.inputs(table, 0),
        signature=settings.signature,
        outputs=(output, LABEL_OUTPUT),
        version=settings.version,
    )
    probabilities = of_both_classes(prediction[output])
    return names_in(prediction, probabilities) if probabilities.ndim == 2 else None


def _batches(
    reader: Reader,
    binding: Binding,
    slices: Slices,
    names: Sequence[str] | None,
    classes: int,
    served: Signature,
) -> Iterator[_Batch]:
    first = 0
    for table in reader.tables(_rows_at_once(served)):
        inputs = binding.inputs(table, first)
        labels = binding.labels(table, first, names, classes)
        if not first:
            slices.check(table, names or [str(number) for number in range(classes)])
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


def _rows_at_once(served: Signature) -> int:
    return rows_at_once(served, REQUEST_BYTES, REQUEST_ROWS)
