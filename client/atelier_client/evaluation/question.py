"""What a version is asked about labelled tables: the inputs, the labels, the answers. A subclass a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import Task
from atelier_client.client import Client
from atelier_client.data.binding import Binding, rows_at_once
from atelier_client.data.table import Reader, Table
from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.expression import Column
from atelier_client.evaluation.findings import Findings, Measures
from atelier_client.evaluation.outputs import find_output
from atelier_client.evaluation.retrying_sender import RequestOptions
from atelier_client.evaluation.settings import Settings
from atelier_client.messages.requests import REQUEST_BYTES, REQUEST_ROWS
from atelier_client.responses import Prediction
from atelier_client.signature import Signature, choose


class Question(ABC):
    """One version's signature set beside one source of labelled tables.

    `names` are the `classes`; None of a regression, and when nobody knows them.
    """

    task: ClassVar[Task]
    main: ClassVar[str]
    """The metric by which slices are called better or worse."""
    shown: ClassVar[tuple[str, ...]]
    """The metrics that a slice has."""
    label_axes: ClassVar[int] = 0
    """How many axes the label of one element has."""

    names: tuple[str, ...] | None = None
    classes: int = 0

    def __init__(
        self, client: Client, reader: Reader, settings: Settings, say: Callable[[str], None]
    ) -> None:
        """Ask the server for the signature. Raises `ClientError`."""
        self.served: Signature = choose(client.metadata(version=settings.version), settings.signature)
        self.output = find_output(self.served, settings.output, self.task)
        self.rows_at_once = rows_at_once(self.served, REQUEST_BYTES, REQUEST_ROWS)
        self.request = RequestOptions(settings.version, settings.signature, (self.output,))
        self.source = reader.name
        self.names = settings.class_names if self.task != "regression" else None
        self.binding = Binding(
            self.served,
            reader.name,
            row_word=reader.row_word,
            layout=settings.layout,
            label_column=settings.label_column,
            label_kind=settings.label_kind,
            class_columns=(self.names or ()) if self.task == "multi_label" else (),
            say=say,
        )

    def inputs(self, table: Table, first: int) -> dict[str, NDArray[Any]]:
        """The inputs of a table whose first row has the number `first` (from 0). Raises `DataError`."""
        return self.binding.inputs(table, first)

    @property
    def known_names(self) -> tuple[str, ...]:
        """The names of the classes, or their numbers where nobody knows them; none of a regression."""
        return self.names or tuple(str(number) for number in range(self.classes))

    @abstractmethod
    def labels(self, table: Table, first: int) -> NDArray[Any]:
        """The labels of the table's rows. Raises `DataError`."""

    @abstractmethod
    def answers(self, prediction: Prediction, first: int, labels: NDArray[Any]) -> NDArray[Any]:
        """The answers to the rows of `labels`, of a shape that fits them. Raises `InputError`."""

    @abstractmethod
    def counts(self) -> Measures:
        """Counts without any example yet."""

    @abstractmethod
    def findings(self) -> Findings:
        """Findings without any example yet."""

    @abstractmethod
    def blank(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Answers of the right shape, to try slices with before anything is sent."""

    @abstractmethod
    def own_columns(self, elements: Elements) -> Mapping[str, Column]:
        """The columns of labels and answers that a slice may name."""

    def elements(
        self,
        first: int,
        table: Table,
        inputs: Mapping[str, NDArray[Any]],
        labels: NDArray[Any],
        answers: NDArray[Any],
    ) -> Elements:
        """The parts that are measured one by one."""
        return Elements.of(first, table, inputs, labels, answers, axes=self.label_axes)

    def columns(self, elements: Elements) -> dict[str, Column]:
        """The columns that a slice may name. Those of the evaluation hide columns of the source with the same name."""
        added: dict[str, Column] = {**self.own_columns(elements), "row": elements.rows}
        table = elements.table.items()
        return added | {
            name: elements.column(np.asarray(column)) for name, column in table if name not in added
        }
