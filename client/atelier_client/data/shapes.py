"""Fits rows to the shape of an input; does only what is no guess."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from atelier_client.signature import TensorInfo


def row_shape(info: TensorInfo) -> tuple[int, ...]:
    """The shape of one row; [-1] where it is not known."""
    return info.shape[1:] if info.shape else (-1,)


def row_size(info: TensorInfo) -> int:
    """How many values a row has, or -1 when a size is not known."""
    shape = row_shape(info)
    return -1 if any(size < 0 for size in shape) else math.prod(shape)


def fitted(array: NDArray[Any], info: TensorInfo, *, pictures: bool = True) -> NDArray[Any] | None:
    """The rows in the input's shape, or None where that would be a guess.

    A flat row becomes a picture and a gray picture a flat row (not without `pictures`), as C lays them out; axes of 1
    are added and dropped.
    Anything else (axes in another order, color before rows) has the right number of values in the wrong places.
    """
    wanted = row_shape(info)
    got = array.shape[1:]
    if info.shape is None or _matches(got, wanted):
        return array
    if any(size < 0 for size in wanted):
        return None
    wide = [size for size in got if size != 1]
    fits = wide == [size for size in wanted if size != 1]
    flat = len(wide) <= 1 or (pictures and len(wanted) <= 1 and len(wide) == 2)
    if not fits and not (flat and math.prod(got) == math.prod(wanted)):
        return None
    return array.reshape(len(array), *wanted)


def _matches(got: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(got) == len(wanted) and all(want in (-1, size) for size, want in zip(got, wanted, strict=True))
