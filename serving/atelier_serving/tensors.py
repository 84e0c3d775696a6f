"""Converts TensorProto to ndarray and back, in both encodings, without TensorFlow's own converters: these are slow.

The rules are those of tensorflow/core/framework/tensor.cc, Tensor::FromProto. `tensor_content` counts when it is
present, else the typed list. If the list is shorter than the shape, its last value repeats; an empty list means zeros;
values beyond the shape are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from atelier_serving.status import Code, ServingError

# dtype number: (numpy dtype, field of the typed list)
_KINDS: dict[int, tuple[np.dtype, str]] = {
    types_pb2.DT_FLOAT: (np.dtype("<f4"), "float_val"),
    types_pb2.DT_DOUBLE: (np.dtype("<f8"), "double_val"),
    types_pb2.DT_INT8: (np.dtype("i1"), "int_val"),
    types_pb2.DT_INT16: (np.dtype("<i2"), "int_val"),
    types_pb2.DT_INT32: (np.dtype("<i4"), "int_val"),
    types_pb2.DT_INT64: (np.dtype("<i8"), "int64_val"),
    types_pb2.DT_UINT8: (np.dtype("u1"), "int_val"),
    types_pb2.DT_UINT16: (np.dtype("<u2"), "int_val"),
    types_pb2.DT_UINT32: (np.dtype("<u4"), "uint32_val"),
    types_pb2.DT_UINT64: (np.dtype("<u8"), "uint64_val"),
    types_pb2.DT_BOOL: (np.dtype("?"), "bool_val"),
    types_pb2.DT_HALF: (np.dtype("<f2"), "half_val"),
    types_pb2.DT_BFLOAT16: (np.dtype(ml_dtypes.bfloat16), "half_val"),
    types_pb2.DT_COMPLEX64: (np.dtype("<c8"), "scomplex_val"),
    types_pb2.DT_COMPLEX128: (np.dtype("<c16"), "dcomplex_val"),
    types_pb2.DT_STRING: (np.dtype(object), "string_val"),
}
_NUMBERS = {dtype: number for number, (dtype, _) in _KINDS.items()}
# numpy has no more dimensions than that; TensorFlow has 254.
MAX_DIMENSIONS = 64
# A proto of a few bytes may claim any shape. At most so many values are filled in beyond those it has.
MAX_IMPLIED = 1 << 26
# What a repeated string takes for each byte of its place in the array: it is copied for the runtime, and answered.
_STRING_SHARE = 4
# What a string takes beyond its bytes, as the bytes of a large message count: an eighth of the 85 that were measured.
_STRING_BYTES = 11
# From so many bytes on, what is not in the message is counted.
COUNTED_BYTES = 1 << 20
# As many values are read or written in one step: between two of them other threads run, and only their Python objects
# are in memory.
_STEP = 1 << 16


# Types that TensorFlow has, but that no signature here can take (quantized types, handles, ...).
_FOREIGN = frozenset(types_pb2.DataType.values()) - set(_KINDS) - {types_pb2.DT_INVALID}


class TensorError(ValueError):
    """A TensorProto does not describe a tensor."""


class ForeignTensorError(TensorError):
    """A tensor has a type that cannot be fed. `number` is its dtype."""

    def __init__(self, number: int) -> None:
        super().__init__(f"dtype {number} is not supported")
        self.number = number


def dtype_number(dtype: np.dtype) -> int:
    """The number of a numpy dtype in protos; 0 (DT_INVALID) when it is not supported."""
    return _NUMBERS.get(np.dtype(object) if dtype.kind in "OSU" else dtype.newbyteorder("<"), 0)


def numpy_dtype(number: int) -> np.dtype:
    """The numpy dtype of a dtype number. Raises `KeyError` when it is not supported."""
    return _KINDS[number][0]


def type_name(number: int) -> str:
    """The name of a dtype in TensorFlow's errors: `float`, `int32`, `half`."""
    try:
        return str(types_pb2.DataType.Name(number))[3:].lower()
    except ValueError:
        return f"unknown dtype enum ({number})"


def decode(proto: tensor_pb2.TensorProto, claim: Callable[[int], object] | None = None) -> np.ndarray:
    """The proto's tensor. Numbers in `tensor_content` are not copied: the array is a view. Raises `TensorError`.

    `claim` is called with the bytes that it takes beyond those of its values, if they are many; it may raise.
    """
    if proto.dtype in _FOREIGN and proto.dtype < 100:
        raise ForeignTensorError(proto.dtype)
    if proto.dtype not in _KINDS:
        raise TensorError(f"dtype {proto.dtype} is not a type")
    dtype, field = _KINDS[proto.dtype]
    # TensorFlow does not look at `unknown_rank` here, either.
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    count = math.prod(shape)
    too_many = len(shape) > MAX_DIMENSIONS
    # numpy needs the bytes without the empty dimensions to be an int64, as TensorFlow needs it of the elements.
    extent = math.prod(size or 1 for size in shape) * dtype.itemsize
    if too_many or any(size < 0 for size in shape) or extent >= 2**63:
        raise TensorError(f"shape {shape} is not a tensor's")
    # TensorFlow reads no values of a tensor without elements, whatever was sent.
    if not count:
        return np.empty(shape, dtype)
    # `content` is read once, because each access to the field copies it.
    if content := proto.tensor_content:
        if field == "string_val":
            claim_strings(claim, min(count, len(content)))
            return _from_string_content(content, count).reshape(shape)
        if len(content) != count * dtype.itemsize:
            raise TensorError(f"{len(content)} bytes for {count} elements of {dtype.itemsize}")
        if field == "bool_val" and content.strip(b"\0\1"):
            raise TensorError("a byte of a bool is neither 0 nor 1")
        return np.frombuffer(content, dtype).reshape(shape)
    values = getattr(proto, field)
    if count > MAX_IMPLIED + len(values):
        raise TensorError(f"{len(values)} values for a shape of {count}")
    implied = (count - len(values)) * dtype.itemsize
    if field == "string_val":
        implied = implied * _STRING_SHARE + len(values) * _STRING_BYTES
    _count(claim, implied)
    return _from_list(values, field, dtype, count).reshape(shape)


