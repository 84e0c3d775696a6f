"""Labels that are no single class: numbers, and sets of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import Layout
from atelier_client.data import cells as cell_values
from atelier_client.data.label_rule import key_of, known
from atelier_client.errors import DataError

# Between the names of a row's classes in one cell of text.
SEPARATOR = "|"

# Names a cell, given its row (from 0 in the table).
PlaceOfRow = Callable[[int], str]


def quantities(cells: NDArray[Any], layout: Layout, place: PlaceOfRow) -> NDArray[np.float64]:
    """Label cells [N] or [N,K] as finite numbers, float64. Raises `DataError` with the place of one that is none."""
    if cells.dtype.kind not in "iufOSU":
        raise DataError(f"{place(0)}: expected labels that are numbers, got {cells.dtype}.")
    # A label is never missing: a cell that stands for a missing input is no number here.
    plain = Layout(kind=layout.kind or "table", decimal=layout.decimal)
    try:
        found = cell_values.numbers(cells, np.dtype(np.float64), plain, lambda row, at: place(row))
    except DataError as error:
        raise DataError(
            f"{error} A label of a regression is a finite number; labels that are classes: --task classification."
        ) from None
    wrong = ~np.isfinite(found)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise DataError(
            f"{place(row)}: the label is {found[wrong][0]}; a label of a regression is a finite number. Remove the row."
        )
    return np.asarray(found, np.float64)


def truth_values(cells: NDArray[Any], place: PlaceOfRow) -> NDArray[np.bool_]:
    """Label cells [N] or [N,C] of 0 and 1 (or truth values) as bool. Raises `DataError` with the place of another."""
    if cells.dtype == bool:
        return cells
    found = quantities(cells, Layout(), place)
    wrong = (found != 0) & (found != 1)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise DataError(
            f"{place(row)}: expected 0 or 1, whether the row has the class, got {found[wrong][0]:g}."
        )
    return np.asarray(found == 1)


def class_sets(cells: NDArray[Any], names: Sequence[str], place: PlaceOfRow) -> NDArray[np.bool_]:
    """Cells [N] that are lists of class names, or texts of such with `|` between, as bool [N,C]; empty is none.

    Raises `DataError` for a name that is no class.
    """
    numbers = known(names)
    found = np.zeros([len(cells), len(names)], bool)
    for row, cell in enumerate(cells.tolist()):
        for name in _names(cell):
            number = numbers.get(key_of(name), -1)
            if number < 0:
                shown = ", ".join(names[:12]) + (", .." if len(names) > 12 else "")
                raise DataError(
                    f"{place(row)}: {name!r} is none of the classes {shown}. Expected a list of them, or a text with "
                    f"{SEPARATOR} between."
                )
            found[row, number] = True
    return found


def _names(cell: Any) -> list[str]:
    if isinstance(cell, (list, tuple, np.ndarray)):
        return [_text(part) for part in cell]
    return [part.strip() for part in _text(cell).split(SEPARATOR) if part.strip()]


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
