"""What is wrong or suspicious in columns of numbers: values that float32 cannot tell apart, constants, row counters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atelier_trainer.data.columns import FEWEST_ROWS
from atelier_trainer.errors import DataInvalid

# A model reads float32. A column is refused when float32 rounds its values by more than this share of their standard
# deviation.
MOST_ROUNDING = 0.01
# Above this number float32 cannot represent every whole number.
EXACT_WHOLE = 2.0**24
_SHOWN = 5


class Moments:
    """Count, mean and variance of columns, gathered chunk by chunk (Chan, Golub, LeVeque 1983); NaN is left out."""

    def __init__(self, columns: int) -> None:
        self.count = 0
        self.mean = np.zeros(columns)
        self._squares = np.zeros(columns)
        self._seen = np.zeros(columns, np.int64)

    def add(self, chunk: np.ndarray) -> None:
        """Add rows [n,columns]."""
        there = ~np.isnan(chunk)
        rows = there.sum(axis=0)
        total = np.maximum(self._seen + rows, 1)
        values = np.where(there, chunk, 0)
        mean = values.sum(axis=0, dtype=np.float64) / np.maximum(rows, 1)
        squares = (np.where(there, chunk - mean, 0) ** 2).sum(axis=0, dtype=np.float64)
        shift = np.where(rows > 0, mean - self.mean, 0)
        self._squares += squares + shift**2 * self._seen * rows / total
        self.mean += shift * rows / total
        self._seen += rows
        self.count += len(chunk)

    @property
    def variance(self) -> np.ndarray:
        """Of the population, float64 [columns]."""
        return self._squares / np.maximum(self._seen, 1)

    @property
    def missing(self) -> np.ndarray:
        """Which columns have missing values, bool [columns]."""
        return self._seen < self.count

    @property
    def empty(self) -> np.ndarray:
        """Which columns have no value at all, bool [columns]."""
        return self._seen == 0


class ColumnCheck:
    """Looks at the training rows of columns chunk by chunk, as float64 [n,columns] with NaN for missing values."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self.moments = Moments(len(columns))
        self._rounding = np.zeros(len(columns))
        self._least = np.full(len(columns), np.inf)
        self._largest = np.full(len(columns), -np.inf)
        self._whole = np.ones(len(columns), bool)
        self._counting = np.ones(len(columns), bool)
        self._last: np.ndarray | None = None

    def add(self, chunk: np.ndarray) -> None:
        """Look at the next rows."""
        if not len(chunk) or not self._columns:
            return
        self.moments.add(chunk)
        rounding = np.abs(chunk - chunk.astype(np.float32))
        self._rounding = np.fmax(self._rounding, np.fmax.reduce(rounding, axis=0))
        self._least = np.fmin(self._least, np.fmin.reduce(chunk, axis=0))
        self._largest = np.fmax(self._largest, np.fmax.reduce(chunk, axis=0))
        self._whole &= ((chunk == np.floor(chunk)) | np.isnan(chunk)).all(axis=0)
        steps = np.diff(chunk if self._last is None else np.vstack([self._last, chunk]), axis=0)
        self._counting &= (steps == 1).all(axis=0)
        self._last = chunk[-1]

    def findings(self, path: Path) -> list[str]:
        """What is suspicious. Raises `DataInvalid` for a column that has no values, or that float32 rounds too much."""
        spread = np.sqrt(self.moments.variance)
        for index, name in enumerate(self._columns):
            if self.moments.empty[index]:
                raise DataInvalid(
                    f"{path}: the column {name!r} has no value in any row; leave it out with "
                    f"data.columns: {{{name!r}: ignore}}."
                )
            if self._least[index] < self._largest[index] and (
                self._rounding[index] > MOST_ROUNDING * spread[index]
            ):
                raise DataInvalid(
                    f"{path}: the column {name!r} has values such as {self._largest[index]:.17g}, which a model's "
                    f"float32 rounds by up to {self._rounding[index]:.3g}, while they differ from each other by "
                    f"{spread[index]:.3g} (standard deviation): different values become equal. Subtract a start from "
                    f"a time; leave an identifier out with data.columns: {{{name!r}: ignore}}."
                )
        constant = [
            name for name, flat in zip(self._columns, self._least == self._largest, strict=True) if flat
        ]
        said = []
        if constant and self.moments.count > 1:
            shown = ", ".join(constant[:_SHOWN]) + (", .." if len(constant) > _SHOWN else "")
            said.append(f"the same value in every row says nothing: column {shown}")
        for index, name in enumerate(self._columns):
            if self.moments.count < FEWEST_ROWS or not self._whole[index]:
                continue
            if self._counting[index]:
                said.append(
                    f"column {name} counts the rows, as an index does: it says nothing about new rows; "
                    f"data.columns: {{{name}: ignore}} leaves it out"
                )
            elif self._largest[index] > EXACT_WHOLE or self._least[index] < -EXACT_WHOLE:
                said.append(
                    f"column {name} has whole numbers up to {max(self._largest[index], -self._least[index]):.0f}; "
                    f"beyond {EXACT_WHOLE:.0f} a model's float32 rounds them. If it is an identifier, leave it out "
                    f"with data.columns: {{{name}: ignore}}"
                )
        return said


def leaks(columns: Sequence[str], inputs: np.ndarray, labels: np.ndarray, classes: int) -> list[str]:
    """A warning for each column of `inputs` [N,columns] with few values that each occur with one class only.

    Such a column probably is the label under another name.
    """
    if len(labels) < FEWEST_ROWS or classes < 2:
        return []
    said = []
    for index, name in enumerate(columns):
        values, codes = np.unique(inputs[:, index], return_inverse=True)
        if not classes <= len(values) <= 2 * classes:
            continue
        if len(np.unique(codes * classes + labels)) == len(values):
            said.append(
                f"column {name} tells the label: each of its {len(values)} values goes with one class only. If it is "
                f"known only together with the label, leave it out with data.columns: {{{name}: ignore}}"
            )
    return said
