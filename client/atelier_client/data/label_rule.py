"""What a label is, and when two are the same: the rule of docs/contracts.md, section 2, "Labels"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import DataError

Key = Decimal | str

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)


def class_of(value: str | float, names: Sequence[str]) -> int:
    """The number of the class with that name, by the rule for labels; -1 when there is none."""
    return known(names).get(key_of(value), -1)


def values_of(names: Sequence[str]) -> list[float] | None:
    """The number that stands for each class in comparisons with numbers: its name, when the name is a number.

    None when no name is a number. When only some names are numbers, the other classes get NaN.
    """
    keys = [key_of(name) for name in names]
    if not any(isinstance(key, Decimal) for key in keys):
        return None
    return [float(key) if isinstance(key, Decimal) else np.nan for key in keys]


def known(names: Sequence[str]) -> dict[Key, int]:
    """Class numbers by their names. Raises `DataError` for a name that is there twice."""
    found: dict[Key, int] = {}
    for number, name in enumerate(names):
        key = key_of(name)
        if key in found:
            raise DataError(f"The class names {names[found[key]]!r} and {name!r} are the same label.")
        found[key] = number
    return found


def key_of(cell: Any) -> Key:
    """A number's value, or the text without the spaces around it."""
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell))
    text = (cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)).strip()
    if isinstance(cell, float) and np.isfinite(cell):
        return Decimal(text)
    return Decimal(text) if _NUMBER.fullmatch(text) else text


def keys_of(cells: NDArray[Any]) -> list[Key]:
    """`key_of` each cell [N]. Each distinct number is converted once; a float32 is read as its own shortest text."""
    if cells.dtype.kind in "OSUb":
        return [key_of(cell) for cell in cells.tolist()]
    values, places = np.unique(cells, return_inverse=True)
    keys: list[Key] = [
        Decimal(str(value)) if np.isfinite(value) else str(value)
        for value in (values if cells.dtype.kind == "f" else values.tolist())
    ]
    return [keys[place] for place in places.reshape(-1).tolist()]
