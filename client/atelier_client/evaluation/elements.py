"""The parts of an answer that are measured one by one: a row each, or each step of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.data.table import Table


@dataclass(frozen=True)
class Elements:
    """`labels` [E] (of a multi-label model [E,C]) and `answers` [E] or [E,C] of E elements.

    Each belongs to a row of the source: `first` is the number (from 0) of the first row of `table` and `inputs`. A row
    has `steps` elements, None where the row itself is the element.
    """

    first: int
    table: Table
    inputs: Mapping[str, NDArray[Any]]
    labels: NDArray[Any]
    answers: NDArray[Any]
    steps: int | None

    @classmethod
    def of(
        cls,
        first: int,
        table: Table,
        inputs: Mapping[str, NDArray[Any]],
        labels: NDArray[Any],
        answers: NDArray[Any],
        *,
        axes: int,
    ) -> Elements:
        """Elements of labels and answers that agree in shape; `axes` is how many axes one label has (0 or 1)."""
        if labels.ndim == 1 + axes:
            return cls(first, table, inputs, labels, answers, None)
        steps = labels.shape[1]
        return cls(
            first,
            table,
            inputs,
            labels.reshape(-1, *labels.shape[2:]),
            answers.reshape(-1, *answers.shape[2:]),
            steps,
        )

    @property
    def rows(self) -> NDArray[Any]:
        """The number (from 0) of each element's row in the source, int64 [E]."""
        rows = len(self.labels) // (self.steps or 1)
        return self.first + np.repeat(np.arange(rows), self.steps or 1)

    def column(self, cells: NDArray[Any]) -> NDArray[Any]:
        """A column of the table, one cell an element."""
        return cells if self.steps is None else np.repeat(cells, self.steps, axis=0)

    def place(self, element: int) -> tuple[int, int | None]:
        """The row (in the source) and the step of an element, both from 0."""
        if self.steps is None:
            return self.first + element, None
        row, step = divmod(element, self.steps)
        return self.first + row, step

    def example(self, element: int) -> dict[str, Any]:
        """The element's row of each input, copied: a view would keep the whole batch in memory."""
        row = element // (self.steps or 1)
        return {
            name: np.copy(array[row]) if array.ndim > 1 else array[row] for name, array in self.inputs.items()
        }
