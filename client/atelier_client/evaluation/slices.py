"""Slices: the same metrics for a part of the examples. A condition, or each value of a column, selects a part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from atelier_client.data.table import Table
from atelier_client.errors import InputError
from atelier_client.evaluation.expression import ClassColumn, Columns, Expression
from atelier_client.evaluation.metrics import MetricCounts

# A column with more values is not useful for slices.
_MOST_VALUES = 50
_SHOWN = ("accuracy", "loss", "ece")


class Slice(NamedTuple):
    """A part of the examples: the expression that was asked for, and the name of the part that it selects."""

    text: str
    name: str


class SliceMasks:
    """Tells which examples belong to which slice."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Each of `texts` is an expression (expression.py). Raises `InputError` for one that is none."""
        self._expressions = [Expression(text) for text in texts]
        self._values: dict[str, set[str]] = {}

    def check(self, table: Table, names: Sequence[str]) -> None:
        """Try every slice on the first rows, to find mistakes before anything is sent. Raises `InputError`."""
        rows = len(next(iter(table.values())))
        for _ in self.of(
            table, np.zeros(rows, np.int64), np.full([rows, len(names)], 1 / len(names)), 0, names
        ):
            pass

    def of(
        self,
        table: Table,
        labels: NDArray[Any],
        probabilities: NDArray[Any],
        first: int,
        names: Sequence[str],
    ) -> Iterator[tuple[Slice, NDArray[Any]]]:
        """Each slice with a mask bool [N] of the table's rows. `first` is the number (from 0) of the first example."""
        if not self._expressions:
            return
        columns = _columns(table, labels, probabilities, first, names)
        for expression in self._expressions:
            for name, mask in self._parts(expression, columns):
                yield Slice(expression.text, name), mask

    def _parts(self, expression: Expression, columns: Columns) -> list[tuple[str, NDArray[Any]]]:
        name = expression.column
        if name is None:
            return [(expression.text, expression.mask(columns))]
        column = expression.lookup(name, columns)
        if isinstance(column, ClassColumn):
            return [
                (f"{name} = {label}", column.numbers == number) for number, label in enumerate(column.names)
            ]
        if column.ndim != 1:
            raise InputError(
                f"slice {name}: the column holds {list(column.shape[1:])} values a row, not one."
            )
        cells = np.array([_text(cell) for cell in column.tolist()])
        values = np.unique(cells)
        known = self._values.setdefault(name, set())
        known.update(values.tolist())
        if len(known) > _MOST_VALUES:
            raise InputError(
                f"slice {name}: the column has more than {_MOST_VALUES} different values. Slice by a condition, "
                f"such as '{name} < 10'."
            )
        return [(f"{name} = {value}", cells == value) for value in values]


class Slices:
    """The counts of each slice of an evaluation."""

    def __init__(self, texts: Sequence[str]) -> None:
        """As `SliceMasks`."""
        self._masks = SliceMasks(texts)
        self.counts: dict[Slice, MetricCounts] = {}

    def check(self, table: Table, names: Sequence[str]) -> None:
        """As `SliceMasks.check`."""
        self._masks.check(table, names)

    def add(
        self,
        table: Table,
        labels: NDArray[Any],
        probabilities: NDArray[Any],
        first: int,
        names: Sequence[str],
    ) -> None:
        """Add examples to the slices they belong to. `first` is the number (from 0) of the first example."""
        for part, mask in self._masks.of(table, labels, probabilities, first, names):
            counts = self.counts.setdefault(part, MetricCounts(len(names)))
            if mask.any():
                counts.add(probabilities[mask], labels[mask])

    def rows(self, whole: MetricCounts) -> list[dict[str, Any]]:
        """Each slice's name, number of examples, share of all, metrics and intervals. An empty slice has no metrics.

        `differs` is "worse" or "better" when the accuracy of all examples is outside the interval of the slice's.
        """
        overall = whole.metrics()[0]["accuracy"]
        rows = []
        for part, counts in self.counts.items():
            row: dict[str, Any] = {
                "name": part.name,
                "examples": counts.examples,
                "share": counts.examples / whole.examples,
            }
            if counts.examples:
                values, intervals = counts.metrics()
                low, high = intervals["accuracy"]
                row |= {
                    "metrics": {key: values[key] for key in _SHOWN},
                    "intervals": {key: intervals[key] for key in _SHOWN},
                    "differs": "worse" if high < overall else "better" if low > overall else None,
                }
            rows.append(row)
        return rows


def _columns(
    table: Table, labels: NDArray[Any], probabilities: NDArray[Any], first: int, names: Sequence[str]
) -> dict[str, NDArray[Any] | ClassColumn]:
    """The columns that an expression may use. Those of the evaluation hide columns of the source with the same name."""
    predicted = probabilities.argmax(axis=1)
    added: dict[str, NDArray[Any] | ClassColumn] = {
        "label": ClassColumn(labels, names),
        "predicted": ClassColumn(predicted, names),
        "confidence": probabilities.max(axis=1),
        "row": np.arange(first, first + len(labels)),
    }
    return added | {name: column for name, column in table.items() if name not in added}


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
