"""Tensors in JSON: the elements row by row, in one list or nested as the shape.

Source: "Tensor Data" of the Open Inference Protocol: BOOL is true and false, BYTES are strings, FP16 and BF16 have no
form. NaN and the infinities are written `NaN`, `Infinity` and `-Infinity`, as over TensorFlow Serving's REST.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
from tensorflow.core.framework import types_pb2

from atelier_serving.oip.datatypes import BY_NUMBER, Datatype
from atelier_serving.oip.shape import element_count
from atelier_serving.rest.json.document import decimals
from atelier_serving.rest.json.values import Spend, dense, is_list
from atelier_serving.status import invalid
from atelier_serving.tensors import dtype_number

# So many values are written in one step: between two of them other threads run.
_STEP = 8192


def from_data(name: str, datatype: Datatype, shape: tuple[int, ...], data: Any, spend: Spend) -> np.ndarray:
    """The input `name` from its JSON values. Raises `ServingError`. `spend` is told of the memory that this takes."""
    if not datatype.field:
        raise invalid(f'Input "{name}": {datatype.name} has no form in JSON; send it as binary data.')
    count = element_count(name, datatype, shape)
    array = (
        dense(data, _wide(datatype), spend) if is_list(data) and len(data) else np.empty(0, datatype.dtype)
    )
    if array is None or not (is_list(data) or data == []):
        raise invalid(
            f'Input "{name}": data must be a list of {_kind(datatype)}, flat or nested as the shape.'
        )
    if array.size != count or (array.ndim > 1 and array.shape != shape):
        raise invalid(
            f'Input "{name}": the data have the shape {list(array.shape)}, and {list(shape)} or a flat list of '
            f"{count} was expected."
        )
    return _narrowed(name, datatype, array).reshape(shape)


def pieces_of(name: str, array: np.ndarray) -> Iterator[bytes]:
    """The JSON list of an output, in pieces. Raises `ServingError` for a type that has no form."""
    datatype = BY_NUMBER[dtype_number(array.dtype)]
    if not datatype.field:
        raise invalid(
            f'Output "{name}" is {datatype.name}, which has no form in JSON: ask for it as binary data.'
        )
    flat = np.ascontiguousarray(array).reshape(-1)
    yield b"["
    for start in range(0, len(flat), _STEP):
        text = _list(name, flat[start : start + _STEP])
        yield b"," + text[1:-1] if start else text[1:-1]
    yield b"]"


def _list(name: str, values: np.ndarray) -> bytes:
    if values.dtype == object:
        try:
            return orjson.dumps([item.decode() for item in values.tolist()])
        except UnicodeDecodeError:
            raise invalid(
                f'Output "{name}" has bytes that are no UTF-8, and JSON has only text: ask for it as binary data.'
            ) from None
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return f"[{','.join(decimals(values))}]".encode()
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)


def _wide(datatype: Datatype) -> int:
    """The type that JSON values are read as first. The narrow integers of `dense` wrap, as in TensorFlow Serving."""
    if datatype.dtype.kind in "iu" and datatype.number != types_pb2.DT_UINT64:
        return int(types_pb2.DT_INT64)
    return datatype.number


def _narrowed(name: str, datatype: Datatype, array: np.ndarray) -> np.ndarray:
    """Integers as their type. Raises `ServingError` for one that is out of its range."""
    if array.dtype == datatype.dtype:
        return array
    limits = np.iinfo(datatype.dtype)
    if array.size and not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
        raise invalid(f'Input "{name}": a value is out of the range of {datatype.name}.')
    return array.astype(datatype.dtype)


def _kind(datatype: Datatype) -> str:
    if datatype.is_bytes:
        return "strings"
    kinds = {"b": "true and false", "f": "numbers"}
    return kinds.get(datatype.dtype.kind, f"whole numbers within {datatype.name}")
