"""Cells of a table as numbers and categories: the dialect of docs/contracts.md, section 2."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import Layout
from atelier_client.errors import DataError

# A function that names a cell, given its row (from 0 in the table) and its further indices.
Place = Callable[[int, Sequence[int]], str]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Python reads NaN and infinity too; they become an error with their place, as those of an array do.
_OTHERS = {"true": 1.0, "false": 0.0, "nan": math.nan, "inf": math.inf, "infinity": math.inf}
# Python reads more than the dialect has.
_MORE = re.compile(r"[_A-DF-Za-df-z]|[^\x00-\x7f]")


def numbers(cells: NDArray[Any], dtype: np.dtype[Any], layout: Layout, place: Place) -> NDArray[Any]:
    """The cells as `dtype`, no value changed but for float rounding; a missing one is NaN. Raises `DataError`."""
    if cells.dtype == dtype and not layout.kinds:
        return cells
    missing = np.zeros(cells.shape, bool)
    if cells.dtype.kind in "OSU":
        if layout.kinds:
            missing = np.isin([_text(cell).strip() for cell in cells.ravel().tolist()], layout.missing)
            missing = missing.reshape(cells.shape)
        cells = _parsed(cells, dtype, layout, missing, place)
    elif layout.kinds and cells.dtype.kind == "f":
        missing = np.isnan(cells)
    with np.errstate(invalid="ignore", over="ignore"):
        found = cells.astype(dtype)
        wrong = ~(np.isfinite(found) | missing) if dtype.kind == "f" else found != cells
    if wrong.any():
        row, *at = (int(item) for item in np.argwhere(wrong)[0])
        raise DataError(f"{place(row, at)}: expected a {dtype} number, got {cells[(row, *at)]}.")
    return found


def categories(cells: NDArray[Any], layout: Layout, place: Place) -> NDArray[Any]:
    """Texts without the spaces around them; a missing one is empty. Raises `DataError` for one that is not listed."""
    found = np.empty(cells.shape, object)
    for index, cell in np.ndenumerate(cells):
        text = _text(cell).strip()
        if text in layout.missing:
            text = ""
        elif not text:
            raise DataError(f"{place(index[0], index[1:])}: the cell is empty. {_advice(layout)}")
        found[index] = text
    return found


def _parsed(
    cells: NDArray[Any], dtype: np.dtype[Any], layout: Layout, missing: NDArray[Any], place: Place
) -> NDArray[Any]:
    """Text as numbers. NumPy reads all at once when it can; else they are read one by one, to name the wrong one."""
    flat = cells.ravel().tolist()
    plain = layout.decimal == "." and not missing.any() and all(isinstance(cell, str) for cell in flat)
    if plain and not _MORE.search("".join(flat)):
        with contextlib.suppress(ValueError, OverflowError):
            return cells.astype(np.int64 if dtype.kind in "iu" else np.float64)
    found = np.empty(cells.shape, np.float64)
    for index, cell in np.ndenumerate(cells):
        if missing[index]:
            found[index] = np.nan
            continue
        value = cell if isinstance(cell, (int, float)) else _number(_text(cell), layout.decimal)
        if value is None:
            shown = _text(cell) if isinstance(cell, (str, bytes)) else cell
            advice = f" {_advice(layout)}" if layout.kinds and not str(shown).strip() else ""
            raise DataError(f"{place(index[0], index[1:])}: expected a number, got {shown!r}.{advice}")
        found[index] = value
    return found


def _number(text: str, decimal: str) -> float | None:
    text = text.strip()
    if decimal != ".":
        if "." in text:
            return None
        text = text.replace(decimal, ".")
    if _NUMBER.fullmatch(text):
        return float(text)
    return _OTHERS.get(text.lower().lstrip("+-"))


def _advice(layout: Layout) -> str:
    listed = ", ".join(repr(text) for text in layout.missing) or "none"
    return (
        f"What stands for a missing value is in the job (data: missing), at this model's training: {listed}."
    )


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