def claim_strings(claim: Callable[[int], object] | None, count: int) -> None:
    """Count what so many strings of a request take beyond their bytes; `claim` as for `decode`."""
    _count(claim, count * _STRING_BYTES)


def _count(claim: Callable[[int], object] | None, size: int) -> None:
    if claim is not None and size >= COUNTED_BYTES:
        claim(size)


def encode(array: np.ndarray, proto: tensor_pb2.TensorProto, as_content: bool) -> None:
    """Write an array into an empty proto: `tensor_content` with `as_content` (never for strings), else the typed list.

    Raises `ServingError` for a type that is not supported.
    """
    number = dtype_number(array.dtype)
    if number not in _KINDS:
        raise ServingError(Code.UNIMPLEMENTED, f"Outputs of type {array.dtype} are not served.")
    proto.dtype = number
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    field = _KINDS[number][1]
    if field == "string_val":
        for items in _steps(array.ravel()):
            # The runtime gives only bytes; these need no conversion.
            if set(map(type, items)) - {bytes}:
                items = [item if isinstance(item, bytes) else str(item).encode() for item in items]
            proto.string_val.extend(items)
    elif as_content:
        proto.tensor_content = array.tobytes()
    elif field == "half_val":
        _extend(proto.half_val, array.ravel().view(np.uint16))
    elif field.endswith("complex_val"):
        parts = np.float32 if field == "scomplex_val" else np.float64
        _extend(getattr(proto, field), np.ascontiguousarray(array).ravel().view(parts))
    else:
        _extend(getattr(proto, field), array.ravel())


def _steps(values: Any) -> Iterator[list[Any]]:
    """An array [N] or a proto's list as Python values, some at a time."""
    for start in range(0, len(values), _STEP):
        part = values[start : start + _STEP]
        yield part.tolist() if isinstance(part, np.ndarray) else part


def _extend(target: Any, array: np.ndarray) -> None:
    for items in _steps(array):
        target.extend(items)


def _from_string_content(content: bytes, count: int) -> np.ndarray:
    """Strings in TensorFlow's packed form: all lengths as 32-bit varints, then the bytes of all strings.

    Source: tsl/platform/tensor_coding.cc, DecodeStringList. Raises `TensorError`.
    """
    # Each length takes at least one byte, so there cannot be more strings than bytes. This is checked first, before the
    # array is made.
    if count > len(content):
        raise TensorError(f"{len(content)} bytes for {count} strings")
    codes = np.frombuffer(content, np.uint8)
    # The bytes that end a length, as far as `count` lengths of at most five bytes reach.
    ends = np.flatnonzero(codes[: 5 * count] < 0x80)[:count]
    if len(ends) < count:
        raise TensorError("the lengths of the strings are cut short")
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
    position = int(starts[-1])
    widths = np.diff(starts)
    if count and widths.max() > 5:
        raise TensorError("the length of a string has more than 32 bits")
    sizes = np.zeros(count, np.int64)
    for place in range(int(widths.max()) if count else 0):
        there = widths > place
        sizes[there] |= (codes[starts[:-1][there] + place].astype(np.int64) & 0x7F) << (7 * place)
    sizes &= 0xFFFFFFFF
    if int(sizes.sum()) != len(content) - position:
        raise TensorError(f"{len(content) - position} bytes for strings of {int(sizes.sum())}")
    array = np.empty(count, object)
    for index, size in enumerate(sizes.tolist()):
        array[index] = content[position : position + size]
        position += size
    return array


def _from_list(values: Sequence[Any], field: str, dtype: np.dtype, count: int) -> np.ndarray:
    if field == "string_val":
        array = np.empty(count, object)
        array[len(values) :] = values[-1] if values else b""
        for start in range(0, min(len(values), count), _STEP):
            stop = min(start + _STEP, count, len(values))
            array[start:stop] = values[start:stop]
        return array
    if field == "half_val":
        given: np.ndarray = _numbers(values, np.uint32, np.uint16).view(dtype)
    elif field.endswith("complex_val"):
        parts = np.float32 if field == "scomplex_val" else np.float64
        given = _numbers(values, parts, parts)
        given = given[: len(given) // 2 * 2].view(dtype)
    else:
        # The cast goes through 64 bits: so a value that is too large for a small type wraps as in C++, and is no error.
        given = _numbers(values, np.int64 if field == "int_val" else dtype, dtype)
    if len(given) >= count:
        return given[:count]
    return np.concatenate([given, np.full(count - len(given), given[-1] if len(given) else 0, dtype)])


def _numbers(values: Sequence[Any], wide: Any, dtype: Any) -> np.ndarray:
    """A proto's list of numbers as `dtype`, by way of `wide`."""
    if len(values) <= _STEP:
        return np.array(values, wide).astype(dtype, copy=False)
    array = np.empty(len(values), dtype)
    for start in range(0, len(values), _STEP):
        array[start : start + _STEP] = np.array(values[start : start + _STEP], wide).astype(dtype, copy=False)
    return array
