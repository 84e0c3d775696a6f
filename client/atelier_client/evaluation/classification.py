"""How one version classifies labelled tables: what is sent, which labels count, where the probabilities come back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from atelier_client._layout import UNKNOWN, LabelKind, Layout
from atelier_client.client import Client
from atelier_client.data.binding import Binding, rows_at_once
from atelier_client.data.table import Reader, Table
from atelier_client.evaluation.class_names import LABEL_OUTPUT, names_in, outputs_labels
from atelier_client.evaluation.probabilities import (
    count_classes,
    find_output,
    of_both_classes,
    read_probabilities,
)
from atelier_client.evaluation.retrying_sender import RequestOptions
from atelier_client.messages.requests import REQUEST_BYTES, REQUEST_ROWS
from atelier_client.responses import Prediction
from atelier_client.signature import choose


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


class Classification:
    """One version's signature set beside one source of labelled tables."""

    def __init__(
        self, client: Client, reader: Reader, settings: Settings, say: Callable[[str], None]
    ) -> None:
        """Ask the server for the signature, and for class names when nobody gave them. Raises `ClientError`."""
        served = choose(client.metadata(version=settings.version), settings.signature)
        self.output = find_output(served, settings.output)
        self.names = settings.class_names
        self.classes = count_classes(served, self.output, self.names)
        self.rows_at_once = rows_at_once(served, REQUEST_BYTES, REQUEST_ROWS)
        self.request = RequestOptions(settings.version, settings.signature, (self.output,))
        self._binding = Binding(
            served,
            reader.name,
            row_word=reader.row_word,
            layout=settings.layout,
            label_column=settings.label_column,
            label_kind=settings.label_kind,
            say=say,
        )
        if self.names is None and outputs_labels(served):
            self.names = self._names_of_the_server(client, reader)

    def inputs(self, table: Table, first: int) -> dict[str, NDArray[Any]]:
        """The inputs of a table whose first row has the number `first` (from 0). Raises `DataError`."""
        return self._binding.inputs(table, first)

    def labels(self, table: Table, first: int) -> NDArray[Any]:
        """Class numbers int64 [N] of the table's rows. Raises `DataError`."""
        return self._binding.labels(table, first, self.names, self.classes)

    def probabilities(self, prediction: Prediction, first: int, rows: int) -> NDArray[Any]:
        """Probabilities float [N,C] in the response for `rows` rows. Raises `InputError`."""
        return read_probabilities(prediction, self.output, first, rows, self.names)

    def _names_of_the_server(self, client: Client, reader: Reader) -> tuple[str, ...] | None:
        """The class names in the predictions for the first examples; None when they cannot be told."""
        table = next(iter(reader.tables(self.rows_at_once)), None)
        if table is None:
            return None
        prediction = client.predict(
            self.inputs(table, 0),
            signature=self.request.signature,
            outputs=(self.output, LABEL_OUTPUT),
            version=self.request.version,
        )
        probabilities = of_both_classes(prediction[self.output])
        return names_in(prediction, probabilities) if probabilities.ndim == 2 else None
