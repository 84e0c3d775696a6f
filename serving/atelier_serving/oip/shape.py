"""Shapes that clients claim."""

from __future__ import annotations

import math
from collections.abc import Sequence

from atelier_serving.oip.datatypes import Datatype
from atelier_serving.status import invalid
from atelier_serving.tensors import MAX_DIMENSIONS

# Of the widest type, numpy can have so many.
_MOST_ELEMENTS = 2**59


def element_count(name: str, datatype: Datatype, shape: Sequence[int]) -> int:
    """The number of elements of an input of this shape. Raises `ServingError` when it is no tensor's."""
    count = math.prod(shape)
    if len(shape) <= MAX_DIMENSIONS and min(shape, default=1) > 0 and count < _MOST_ELEMENTS:
        return count
    if len(shape) > MAX_DIMENSIONS:
        raise invalid(
            f'Input "{name}" has {len(shape)} dimensions: a tensor has at most {MAX_DIMENSIONS} here.'
        )
    if any(size < 0 for size in shape):
        raise invalid(f'Input "{name}" has the shape {list(shape)}: a size is 0 or more in a request.')
    # numpy counts the bytes without the empty dimensions in 63 bits.
    if math.prod(size or 1 for size in shape) * datatype.dtype.itemsize >= 2**63:
        raise invalid(f'Input "{name}" has the shape {list(shape)}: no tensor is so large.')
    return count
