"""Labels of a regression: finite numbers, in float64 as they stand in the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from atelier_trainer.data import csv_cells
from atelier_trainer.data.column_check import MOST_ROUNDING
from atelier_trainer.data.columns import FEWEST_ROWS
from atelier_trainer.data.csv_cells import Dialect
from atelier_trainer.errors import DataInvalid

# With no more different labels than this in this many examples a label may be a class's number.
_FEW_VALUES = 5
_MANY_EXAMPLES = 100
# A column whose correlation with the label is closer to 1 than this is probably the label under another name.
_SAME = 1e-6


def of_cells(cells: np.ndarray, path: Path, column: str, dialect: Dialect) -> np.ndarray:
    """Labels float64 [N] of a file's label cells (str objects [N]). Raises `DataInvalid` with row and column."""
    codes, distinct = pd.factorize(np.asarray(cells, dtype=object))
    values = [_value(cell, dialect) for cell in distinct]
    wrong = [place for place, value in enumerate(values) if value is None]
    if wrong:
        row = int(np.flatnonzero(np.isin(codes, wrong))[0])
        raise DataInvalid(
            f"{path}, row {row + 1}, column {column}: expected a finite number as the label of task regression, got "
            f"{cells[row]!r}.{_advice(cells[row], dialect)}"
        )
    return np.array(values, np.float64)[codes]


def of_array(labels: np.ndarray, path: Path, name: str) -> np.ndarray:
    """Labels float64 [N] of an array [N] or [N,1] of numbers. Raises `DataInvalid`."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iuf":
        raise DataInvalid(
            f"{path}, {name}: expected labels of task regression as numbers [N], got {labels.dtype} "
            f"{list(labels.shape)}."
        )
    values = labels.astype(np.float64)
    wrong = ~(np.abs(values) <= csv_cells.LARGEST)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataInvalid(
            f"{path}, {name}, row {row + 1}: expected a finite number of float32's range, got {values[row]}. Remove "
            "such rows."
        )
    return values


def check(labels: np.ndarray, path: Path, column: str) -> list[str]:
    """What is suspicious in training labels float64 [N].

    Raises `DataInvalid` when all are equal, or when the model's float32 rounds them too much.
    """
    spread = float(labels.std())
    if labels.min(initial=np.inf) == labels.max(initial=-np.inf):
        raise DataInvalid(
            f"{path}, column {column}: every training label is {labels[0]:g}, so there is nothing to learn; expected "
            "different numbers."
        )
    rounding = float(np.abs(labels - labels.astype(np.float32)).max())
    if rounding > MOST_ROUNDING * spread:
        raise DataInvalid(
            f"{path}, column {column}: labels such as {labels.max():.17g} are rounded by up to {rounding:.3g} in a "
            f"model's float32, while they differ from each other by {spread:.3g} (standard deviation). Subtract a "
            "start from them."
        )
    different = len(np.unique(labels))
    if different <= _FEW_VALUES and len(labels) >= _MANY_EXAMPLES:
        return [
            f"the label has {different} different values in {len(labels):,} training examples; if they are classes, "
            "leave out task: regression"
        ]
    return []


def leaks(columns: Sequence[str], inputs: np.ndarray, labels: np.ndarray) -> list[str]:
    """A warning for each column of `inputs` float32 [N,columns] that is the label times a factor plus a constant."""
    if len(labels) < FEWEST_ROWS:
        return []
    away = labels - labels.mean()
    said = []
    for name, values in zip(columns, inputs.T.astype(np.float64), strict=True):
        own = values - values.mean()
        scale = np.sqrt((own**2).sum() * (away**2).sum())
        if scale and 1 - abs(float((own * away).sum())) / scale < _SAME:
            said.append(
                f"column {name} tells the label: it is the label times a factor. If it is known only together with the "
                f"label, leave it out with data.columns: {{{name}: ignore}}"
            )
    return said


def _value(cell: str, dialect: Dialect) -> float | None:
    """True and False are numbers as inputs (docs/contracts.md), but no quantity."""
    if cell.strip().lower() in ("true", "false"):
        return None
    return csv_cells.number(cell, dialect)


def _advice(cell: str, dialect: Dialect) -> str:
    text = cell.strip()
    if csv_cells.is_like_missing(text):
        return " A row without a label teaches nothing: remove it."
    for sign in {",", "."} - {dialect.decimal}:
        if csv_cells.number(text, Dialect(decimal=sign)) is not None:
            return f' If {sign!r} is its decimal sign: data.decimal: "{sign}".'
    if text.lstrip("+-").lower() in ("inf", "infinity"):
        return " Remove the row."
    return " Labels that are names are classes: leave out task: regression."
