"""What is compared: a column of numbers, categories or truth values, and the examples counted in it.

A column is fixed by a reference: the edges that numbers are counted between, or the categories. Examples are counted
once and forgotten, so a window takes the same memory however many examples it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["number", "category", "share"]
# Where a column comes from: the model's answers (classes and probabilities; `value`: numbers), its inputs, or what can
# be read off a picture or a text.
Group = Literal["output", "value", "input", "picture", "text"]
ANSWERS: tuple[Group, ...] = ("output", "value")
Measure = Literal["jensen_shannon", "wasserstein", "rate"]


@dataclass(frozen=True)
class Column:
    """`edges` [K] rise, of numbers: K + 1 cells, each with its upper edge, the last one above all of them.

    `categories` are those of the reference: a cell each, then one for all others and one for missing values. `spread`
    is the standard deviation that a distance of numbers is divided by. A share has two cells, true and false.
    """

    name: str
    group: Group
    kind: Kind
    edges: NDArray[Any] = field(default_factory=lambda: np.empty(0))
    categories: tuple[str, ...] = ()
    spread: float = 1.0

    @property
    def key(self) -> tuple[Group, str]:
        """What tells it from other columns: an input may be called as an output is."""
        return self.group, self.name

    @property
    def measure(self) -> Measure:
        """Probabilities in the model's answers are compared as histograms: most lie at an end of their range."""
        if self.kind == "share":
            return "rate"
        return "wasserstein" if self.kind == "number" and self.group != "output" else "jensen_shannon"

    @property
    def cells(self) -> int:
        """How many cells examples are counted in."""
        return {"number": len(self.edges) + 1, "category": len(self.categories) + 2, "share": 2}[self.kind]

    def count(self, values: NDArray[Any]) -> Counts:
        """Count values [N]: numbers (only finite ones are counted), texts (`""` is missing), or bool."""
        if self.kind == "share":
            true = int(np.count_nonzero(values))
            return Counts(np.array([true, len(values) - true]))
        if self.kind == "category":
            places = {name: place for place, name in enumerate(self.categories)}
            places[""] = len(self.categories) + 1
            found = [places.get(value, len(self.categories)) for value in values.tolist()]
            return Counts(np.bincount(np.array(found, np.int64), minlength=self.cells))
        values = values[np.isfinite(values)].astype(np.float64)
        counts = np.bincount(np.searchsorted(self.edges, values, side="left"), minlength=self.cells)
        if not len(self.edges):
            return Counts(counts)
        below = np.maximum(self.edges[0] - values, 0.0)
        above = np.maximum(values - self.edges[-1], 0.0)
        return Counts(counts, _sums(below), _sums(above), float(values.sum()))

    def shown(self, counts: Counts, cell: int) -> float:
        """One number that tells a reader where the examples lie: their mean, their rate, or the share of a category."""
        if self.kind == "number":
            return counts.total / counts.examples
        return float(counts.cells[0 if self.kind == "share" else cell]) / counts.examples

    def label(self, cell: int) -> str:
        """What the examples of a cell are."""
        if self.kind == "share":
            return ("yes", "no")[cell]
        if self.kind == "category":
            return (*self.categories, "others", "missing")[cell]
        if cell == len(self.edges):
            return f"above {self.edges[-1]:.4g}" if cell else "all"
        return f"up to {self.edges[cell]:.4g}"


def _sums(values: NDArray[Any]) -> NDArray[Any]:
    return np.array([values.sum(), (values**2).sum()])


@dataclass(frozen=True)
class Counts:
    """Examples counted: int64 [cells]; of numbers also how far those beyond the edges lie from them (sum, and sum of
    squares, [2]), and `total`, the sum of all values.
    """

    cells: NDArray[Any]
    below: NDArray[Any] = field(default_factory=lambda: np.zeros(2))
    above: NDArray[Any] = field(default_factory=lambda: np.zeros(2))
    total: float = 0.0

    @property
    def examples(self) -> int:
        """How many examples were counted."""
        return int(self.cells.sum())

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.cells + other.cells,
            self.below + other.below,
            self.above + other.above,
            self.total + other.total,
        )


# Closer at both ends, where a bin of equal share would be wide. Their number bounds the size of a reference.
INPUT_QUANTILES = np.array([0.5, 1, 2.5, *range(5, 100, 5), 97.5, 99, 99.5]) / 100
OUTPUT_QUANTILES = np.arange(1, 10) / 10
MOST_CATEGORIES = 50


def column_of(name: str, group: Group, kind: Kind, values: NDArray[Any]) -> Column:
    """The column that a sample fixes, where no trainer has: the rules of docs/contracts.md for reference.json."""
    if kind == "category":
        names, counts = np.unique([value for value in values.tolist() if value], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
        return Column(name, group, kind, categories=tuple(str(names[place]) for place in order))
    if kind == "share":
        return Column(name, group, kind)
    known = values[np.isfinite(values)].astype(np.float64)
    if not len(known):
        return Column(name, group, kind)
    quantiles = OUTPUT_QUANTILES if group == "output" else INPUT_QUANTILES
    edges = np.unique(np.quantile(known, quantiles, method="inverted_cdf"))
    return Column(name, group, kind, edges, spread=spread_of(float(known.mean()), float(known.std())))


def spread_of(mean: float, deviation: float) -> float:
    """What distances are divided by: the standard deviation; of a constant, its size, 1 at least."""
    return deviation if deviation > 0 else max(abs(mean), 1.0)
