"""Evaluates a served model: sends labelled examples and counts the answers as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import UNKNOWN, Held, Layout
from atelier_client._progress import Progress
from atelier_client.client import Client
from atelier_client.data.binding import Binding, rows_at_once
from atelier_client.data.table import Reader, Table
from atelier_client.errors import (
    ClientError,
    DataError,
    InputError,
    InvalidRequest,
    ServerFailure,
    TooLarge,
)
from atelier_client.evaluation.class_names import LABEL_OUTPUT, answers_labels, names_in
from atelier_client.evaluation.curves import Scores
from atelier_client.evaluation.metrics import Tally
from atelier_client.evaluation.mistakes import Mistakes
from atelier_client.evaluation.retrying_sender import RequestOptions, RetryingSender
from atelier_client.evaluation.slices import Slices
from atelier_client.messages import REQUEST_BYTES, REQUEST_ROWS, Prediction
from atelier_client.signature import Signature, choose

# Softmax in float32 misses a sum of one by about 1e-6, in float16 by 1e-3.
_SUM_TOLERANCE = 1e-2
_FLOATS = ("float32", "float64", "float16")


@dataclass(frozen=True)
class Settings:
    """How to evaluate: `output` and `class_names` None are found out; `patience` is in seconds (retrying_sender.py).

    `layout` is what the model card says of the columns, `held` what it says of the labels (data/labels.py).
    """

    version: int
    signature: str = "serving_default"
    output: str | None = None
    class_names: tuple[str, ...] | None = None
    label_column: str | None = None
    layout: Layout = UNKNOWN
    held: Held | None = None
    slices: tuple[str, ...] = ()
    patience: float = 60.0


@dataclass
class EvaluationResult:
    """What was measured. `stopped` is the reason when counting ended before the last example, else None."""

    class_names: tuple[str, ...]
    tally: Tally
    scores: Scores
    slices: Slices
    mistakes: Mistakes = field(default_factory=Mistakes)
    latencies: list[float] = field(default_factory=list)
    started_at: str = ""
    seconds: float = 0.0
    stopped: BaseException | None = None


@dataclass(frozen=True)
class _Batch:
    """Rows to send, with the labels and the columns that their response is counted with."""

    first: int
    inputs: dict[str, NDArray[Any]]
    labels: NDArray[Any]
    table: Table


def evaluate(client: Client, reader: Reader, settings: Settings, progress: Progress) -> EvaluationResult:
    """Send every example to one version and count the answers. Raises `ClientError`.

    `progress` is told how many examples are done, and when the client waits for the server.

    An interrupt, or a server that does not come back, ends it early. Then the examples counted so far are the result;
    without any, the error is raised.
    """
    served = choose(client.metadata(version=settings.version), settings.signature)
    output = _output(served, settings.output)
    names = settings.class_names
    slices = Slices(settings.slices)
    classes = _classes(served, output, names)
    binding = Binding(
        served,
        reader.name,
        row_word=reader.row_word,
        layout=settings.layout,
        label_column=settings.label_column,
        held=settings.held,
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
            probabilities = _probabilities(prediction, output, batch, names)
            if result is None:
                names = names or tuple(str(number) for number in range(probabilities.shape[1]))
                result = EvaluationResult(
                    names, Tally(len(names)), Scores(len(names)), slices, started_at=started_at
                )
            _count(result, batch, probabilities, prediction)
            result.seconds = time.perf_counter() - started
            progress.advance(len(batch.labels))
    except (ClientError, KeyboardInterrupt) as stopped:
        # After a mistake of the user's, no partial report is made.
        if result is None or isinstance(stopped, (InputError, DataError, InvalidRequest, TooLarge)):
            raise
        result.stopped = stopped
    if result is None:
        raise InputError(f"{reader.name} holds no examples.")
    return result


def _names_of_the_server(
    client: Client, reader: Reader, binding: Binding, settings: Settings, served: Signature, output: str
) -> tuple[str, ...] | None:
    """The class names in the answers to the first examples, or None when the server names no class."""
    if not answers_labels(served):
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
    probabilities = _both_classes(prediction[output])
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
    result.tally.add(probabilities, labels)
    result.scores.add(probabilities, labels)
    result.slices.add(batch.table, labels, probabilities, batch.first, result.class_names)
    result.mistakes.add(batch.inputs, labels, probabilities, batch.first)
    result.latencies.extend(prediction.seconds)


def _output(served: Signature, wanted: str | None) -> str:
    """The output that holds the probabilities. Raises `InputError`."""
    floats = [spec.name for spec in served.outputs.values() if spec.dtype in _FLOATS]
    if wanted is not None:
        served.check_outputs((wanted,))
        if wanted not in floats:
            raise InputError(
                f"The output {served.outputs[wanted]} is no probability for each class; "
                f"floats are: {', '.join(floats) or 'none'}."
            )
        return wanted
    if "probabilities" in floats:
        return "probabilities"
    if len(floats) == 1:
        return floats[0]
    known = "; ".join(str(spec) for spec in served.outputs.values())
    raise InputError(
        f"Which output of {served.name} holds the probabilities is not clear; give --output NAME. It has: {known}."
    )


def _classes(served: Signature, output: str, names: Sequence[str] | None) -> int:
    """How many classes there are, before any answer: as many as names, or as the signature promises."""
    shape = served.outputs[output].shape
    promised: int | None = None
    if shape is not None and (len(shape) == 1 or shape[-1] == 1):
        promised = 2
    elif shape is not None and shape[-1] > 0:
        promised = shape[-1]
    if names and promised not in (None, len(names)):
        raise InputError(
            f"The model answers {served.outputs[output]}, but there are {len(names)} classes "
            f"({', '.join(names[:5])}, ..): the data set and the model do not belong together. "
            "Other names: --class-names A,B,C."
        )
    if names:
        return len(names)
    if promised is None:
        raise InputError(
            f"How many classes the model has is not known (output {served.outputs[output]}, no model card). "
            "Name them: --class-names A,B,C."
        )
    return promised


def _probabilities(
    prediction: Prediction, output: str, batch: _Batch, names: Sequence[str] | None
) -> NDArray[Any]:
    """Probabilities float [N,C]; of a sigmoid, [N] or [N,1], those of both classes. Raises `InputError`."""
    values = _both_classes(prediction[output])
    if values.ndim != 2 or len(values) != len(batch.labels) or (names and values.shape[1] != len(names)):
        raise InputError(
            f"The model answers {output} of shape {list(values.shape)} for {len(batch.labels)} rows"
            + (f" and {len(names)} classes" if names else "")
            + ": the data set and the model do not belong together."
        )
    sums = values.sum(axis=1, dtype=np.float64)
    # `not <=` also holds for NaN.
    wrong = ~(np.abs(sums - 1) <= _SUM_TOLERANCE) | (values < -_SUM_TOLERANCE).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"The output {output} of row {batch.first + row + 1} is no probability for each class: its values add up "
            f"to {sums[row]:.4g}. If they are logits, serve the model with a softmax; another output: --output NAME."
        )
    return values


def _both_classes(values: NDArray[Any]) -> NDArray[Any]:
    """Of a sigmoid, [N] or [N,1], the probabilities of both classes [N,2]; else the values. Raises `ServerFailure`."""
    if values.dtype.kind != "f":
        raise ServerFailure(f"The server promised floats as probabilities and sent {values.dtype}.")
    if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1):
        column = values.reshape(-1, 1)
        return np.concatenate([1 - column, column], axis=1)
    return values


def _rows_at_once(served: Signature) -> int:
    return rows_at_once(served, REQUEST_BYTES, REQUEST_ROWS)
