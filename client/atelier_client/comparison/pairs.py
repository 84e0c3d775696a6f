"""Sends labelled examples to two versions and brings their predictions together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.client import Client
from atelier_client.data.table import Reader, Table
from atelier_client.errors import InputError
from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.passes.ask import ask
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.question import Question
from atelier_client.evaluation.retrying_sender import RetryingSender
from atelier_client.evaluation.settings import Settings


@dataclass(frozen=True)
class Pair:
    """Rows that both versions have answered: the elements with a's answers and inputs, and b's answers to them."""

    rows: int
    elements: Elements
    b: NDArray[Any]


@dataclass(frozen=True)
class _Batch:
    """Rows of the source: the number of the first, their labels, and the inputs of one of the two versions."""

    first: int
    table: Table
    inputs: dict[str, NDArray[Any]]
    labels: NDArray[Any]


class Pairs:
    """Every example of a source with the answers of two versions. They may have different inputs."""

    def __init__(self, client: Client, reader: Reader, a: Settings, b: Settings, progress: Progress) -> None:
        """Ask the server for both signatures. Raises `ClientError`; `InputError` when tasks or classes differ."""
        self._client = client
        self._reader = reader
        self._progress = progress
        if a.task != b.task:
            raise InputError(
                f"Version {a.version} is of the task {a.task}, version {b.version} of {b.task}: only versions of one "
                "task can be compared (--task)."
            )
        self.a = ask(client, reader, a, progress.say)
        self.b = ask(client, reader, b, progress.say)
        self._patience = (a.patience, b.patience)
        self.class_names = _class_names(self.a, self.b)

    def __iter__(self) -> Iterator[Pair]:
        """Send every example to both; an example counts when both have answered. Raises `ClientError`."""
        # The two senders are read in step, so only what is in flight is held twice.
        for_a, for_b = itertools.tee(self._batches())
        client, waiting = self._client, self._progress.waiting
        sender_a: RetryingSender[_Batch] = RetryingSender(client, self.a.request, self._patience[0], waiting)
        sender_b: RetryingSender[_Batch] = RetryingSender(client, self.b.request, self._patience[1], waiting)
        examples = 0
        for (batch, prediction_a), (_, prediction_b) in zip(
            sender_a.predictions(pair[0] for pair in for_a),
            sender_b.predictions(pair[1] for pair in for_b),
            strict=True,
        ):
            rows = len(batch.labels)
            of_a = self.a.answers(prediction_a, batch.first, batch.labels)
            of_b = self.b.answers(prediction_b, batch.first, batch.labels)
            elements, other = (
                self.a.elements(batch.first, batch.table, batch.inputs, batch.labels, answers)
                for answers in (of_a, of_b)
            )
            yield Pair(rows, elements, other.answers)
            examples += rows
            self._progress.advance(rows)
        if not examples:
            raise InputError(f"{self._reader.name} holds no examples.")

    def _batches(self) -> Iterator[tuple[_Batch, _Batch]]:
        a, b = self.a, self.b
        first = 0
        for table in self._reader.tables(min(a.rows_at_once, b.rows_at_once)):
            labels = a.labels(table, first)
            # Both read the labels by their own model card; a contradiction would compare two different questions.
            if not np.array_equal(labels, b.labels(table, first)):
                raise InputError(
                    f"The two versions' model cards read the labels of {self._reader.name} differently."
                )
            yield (
                _Batch(first, table, a.inputs(table, first), labels),
                _Batch(first, table, b.inputs(table, first), labels),
            )
            first += len(labels)


def _class_names(a: Question, b: Question) -> tuple[str, ...]:
    """The names both have, none of a regression. Raises `InputError` when they differ."""
    names_a = a.names or b.names or a.known_names
    names_b = b.names or a.names or b.known_names
    if names_a != names_b:
        raise InputError(
            f"Version {a.request.version} has the classes {_listed(names_a)}, version {b.request.version} has "
            f"{_listed(names_b)}. Only versions with the same classes in the same order can be compared."
        )
    return names_a


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:12]) + (", .." if len(names) > 12 else "")
