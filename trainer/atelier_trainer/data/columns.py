"""The columns of a table whose model has one input a column: numbers and categories, either with missing values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

# With fewer rows than this a column is not judged.
FEWEST_ROWS = 20


@dataclass(frozen=True)
class Column:
    """One input. `categories` are those of the training examples; `missing`: some examples have no value."""

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()
    missing: bool = False

    @property
    def width(self) -> int:
        """How many values of the network's input the column takes."""
        return len(self.categories) + self.missing if self.kind == "category" else 1 + self.missing

    def indices(self) -> dict[str, int]:
        """The place of each category in a one-hot vector. If training had missing values, `""` has the last place."""
        known = (*self.categories, "") if self.missing else self.categories
        return {category: index for index, category in enumerate(known)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Column:
        """The column in a JSON document that `dataclasses.asdict` made."""
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
    """The columns, completed by what the training examples hold.

    `gaps` says for each column of numbers whether a value is missing; `categories` are the cells of each column of
    categories.
    """
    gap = iter(gaps)
    values = iter(categories)
    described = []
    for column in columns:
        if column.kind == "number":
            described.append(replace(column, missing=bool(next(gap))))
        else:
            found = set(next(values))
            described.append(replace(column, categories=tuple(sorted(found - {""})), missing="" in found))
    return tuple(described)


def identifiers(columns: Sequence[Column], examples: int) -> list[str]:
    """A warning for each column that has about as many categories as training has rows."""
    return [
        f"column {column.name} has {len(column.categories):,} categories in {examples:,} training examples and looks "
        f"like an identifier, which says nothing about new rows; data.columns: {{{column.name}: ignore}} leaves it out"
        for column in columns
        if examples >= FEWEST_ROWS and 2 * len(column.categories) > examples
    ]


def unknown_categories(columns: Sequence[Column], rows: np.ndarray) -> list[str]:
    """A warning for each column with categories that training never saw."""
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
