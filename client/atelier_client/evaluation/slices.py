"""Slices: the same metrics for a part of the examples. A condition, or each value of a column, selects a part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import InputError
from atelier_client.evaluation.expression import ClassColumn, Columns, Expression
from atelier_client.evaluation.findings import Measures
from atelier_client.evaluation.metric_names import ERRORS

# A column with more values is not useful for slices.
_MOST_VALUES = 50


class Slice(NamedTuple):
    """A part of the examples: the expression that was asked for, and the name of the part that it selects."""

    text: str
    name: str


class SliceMasks:
    """Tells which examples belong to which slice."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Each of `texts` is an expression (expression.py). Raises `InputError` for one that is none."""
        self._expressions = [Expression(text) for text in texts]
        self.values: dict[str, set[str]] = {}
        """The values seen of each column of which every value is a slice."""

    def of(self, columns: Columns) -> Iterator[tuple[Slice, NDArray[Any]]]:
        """Each slice with a mask bool [N] of the columns' rows (`Question.columns`). Raises `InputError`."""
        for expression in self._expressions:
            for name, mask in self._parts(expression, columns):
                yield Slice(expression.text, name), mask

    def place(self, part: Slice) -> tuple[int, str]:
        """Where the slice stands among all: sorts as it should be listed. Classes keep their order."""
        expression = next(at for at, known in enumerate(self._expressions) if known.text == part.text)
        return expression, part.name if self._expressions[expression].column in self.values else ""

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
        self.know({name: set(values.tolist())})
        return [(f"{name} = {value}", cells == value) for value in values]

    def know(self, values: Mapping[str, set[str]]) -> None:
        """Add to `values`. Raises `InputError` when a column has too many."""
        for name, new in values.items():
            known = self.values.setdefault(name, set())
            known |= new
            if len(known) > _MOST_VALUES:
                raise InputError(
                    f"slice {name}: the column has more than {_MOST_VALUES} different values. Slice by a condition, "
                    f"such as '{name} < 10'."
                )


class Slices:
    """The counts of each slice of an evaluation."""

    def __init__(self, texts: Sequence[str], counts: Callable[[], Measures]) -> None:
        """As `SliceMasks`; `counts` makes those of a slice."""
        self.masks = SliceMasks(texts)
        self._new = counts
        self.counts: dict[Slice, Measures] = {}

    def check(self, columns: Columns) -> None:
        """Try every slice on the first rows, to find mistakes before anything is sent. Raises `InputError`."""
        for _ in self.masks.of(columns):
            pass

    def add(self, columns: Columns, answers: NDArray[Any], labels: NDArray[Any]) -> None:
        """Add elements to the slices they belong to."""
        for part, mask in self.masks.of(columns):
            counts = self.counts.setdefault(part, self._new())
            if mask.any():
                counts.add(answers[mask], labels[mask])

    def merge(self, counts: Mapping[Slice, Measures]) -> None:
        """Add what another one of the same slices counted of elements that come after those added so far."""
        for part, its in counts.items():
            self.counts.setdefault(part, self._new()).merge(its)

    def rows(self, whole: Measures, main: str, shown: Sequence[str]) -> list[dict[str, Any]]:
        """Each slice's name, number of examples, share of all, the metrics `shown` and their intervals.

        They stand in the order they were asked for, those of a column's values by value. An empty slice has no metrics.
        `differs` is "worse" or "better" when the `main` metric of all examples is outside the interval of the slice's.
        """
        overall = whole.metrics()[0].get(main)
        rows = []
        for part, counts in sorted(self.counts.items(), key=lambda item: self.masks.place(item[0])):
            row: dict[str, Any] = {
                "name": part.name,
                "examples": counts.examples,
                "share": counts.examples / whole.examples,
            }
            if counts.examples:
                values, intervals = counts.metrics()
                there = [key for key in shown if key in values]
                row |= {
                    "metrics": {key: values[key] for key in there},
                    "intervals": {key: intervals[key] for key in there},
                    "differs": None,
                }
                if overall is not None and main in values:
                    low, high = intervals[main]
                    words = ("better", "worse") if main in ERRORS else ("worse", "better")
                    row["differs"] = words[0] if high < overall else words[1] if low > overall else None
            rows.append(row)
        return rows


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
