"""Slices: the same metrics on a part of the examples, chosen by a condition or by each value of a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.data.table import Table
from atelier_client.errors import InputError
from atelier_client.evaluation.expression import ClassColumn, Columns, Expression
from atelier_client.evaluation.metrics import Tally

# More values than this are no groups to compare.
_MOST_VALUES = 50
_SHOWN = ("accuracy", "loss", "ece")


class Slices:
    """A tally for each slice of an evaluation."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Raises `InputError` for a text that is no expression."""
        self._expressions = [Expression(text) for text in texts]
        self._tallies: dict[str, Tally] = {}

    def check(self, table: Table, names: Sequence[str]) -> None:
        """Try every slice on the first rows, before anything is sent. Raises `InputError`."""
        rows = len(next(iter(table.values())))
        columns = _columns(
            table, np.zeros(rows, np.int64), np.full([rows, len(names)], 1 / len(names)), 0, names
        )
        for expression in self._expressions:
            for _ in self._parts(expression, columns):
                pass

    def add(
        self,
        table: Table,
        labels: NDArray[Any],
        probabilities: NDArray[Any],
        first: int,
        names: Sequence[str],
    ) -> None:
        """Count examples, whose first has the number `first` (from 0), in the slices they belong to."""
        if not self._expressions:
            return
        columns = _columns(table, labels, probabilities, first, names)
        for expression in self._expressions:
            for name, mask in self._parts(expression, columns):
                tally = self._tallies.setdefault(name, Tally(len(names)))
                if mask.any():
                    tally.add(probabilities[mask], labels[mask])

    def rows(self, whole: Tally) -> list[dict[str, Any]]:
        """Each slice's name, examples, share of all, metrics and intervals; an empty one has no metrics.

        `differs` is "worse" or "better" when its accuracy's interval does not hold that of all examples.
        """
        overall = whole.metrics()[0]["accuracy"]
        rows = []
        for name, tally in self._tallies.items():
            row: dict[str, Any] = {
                "name": name,
                "examples": tally.examples,
                "share": tally.examples / whole.examples,
            }
            if tally.examples:
                values, around = tally.metrics()
                low, high = around["accuracy"]
                row |= {
                    "metrics": {key: values[key] for key in _SHOWN},
                    "intervals": {key: around[key] for key in _SHOWN},
                    "differs": "worse" if high < overall else "better" if low > overall else None,
                }
            rows.append(row)
        return rows

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
                f"--slice {name}: the column holds {list(column.shape[1:])} values a row, not one."
            )
        cells = np.array([_text(cell) for cell in column.tolist()])
        values = np.unique(cells)
        known = sum(other.startswith(f"{name} = ") for other in self._tallies)
        if max(len(values), known) > _MOST_VALUES:
            raise InputError(
                f"--slice {name}: the column has more than {_MOST_VALUES} different values. Slice by a condition, "
                f"such as --slice '{name} < 10'."
            )
        return [(f"{name} = {value}", cells == value) for value in values]


def _columns(
    table: Table, labels: NDArray[Any], probabilities: NDArray[Any], first: int, names: Sequence[str]
) -> dict[str, NDArray[Any] | ClassColumn]:
    """What an expression may name: what evaluation adds to the source's own columns comes before them."""
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
