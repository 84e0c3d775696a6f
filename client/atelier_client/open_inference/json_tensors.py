"""Tensors as the protocol's JSON and back (inference_rest.md, "Tensor Data"): values in a list, flat or nested."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import UnsupportedType
from atelier_client.open_inference.datatypes import BF16, BYTES, DTYPES
from atelier_client.open_inference.tensors import packed

_BINARY = "ask over gRPC (v2+grpc://), or a server with binary tensor data"


def to_json(name: str, array: NDArray[Any]) -> list[Any]:
    """The values, flat. Raises `UnsupportedType` for what JSON cannot hold: NaN, infinity, bytes that are no UTF-8."""
    values = array.ravel().tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnsupportedType(
            f"Input {name!r} holds NaN or infinity, which JSON has no words for: {_BINARY}."
        )
    if array.dtype.kind != "O":
        return values
    try:
        return [item.decode() for item in values]
    except UnicodeDecodeError:
        raise UnsupportedType(
            f"Input {name!r} holds bytes that are no UTF-8, which JSON cannot carry: {_BINARY}."
        ) from None


def to_raw(datatype: str, data: Any) -> bytes:
    """The raw bytes of values from JSON. Raises `ValueError` for values of another type.

    null is NaN: that is how JSON writers without NaN write it.
    """
    values = list(_flat(data))
    if datatype == BYTES:
        return packed([_typed(value, str).encode("utf-8", "surrogateescape") for value in values])
    if datatype == "BOOL":
        return bytes(_typed(value, bool) for value in values)
    if datatype == BF16:
        return (_floats(values, np.dtype("<f4")).view("<u4") >> 16).astype("<u2").tobytes()
    dtype = DTYPES[datatype]
    if dtype.kind == "f":
        return _floats(values, dtype).tobytes()
    try:
        return np.array([_typed(value, int) for value in values], dtype).tobytes()
    except OverflowError as error:
        raise ValueError(f"no {datatype}: {error}") from None


def _floats(values: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    numbers = [
        math.nan if value is None else value if type(value) is int else _typed(value, float)
        for value in values
    ]
    return np.array(numbers, dtype)


def _flat(data: Any) -> Any:
    if not isinstance(data, list):
        yield data
        return
    for item in data:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected {kind.__name__}, got {str(value)[:60]!r}")
    return value
