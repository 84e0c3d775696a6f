"""Label cells and classes: a class is a name, or a number that counts from 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from atelier_trainer.errors import DataInvalid


def classes_of(cells: Iterable[str], path: Path) -> tuple[str, ...]:
    """The distinct labels, numbers in their order, names in theirs. Raises `DataInvalid` for fewer than two."""
    distinct = set(cells)
    if len(distinct) < 2:
        raise DataInvalid(
            f"{path}: expected labels of two classes or more, got {', '.join(distinct) or 'none'}."
        )
    return tuple(sorted(distinct, key=_number_or_name))


def class_ids(
    cells: Sequence[str] | np.ndarray, names: Sequence[str], path: Path, column: str, first_row: int = 1
) -> np.ndarray:
    """Class numbers int64 [N] of label cells: a class's name, or its number. Raises `DataInvalid` with the row."""
    known = {str(number): number for number in range(len(names))} | {
        name: number for number, name in enumerate(names)
    }
    ids = np.array([known.get(cell, -1) for cell in cells], np.int64)
    if (ids < 0).any():
        row = int(np.argmax(ids < 0))
        shown = ", ".join(names[:12]) + (", .." if len(names) > 12 else "")
        raise DataInvalid(
            f"{path}, row {first_row + row}, column {column}: the label {cells[row]!r} is out of range: "
            f"expected one of {shown}, or a number from 0 to {len(names) - 1}."
        )
    return ids


def check_numbers(labels: np.ndarray, classes: int, path: Path) -> np.ndarray:
    """Labels that are numbers already, as int64 [N]. Raises `DataInvalid` with the first row out of range."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataInvalid(
            f"{path}: expected labels as integers [N], got {labels.dtype} {list(labels.shape)}."
        )
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataInvalid(
            f"{path}, row {row + 1}: the label {labels[row]} is out of range: expected 0 to {classes - 1}."
        )
    return labels.astype(np.int64)


def _number_or_name(cell: str) -> tuple[int, int, str]:
    try:
        return (0, int(cell), cell)
    except ValueError:
        return (1, 0, cell)
