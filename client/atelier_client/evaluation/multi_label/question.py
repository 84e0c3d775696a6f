"""How one version gives the rows of labelled tables their classes, any number of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.client import Client
from atelier_client.data.table import Reader, Table
from atelier_client.errors import InputError
from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.expression import Column
from atelier_client.evaluation.multi_label.findings import MultiLabelFindings
from atelier_client.evaluation.multi_label.metrics import THRESHOLD, LabelCounts
from atelier_client.evaluation.question import Question
from atelier_client.evaluation.settings import Settings
from atelier_client.responses import Prediction

# Rounding may leave a sigmoid a little outside.
_TOLERANCE = 1e-3


class MultiLabel(Question):
    """Labels are bool [N,C], answers probabilities [N,C], each of its class alone."""

    task = "multi_label"
    main = "subset_accuracy"
    shown = ("subset_accuracy", "micro_f1", "macro_f1")
    label_axes = 1

    def __init__(
        self, client: Client, reader: Reader, settings: Settings, say: Callable[[str], None]
    ) -> None:
        """Raises `ClientError`; `InputError` when the number of classes cannot be told, or is not that of the names."""
        super().__init__(client, reader, settings, say)
        info = self.served.outputs[self.output]
        width = info.shape[-1] if info.shape else -1
        if self.names and width > 0 and width != len(self.names):
            raise InputError(
                f"The model answers {info}, but there are {len(self.names)} classes "
                f"({', '.join(self.names[:5])}, ..): the names and the model do not belong together. Other names: "
                "--class-names A,B,C."
            )
        if not self.names and width <= 0:
            raise InputError(
                f"How many classes the model has is not known (output {info}, no model card). Name them: "
                "--class-names A,B,C."
            )
        self.classes = len(self.names) if self.names else width

    def labels(self, table: Table, first: int) -> NDArray[Any]:
        """See `Question`."""
        return self.binding.class_sets(table, first, self.known_names)

    def answers(self, prediction: Prediction, first: int, labels: NDArray[Any]) -> NDArray[Any]:
        """See `Question`."""
        values = prediction[self.output]
        if values.shape != labels.shape:
            raise InputError(
                f"The output {self.output} cannot be measured: the model answers {list(values.shape)}, and the labels "
                f"are {list(labels.shape)}, one truth value a class."
            )
        # `not` is also true for NaN.
        wrong = ~((values >= -_TOLERANCE) & (values <= 1 + _TOLERANCE))
        if wrong.any():
            row, *at = np.argwhere(wrong)[0].tolist()
            raise InputError(
                f"The output {self.output} of row {first + row + 1} has {values[(row, *at)]:g} for the class "
                f"{self.known_names[at[-1]]}, which is no probability. If they are logits, serve the model with a "
                "sigmoid; another output: --output NAME."
            )
        return values

    def counts(self) -> LabelCounts:
        """See `Question`."""
        return LabelCounts(self.classes)

    def findings(self) -> MultiLabelFindings:
        """See `Question`."""
        return MultiLabelFindings(self.known_names)

    def blank(self, labels: NDArray[Any]) -> NDArray[Any]:
        """See `Question`."""
        return np.zeros(labels.shape)

    def own_columns(self, elements: Elements) -> Mapping[str, Column]:
        """`labels` and `predicted` are how many classes a row has, `wrong` how many of all are wrong."""
        predicted = elements.answers >= THRESHOLD
        return {
            "labels": elements.labels.sum(axis=1),
            "predicted": predicted.sum(axis=1),
            "wrong": (predicted != elements.labels).sum(axis=1),
        }
