"""How one version classifies labelled tables: which labels count, where the probabilities come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.client import Client
from atelier_client.data.table import Reader, Table
from atelier_client.evaluation.classification.class_names import LABEL_OUTPUT, names_in, outputs_labels
from atelier_client.evaluation.classification.findings import ClassificationFindings
from atelier_client.evaluation.classification.metrics import MetricCounts
from atelier_client.evaluation.classification.probabilities import (
    count_classes,
    of_both_classes,
    read_probabilities,
)
from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.expression import ClassColumn, Column
from atelier_client.evaluation.question import Question
from atelier_client.evaluation.settings import Settings
from atelier_client.responses import Prediction


class Classification(Question):
    """Labels are class numbers int64 [N], answers probabilities [N,C]; of sequences [N,T] and [N,T,C]."""

    task = "classification"
    main = "accuracy"
    shown = ("accuracy", "loss", "ece")

    def __init__(
        self, client: Client, reader: Reader, settings: Settings, say: Callable[[str], None]
    ) -> None:
        """Ask the server also for class names when nobody gave them. Raises `ClientError`."""
        super().__init__(client, reader, settings, say)
        self.classes = count_classes(self.served, self.output, self.names)
        shape = self.served.outputs[self.output].shape
        self._sequences = shape is None or len(shape) > 2
        if self.names is None and outputs_labels(self.served):
            self.names = self._names_of_the_server(client, reader)

    def labels(self, table: Table, first: int) -> NDArray[Any]:
        """See `Question`."""
        return self.binding.labels(table, first, self.names, self.classes, sequences=self._sequences)

    def answers(self, prediction: Prediction, first: int, labels: NDArray[Any]) -> NDArray[Any]:
        """See `Question`."""
        return read_probabilities(prediction, self.output, first, labels.shape, self.names)

    def counts(self) -> MetricCounts:
        """See `Question`."""
        return MetricCounts(self.classes)

    def findings(self) -> ClassificationFindings:
        """See `Question`."""
        return ClassificationFindings(self.known_names)

    def blank(self, labels: NDArray[Any]) -> NDArray[Any]:
        """See `Question`."""
        return np.full([*labels.shape, self.classes], 1 / self.classes)

    def own_columns(self, elements: Elements) -> Mapping[str, Column]:
        """See `Question`."""
        names = self.known_names
        return {
            "label": ClassColumn(elements.labels, names),
            "predicted": ClassColumn(elements.answers.argmax(axis=1), names),
            "confidence": elements.answers.max(axis=1),
        }

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
