"""Typed contents: the elements of a tensor in the field of its type (InferTensorContents)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from atelier_serving.oip.datatypes import BY_NUMBER, Datatype
from atelier_serving.oip.protos import open_inference_pb2 as pb
from atelier_serving.oip.shape import element_count
from atelier_serving.status import invalid
from atelier_serving.tensors import claim_strings, dtype_number

# As many values are read or written in one step: between two of them other threads run.
_STEP = 1 << 16


def from_contents(
    name: str,
    datatype: Datatype,
    shape: tuple[int, ...],
    contents: pb.InferTensorContents,
    claim: Callable[[int], object] | None,
) -> np.ndarray:
    """The input `name` from its typed contents. Raises `ServingError`.

    `claim` is called with the bytes that many strings take beyond their own; it may raise.
    """
    if not datatype.field:
        raise invalid(
            f'Input "{name}": {datatype.name} has no typed contents; send it in raw_input_contents.'
        )
    count = element_count(name, datatype, shape)
    for field, _ in contents.ListFields():
        if field.name != datatype.field:
            raise invalid(
                f'Input "{name}": contents of {datatype.name} belong into {datatype.field}, and came in {field.name}.'
            )
    values = getattr(contents, datatype.field)
    if len(values) != count:
        raise invalid(f'Input "{name}": {len(values)} values came, and the shape {list(shape)} has {count}.')
    if datatype.is_bytes:
        claim_strings(claim, count)
        array = np.empty(count, object)
        for start in range(0, count, _STEP):
            array[start : start + _STEP] = values[start : start + _STEP]
        return array.reshape(shape)
    array = np.empty(count, datatype.dtype)
    for start in range(0, count, _STEP):
        array[start : start + _STEP] = _numbers(name, datatype, values[start : start + _STEP])
    return array.reshape(shape)


def _numbers(name: str, datatype: Datatype, values: list[Any]) -> np.ndarray:
    """Values of the field as the data type. Raises `ServingError` for one that is out of its range."""
    try:
        # numpy refuses an integer that a narrow type cannot hold.
        return np.array(values, datatype.dtype)
    except OverflowError:
        raise invalid(f'Input "{name}": a value is out of the range of {datatype.name}.') from None


def has_contents(datatypes: list[np.dtype]) -> bool:
    """Whether outputs of these types can all be given as typed contents."""
    return all(BY_NUMBER[dtype_number(dtype)].field for dtype in datatypes)


def add_contents(array: np.ndarray, contents: pb.InferTensorContents) -> None:
    """Write an output into empty contents."""
    values = getattr(contents, BY_NUMBER[dtype_number(array.dtype)].field)
    flat = array.reshape(-1)
    for start in range(0, len(flat), _STEP):
        values.extend(flat[start : start + _STEP].tolist())
