"""How one version predicts the numbers of labelled tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.data.table import Table
from atelier_client.errors import InputError
from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.expression import Column
from atelier_client.evaluation.question import Question
from atelier_client.evaluation.regression.findings import RegressionFindings
from atelier_client.evaluation.regression.metrics import Errors
from atelier_client.responses import Prediction


class Regression(Question):
    """Labels and answers are float64 [N]; of several numbers a row both are [N,K]."""

    task = "regression"
    main = "mae"
    shown = ("mae", "rmse", "r2", "median_absolute_error")

    def labels(self, table: Table, first: int) -> NDArray[Any]:
        """See `Question`."""
        return self.binding.quantities(table, first)

    def answers(self, prediction: Prediction, first: int, labels: NDArray[Any]) -> NDArray[Any]:
        """See `Question`."""
        values = answered = prediction[self.output]
        if values.ndim == labels.ndim + 1 and values.shape[-1] == 1:
            values = values[..., 0]
        if labels.ndim == values.ndim + 1 == 2 and labels.shape[1] == 1:
            values = values[:, None]
        if values.shape != labels.shape:
            raise InputError(
                f"The output {self.output} cannot be measured: the model answers {list(answered.shape)}, and a number "
                f"for each label would be {list(labels.shape)}. Another output: --output NAME; other labels: "
                "--label-column NAME."
            )
        wrong = ~np.isfinite(values)
        if wrong.any():
            row, *at = np.argwhere(wrong)[0].tolist()
            raise InputError(
                f"The output {self.output} of row {first + row + 1} is {values[(row, *at)]}: expected a finite number."
            )
        return values.astype(np.float64)

    def counts(self) -> Errors:
        """See `Question`."""
        return Errors()

    def findings(self) -> RegressionFindings:
        """See `Question`."""
        return RegressionFindings()

    def blank(self, labels: NDArray[Any]) -> NDArray[Any]:
        """See `Question`."""
        return np.zeros(labels.shape)

    def own_columns(self, elements: Elements) -> Mapping[str, Column]:
        """`error` is how far the prediction is above the label."""
        return {
            "label": elements.labels,
            "predicted": elements.answers,
            "error": elements.answers - elements.labels,
        }
