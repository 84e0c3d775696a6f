"""Ragged inputs: rows of different lengths, on the wire one row of all values beside numbers that part it.

TensorFlow exports a RaggedTensor `x` as the inputs `x`, its values one after the other, and `x_1`, `x_2`, .., int64
[N]: the splits of each level, outermost first, from 0 to the number of values (the components of tf.RaggedTensorSpec).
Other models take the lengths of the rows instead; a signature does not tell one from the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import InputError


class Info(Protocol):
    """What this module reads of a `TensorInfo`."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...] | None: ...


def splits_of(inputs: Mapping[str, Info]) -> dict[str, tuple[str, ...]]:
    """Each input that looks ragged by the names, with the inputs of its splits, outermost first."""
    found = {}
    for name, info in inputs.items():
        if info.shape and info.shape[0] == -1:
            numbered = (f"{name}_{level}" for level in itertools.count(1))
            if parts := tuple(itertools.takewhile(lambda part: _is_splits(inputs.get(part)), numbered)):
                found[name] = parts
    return found


def flattened(value: Any, splits: Sequence[str], name: str) -> dict[str, Any]:
    """Nested rows as values and splits, by the inputs' names. Raises `InputError` for rows that are no lists."""
    arrays: dict[str, Any] = {}
    rows = value
    for part in splits:
        if not isinstance(rows, (list, tuple, np.ndarray)) or not all(
            isinstance(row, (list, tuple, np.ndarray)) for row in rows
        ):
            raise InputError(
                f"Input {name!r} is ragged, with the splits of its rows in {', '.join(splits)}: expected these too, or "
                f"a list of values for each row. {advice(name)}"
            )
        arrays[part] = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        rows = [item for row in rows for item in row]
    return {name: rows} | arrays


def parts_rows(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """True when an input holds the splits or the lengths of rows in another one: then no row stands for itself."""
    return any(
        _parts(numbers, len(values))
        for one, numbers in arrays.items()
        if numbers.ndim == 1 and numbers.dtype.kind in "iu" and len(numbers)
        for other, values in arrays.items()
        if other != one and values.ndim
    )


def advice(name: str) -> str:
    """How a ragged input is asked."""
    return (
        f'Send JSON lines, a list a row, such as {{"{name}": [1, 2]}} (predict -), or in Python '
        f'client.predict({{"{name}": [[1, 2], [3]]}}).'
    )


def _is_splits(info: Info | None) -> bool:
    return info is not None and info.dtype == "int64" and info.shape == (-1,)


def _parts(numbers: NDArray[Any], count: int) -> bool:
    if (numbers < 0).any() or (numbers == 1).all():
        # One value a row parts nothing.
        return False
    is_splits = numbers[0] == 0 and numbers[-1] == count and bool((np.diff(numbers) >= 0).all())
    return is_splits or int(numbers.sum()) == count
