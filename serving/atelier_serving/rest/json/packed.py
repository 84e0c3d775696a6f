"""Lists of JSON numbers as arrays, for large documents: a number takes 1 to 8 bytes instead of 32."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from atelier_serving.tensors import MAX_DIMENSIONS

_MIXED = {int, float}
# Whole numbers that a double holds exactly.
_EXACT = 2**53


class Packed:
    """A list of items of one shape, stored as blocks of numbers. An item is a number or a list.

    A block is (values, whole). `values` [n, ...] are the items in order, as uint8, int16, int32, int64, float32 or
    float64. `whole` has the same shape and marks the floats that the document wrote without a fraction; it is None if
    there are none. Code that reads a document uses it as a list: it has a length, items and an order.
    """

    __slots__ = ("_size", "blocks")

    def __init__(self, blocks: list[tuple[np.ndarray, np.ndarray | None]]) -> None:
        self.blocks = blocks
        self._size = sum(len(values) for values, _ in blocks)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        for values, whole in self.blocks:
            if values.ndim == 1:
                yield from numbers(values, whole)
            else:
                for row in range(len(values)):
                    yield Packed([(values[row], None if whole is None else whole[row])])

    def __getitem__(self, position: int) -> Any:
        for values, whole in self.blocks:
            if position < len(values):
                if values.ndim > 1:
                    return Packed([(values[position], None if whole is None else whole[position])])
                number = values[position].item()
                return int(number) if whole is not None and whole[position] else number
            position -= len(values)
        raise IndexError(position)

    @property
    def inner(self) -> tuple[int, ...]:
        """The shape of one item."""
        return self.blocks[0][0].shape[1:]


def numbers(values: np.ndarray, whole: np.ndarray | None) -> list[Any]:
    """The numbers of a block [n] as Python numbers, in order."""
    items: list[Any] = values.tolist()
    if whole is not None:
        for position in np.flatnonzero(whole):
            items[position] = int(items[position])
    return items


def pack(items: list[Any]) -> tuple[np.ndarray, np.ndarray | None] | None:
    """A block for a list of numbers, which may be nested; None if it is irregular or an array would change a number."""
    shape: list[int] = []
    level: list[Any] = [items]
    while set(map(type, level)) == {list}:
        if len(set(map(len, level))) > 1:
            return None
        shape.append(len(level[0]))
        if len(shape) > MAX_DIMENSIONS:
            return None
        level = list(chain.from_iterable(level))
    kinds = set(map(type, level))
    # An empty list has no type of number.
    if not kinds or kinds - _MIXED:
        return None
    if kinds == {int}:
        low = min(level)
        high = max(level)
        if not -(2**63) <= low <= high < 2**63:
            return None
        return np.array(level, _smallest(low, high)).reshape(shape), None
    whole = None
    if len(kinds) == 2:
        whole = np.array([type(item) is int for item in level]).reshape(shape)
        if any(abs(item) > _EXACT for item in level if type(item) is int):
            return None
    values = np.array(level, np.float64).reshape(shape)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return (single if np.array_equal(single, values, equal_nan=True) else values), whole


def _smallest(low: int, high: int) -> type[np.generic]:
    if low >= 0 and high < 2**8:
        return np.uint8
    if low >= -(2**15) and high < 2**15:
        return np.int16
    return np.int32 if low >= -(2**31) and high < 2**31 else np.int64
