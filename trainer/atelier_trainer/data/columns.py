"""The columns of a table whose model has one input a column: numbers and categories, either with missing values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

# Fewer rows say nothing about a column.
FEWEST_ROWS = 20


@dataclass(frozen=True)
class Column:
    """One input. `categories` are those of training, without the missing one; `missing`: training had such values."""

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()
    missing: bool = False

    @property
    def width(self) -> int:
        """Values in the network's input."""
        return len(self.categories) + self.missing if self.kind == "category" else 1 + self.missing

    def indices(self) -> dict[str, int]:
        """The places of categories in a one-hot vector; the missing one has the last, when training had it."""
        known = (*self.categories, "") if self.missing else self.categories
        return {category: index for index, category in enumerate(known)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Column:
        """The column that `dataclasses.asdict` and JSON made a document of."""
        return cls(**{**document, "categories": tuple(document["categories"])})


def rows_of(columns: Sequence[Column], numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """A structured array [N] with a field a column: float32 (NaN is missing), or str objects (`""` is missing).

    `numbers` [N,..] and `categories` [N,..] hold the columns of their kind, in order.
    """
    kinds = [(column.name, np.float32 if column.kind == "number" else object) for column in columns]
    rows = np.empty(len(numbers), kinds)
    sides = {"number": iter(numbers.T), "category": iter(categories.T)}
    for column in columns:
        rows[column.name] = next(sides[column.kind])
    return rows


def seen_in_training(
    columns: Sequence[Column], gaps: Sequence[bool], categories: Sequence[Iterable[str]]
) -> tuple[Column, ...]:
    """The columns with what training holds: `gaps`: which numbers are missing somewhere; `categories`: their cells."""
    gap, values = iter(gaps), iter(categories)
    described = []
    for column in columns:
        if column.kind == "number":
            described.append(replace(column, missing=bool(next(gap))))
        else:
            found = set(next(values))
            described.append(replace(column, categories=tuple(sorted(found - {""})), missing="" in found))
    return tuple(described)


def identifiers(columns: Sequence[Column], examples: int) -> list[str]:
    """For each column with about as many categories as training has rows: what is to be said."""
    return [
        f"column {column.name} has {len(column.categories):,} categories in {examples:,} training examples and looks "
        f"like an identifier, which says nothing about new rows; data.columns: {{{column.name}: ignore}} leaves it out"
        for column in columns
        if examples >= FEWEST_ROWS and 2 * len(column.categories) > examples
    ]


def unknown_categories(columns: Sequence[Column], rows: np.ndarray) -> list[str]:
    """For each column with categories that training never saw: what is to be said."""
    said = []
    for column in columns:
        if column.kind == "category":
            new = [cell for cell in rows[column.name] if cell and cell not in set(column.categories)]
            if new:
                said.append(
                    f"column {column.name}: {len(new):,} of {len(rows):,} test examples have a category that "
                    f"training does not, such as {new[0]!r}"
                )
    return said
