"""ndarray to the wire's Tensor and back.

Rules of decoding: tensorflow/core/framework/tensor.cc, Tensor::FromProto. Sending uses `tensor_content` for numbers
(one copy of the buffer) and `string_val` for strings, the only form they have.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import ServerFailure, UnsupportedType
from atelier_client.protos import serving_pb2 as pb

STRING = 7
# tensorflow/core/framework/types.proto: number, name, numpy dtype, field of the typed list
_TABLE: tuple[tuple[int, str, str, str], ...] = (
    (1, "float32", "<f4", "float_val"),
    (2, "float64", "<f8", "double_val"),
    (3, "int32", "<i4", "int_val"),
    (4, "uint8", "u1", "int_val"),
    (5, "int16", "<i2", "int_val"),
    (6, "int8", "i1", "int_val"),
    (9, "int64", "<i8", "int64_val"),
    (10, "bool", "?", "bool_val"),
    (17, "uint16", "<u2", "int_val"),
    (19, "float16", "<f2", "half_val"),
    (22, "uint32", "<u4", "uint32_val"),
    (23, "uint64", "<u8", "uint64_val"),
)
NUMBERS: dict[np.dtype[Any], int] = {np.dtype(kind): number for number, _, kind, _ in _TABLE}
DTYPES: dict[int, np.dtype[Any]] = {number: np.dtype(kind) for number, _, kind, _ in _TABLE}
NAMES: dict[int, str] = {**{number: name for number, name, _, _ in _TABLE}, STRING: "string", 14: "bfloat16"}
_FIELDS: dict[int, str] = {number: field for number, _, _, field in _TABLE}


def encode(array: NDArray[Any], into: pb.Tensor) -> None:
    """Write an array into an empty message. Raises `UnsupportedType`."""
    shape = into.tensor_shape
    for size in array.shape:
        shape.dim.add(size=size)
    if array.dtype.kind in "OSU":
        into.dtype = STRING
        into.string_val.extend(_text(item) for item in array.ravel().tolist())
        return
    kind = array.dtype.newbyteorder("<")
    if kind not in NUMBERS:
        raise UnsupportedType(
            f"dtype {array.dtype} cannot be sent; known: {', '.join(sorted(NAMES.values()))}."
        )
    into.dtype = NUMBERS[kind]
    into.tensor_content = array.astype(kind, copy=False).tobytes()


def decode(tensor: pb.Tensor) -> NDArray[Any]:
    """The message's array; from `tensor_content` a read-only view without a copy. Raises `ServerFailure`."""
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    count = math.prod(shape)
    if tensor.dtype == STRING:
        strings = np.empty(count, object)
        strings[:] = (
            list(tensor.string_val)
            if len(tensor.string_val) == count
            else _repeated(tensor.string_val, count)
        )
        return strings.reshape(shape)
    if tensor.dtype not in DTYPES:
        raise ServerFailure(
            f"The server sent a tensor of dtype {NAMES.get(tensor.dtype, tensor.dtype)}; not supported."
        )
    dtype = DTYPES[tensor.dtype]
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise ServerFailure(
                f"The server sent {len(tensor.tensor_content)} bytes for a tensor of shape {shape}."
            )
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = getattr(tensor, _FIELDS[tensor.dtype])
    given = (
        np.array(values, np.uint16).view(dtype)
        if dtype.kind == "f" and dtype.itemsize == 2
        else np.array(values, dtype)
    )
    if len(given) < count:
        given = np.concatenate([given, np.full(count - len(given), given[-1] if len(given) else 0, dtype)])
    return given[:count].reshape(shape)


def _text(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    raise UnsupportedType(f"a string tensor holds {type(item).__name__} {item!r}; expected str or bytes.")


def _repeated(values: Any, count: int) -> list[bytes]:
    """A list shorter than the shape repeats its last value; an empty one means empty strings."""
    items = list(values)[:count]
    return items + [items[-1] if items else b""] * (count - len(items))
