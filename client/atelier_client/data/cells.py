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
# NaN and infinity become an error with their place, as those of an array do.
_OTHERS = {"true": 1.0, "false": 0.0, "nan": math.nan} | {
    f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "infinity")
}
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
# Python reads more than the dialect has.
_MORE = re.compile(r"[_A-DF-Za-df-z]|[^\x00-\x7f]")


def numbers(cells: NDArray[Any], dtype: np.dtype[Any], layout: Layout, place: Place) -> NDArray[Any]:
    """The cells as `dtype`, no value changed but for float rounding; a missing one is NaN. Raises `DataError`.

    Floats that are no finite numbers are kept when no model card says what the model takes.
    """
    if cells.dtype == dtype and (layout.kind is None or dtype.kind != "f"):
        return cells
    missing = np.zeros(cells.shape, bool)
    if cells.dtype.kind in "OSU":
        if layout.kinds:
            missing = np.array([_is_missing(cell, layout) for cell in cells.ravel().tolist()], bool)
            missing = missing.reshape(cells.shape)
        cells = _parsed(cells, dtype, layout, missing, place)
    elif cells.dtype.kind == "f" and (layout.kinds or layout.kind is None):
        missing = np.isnan(cells) if layout.kinds else ~np.isfinite(cells)
    if layout.kinds and layout.missing_numbers:
        # Numbers of an array in its own precision: -99.9 as float32 is another number than as float64.
        kind = cells.dtype if cells.dtype.kind == "f" else np.dtype(np.float64)
        missing |= np.isin(cells, np.array(list(layout.missing_numbers), kind))
        cells = np.where(missing, np.nan, cells)
    with np.errstate(invalid="ignore", over="ignore"):
        found = cells.astype(dtype, copy=False)
        wrong = ~(np.isfinite(found) | missing) if dtype.kind == "f" else found != cells
    if wrong.any():
        row, *at = (int(item) for item in np.argwhere(wrong)[0])
        raise DataError(f"{place(row, at)}: expected a {dtype} number, got {cells[(row, *at)]}.")
    return found


def categories(cells: NDArray[Any], layout: Layout, place: Place) -> NDArray[Any]:
    """Texts without the spaces around them; a missing one is empty. Raises `DataError` for one that is not listed."""
    if cells.dtype.kind == "f":
        # 7 and 7.0 are two texts: which one training saw cannot be told from the number.
        raise DataError(
            f"{place(0, ())}: a category is a text, and the column holds {cells.dtype}. Write it as the text that "
            "training saw."
        )
    found = np.empty(cells.shape, object)
    for index, cell in np.ndenumerate(cells):
        text = _text(cell).strip()
        if _is_missing(cell, layout):
            text = ""
        elif not text:
            raise DataError(f"{place(index[0], index[1:])}: the cell is empty. {_advice(layout)}")
        found[index] = text
    return found


def check_kind(cells: NDArray[Any], place: str) -> None:
    """Raises `DataError` for cells that are neither numbers nor texts, such as times: NumPy would cast them.

    `place` names the first of them.
    """
    if cells.dtype.kind in "biufOSU":
        return
    raw = cells.dtype.kind == "V" and not cells.dtype.names
    shown = "bfloat16, or other raw bytes" if raw else str(cells.dtype)
    advice = " Make numbers of times first, as in training." if cells.dtype.kind in "mM" else ""
    raise DataError(f"{place}: expected numbers or texts, got {shown}.{advice}")


def _is_missing(cell: Any, layout: Layout) -> bool:
    return cell is None or _text(cell).strip() in layout.missing


def _parsed(
    cells: NDArray[Any], dtype: np.dtype[Any], layout: Layout, missing: NDArray[Any], place: Place
) -> NDArray[Any]:
    """Text as numbers. NumPy reads all at once when it can; else they are read one by one, to name the wrong one."""
    flat = cells.ravel().tolist()
    plain = layout.decimal == "." and not missing.any() and all(isinstance(cell, str) for cell in flat)
    if plain and not _MORE.search("".join(flat)):
        with contextlib.suppress(ValueError, OverflowError):
            return cells.astype(np.int64 if dtype.kind in "iu" else np.float64)
    whole = dtype.kind in "iu"
    found = np.empty(cells.shape, dtype if whole else np.float64)
    for index, cell in np.ndenumerate(cells):
        if missing[index]:
            found[index] = np.nan
            continue
        value = cell if isinstance(cell, (int, float)) else _number(_text(cell), layout.decimal)
        if value is None:
            shown = _text(cell) if isinstance(cell, (str, bytes)) else cell
            advice = f" {_advice(layout)}" if layout.kinds and not str(shown).strip() else ""
            raise DataError(f"{place(index[0], index[1:])}: expected a number, got {shown!r}.{advice}")
        if whole:
            # By way of a float, a whole number beyond 2**53 would become another.
            number = int(_text(cell)) if _WHOLE.fullmatch(_text(cell).strip()) else value
            limits = np.iinfo(dtype)
            if number != number // 1 or not limits.min <= number <= limits.max:
                raise DataError(
                    f"{place(index[0], index[1:])}: expected a {dtype} number, got {_text(cell)}."
                )
            value = int(number)
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
    return _OTHERS.get(text.lower())


def _advice(layout: Layout) -> str:
    listed = ", ".join(repr(text) for text in layout.missing) or "none"
    return (
        f"What stands for a missing value is in the job (data: missing), at this model's training: {listed}."
    )


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
