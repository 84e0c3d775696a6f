"""ndarray to the wire's Tensor and back.

Rules of decoding: tensorflow/core/framework/tensor.cc, Tensor::FromProto. Sending uses `tensor_content` for numbers,
which is the array's own memory, and `string_val` for strings.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import InputError, ServerFailure, UnsupportedType
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
BFLOAT16 = 14
DTYPES: dict[int, np.dtype[Any]] = {number: np.dtype(kind) for number, _, kind, _ in _TABLE}
NAMES: dict[int, str] = {
    **{number: name for number, name, _, _ in _TABLE},
    STRING: "string",
    BFLOAT16: "bfloat16",
}
BY_NAME: dict[str, np.dtype[Any]] = {name: np.dtype(kind) for _, name, kind, _ in _TABLE}
# The key is dtype.str: looking up a dtype takes 20 times as long, because its hash is computed each time.
_NUMBERS: dict[str, int] = {np.dtype(kind).str: number for number, _, kind, _ in _TABLE}
# The tag of tensor_content: field 4, length-delimited (https://protobuf.dev/programming-guides/encoding/#structure)
_CONTENT_TAG = b"\x22"
# The values may take so many bytes even when the message is smaller.
_MOST_FILLED = 1 << 28
_FIELDS: dict[int, str] = {number: field for number, _, _, field in _TABLE}


def as_array(value: Any) -> NDArray[Any]:
    """As np.asarray, but strings become objects: NumPy's own strings lose zero bytes at their end.

    Raises `InputError` for nested lists of different lengths.
    """
    if isinstance(value, np.ndarray):
        return _unmasked(value)
    if isinstance(value, (list, tuple)):
        value = _all_unmasked(value)
    try:
        array = np.asarray(value)
    except UnicodeDecodeError:
        # bytes beside str
        return np.asarray(value, object)
    except ValueError as error:
        raise InputError(
            f"Not a rectangular array: {str(error).rstrip('.')}. Items of different shapes go in requests of their own."
        ) from None
    if array.dtype == np.float64 and isinstance(value, (list, tuple)) and (array >= 2.0**63).any():
        return _whole(array, np.asarray(value, object))
    return np.asarray(value, object) if array.dtype.kind in "SU" else array


def _whole(array: NDArray[Any], exact: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers beyond int64 as uint64. Beside smaller ones, NumPy would make them floats. Floats stay floats."""
    items = exact.ravel().tolist()
    if not all(type(item) is int for item in items):
        return array
    if min(items) < 0 or max(items) >= 2**64:
        raise InputError(f"Whole numbers from {min(items)} to {max(items)} fit no 64-bit integer.")
    return exact.astype(np.uint64)


def _unmasked(array: NDArray[Any]) -> NDArray[Any]:
    """A masked array's values when none is masked; a masked cell has no value that could be sent."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    masked = int(np.ma.getmaskarray(array).sum())
    if masked:
        raise InputError(
            f"{masked} of {array.size} values are masked. Fill them (array.filled(value)), or leave out their rows."
        )
    return np.asarray(array.data)


def _all_unmasked(values: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    """Nested lists without masked arrays in them; NumPy would read over the masks."""
    kinds = set(map(type, values))
    if not any(issubclass(kind, (list, tuple, np.ma.MaskedArray)) for kind in kinds):
        return values
    return [
        _all_unmasked(item)
        if isinstance(item, (list, tuple))
        else _unmasked(item)
        if isinstance(item, np.ndarray)
        else item
        for item in values
    ]


def encode(array: NDArray[Any]) -> tuple[bytes, memoryview]:
    """An array as a serialized Tensor, in two parts to be joined: its head, and the content, the array's own memory.

    A message would copy the content when it is set and again when it is serialized. Raises `UnsupportedType`.
    """
    if array.dtype.kind in "OSU":
        message = _message(STRING, array.shape)
        message.string_val.extend(_text(item) for item in array.ravel().tolist())
        return message.SerializeToString(), memoryview(b"")
    array = sendable(array)
    return _head(array.dtype.str, array.shape, array.nbytes), np.ascontiguousarray(array).data


def sendable(array: NDArray[Any]) -> NDArray[Any]:
    """An array of numbers, little endian. Raises `UnsupportedType` for a dtype that the wire does not have."""
    if array.dtype.str in _NUMBERS:
        return array
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in _NUMBERS:
        raise UnsupportedType(f"dtype {dtype} cannot be sent; known: {', '.join(sorted(BY_NAME))}, string.")
    return array.astype(dtype)


def strings(array: NDArray[Any]) -> NDArray[Any]:
    """An array of strings with `bytes` for its items. Raises `UnsupportedType` for one that is no string."""
    items = np.empty(array.size, object)
    items[:] = [_text(item) for item in array.ravel().tolist()]
    return items.reshape(array.shape)


def varint(number: int) -> bytes:
    """A number from 0 as protobuf writes it (https://protobuf.dev/programming-guides/encoding/#varints)."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


@lru_cache(256)
def _head(kind: str, shape: tuple[int, ...], size: int) -> bytes:
    """The bytes of a Tensor before its content. Cached, because the next request mostly has the same."""
    head = _message(_NUMBERS[kind], shape).SerializeToString()
    return head + _CONTENT_TAG + varint(size) if size else head


def _message(number: int, shape: tuple[int, ...]) -> pb.Tensor:
    message = pb.Tensor(dtype=number)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


def decode(tensor: pb.Tensor) -> NDArray[Any]:
    """The message's array; from `tensor_content` a read-only view without a copy. Raises `ServerFailure`."""
    shape = _shape(tensor.tensor_shape.SerializeToString())
    count = _count(tensor, shape)
    if tensor.dtype == STRING:
        strings = np.empty(count, object)
        if tensor.tensor_content:
            strings[:] = _packed_strings(tensor.tensor_content, count)
        else:
            items = list(tensor.string_val)
            strings[:] = items if len(items) == count else _repeated(items, count)
        return strings.reshape(shape)
    if tensor.dtype == BFLOAT16:
        return _bfloat16(tensor, shape)
    if tensor.dtype not in DTYPES:
        raise ServerFailure(
            f"The server sent a tensor of dtype {NAMES.get(tensor.dtype, tensor.dtype)}; not supported."
        )
    dtype = DTYPES[tensor.dtype]
    content = tensor.tensor_content
    if content:
        if len(content) != count * dtype.itemsize:
            raise ServerFailure(f"The server sent {len(content)} bytes for a tensor of shape {shape}.")
        return np.ndarray(shape, dtype, content)
    # As a list: NumPy takes twice as long over the message's own sequence.
    values = getattr(tensor, _FIELDS[tensor.dtype])[:]
    # float16 travels as the bits of its values.
    given = np.array(values, np.uint16).view(dtype) if dtype.str == "<f2" else np.array(values, dtype)
    return _filled(given, count).reshape(shape)


def _count(tensor: pb.Tensor, shape: tuple[int, ...]) -> int:
    """How many values the shape has. Raises `ServerFailure` when they are too many for a message of this size."""
    count = math.prod(shape)
    # NumPy has at most 64 dimensions, and no shape beyond this, not even an empty one.
    too_large = len(shape) > 64 or math.prod(size or 1 for size in shape) >= 2**59
    if too_large or any(size < 0 for size in shape):
        raise ServerFailure(f"The server sent a tensor of shape {shape}.")
    # TensorFlow's rule: the last value repeats for those not sent. So a message of a few bytes could fill any memory.
    if count * 8 > _MOST_FILLED and count > 8 * tensor.ByteSize():
        raise ServerFailure(
            f"The server sent a tensor of shape {shape}, {count:,} values, in {tensor.ByteSize():,} bytes."
        )
    return count


@lru_cache(256)
def _shape(serialized: bytes) -> tuple[int, ...]:
    """The sizes of a serialized TensorShape. Cached: reading them is a third of the work for a small tensor."""
    return tuple(dim.size for dim in pb.TensorShape.FromString(serialized).dim)


def _bfloat16(tensor: pb.Tensor, shape: tuple[int, ...]) -> NDArray[Any]:
    """NumPy has no bfloat16; it is the upper half of a float32, which holds each of its values."""
    count = math.prod(shape)
    if tensor.tensor_content and len(tensor.tensor_content) != 2 * count:
        raise ServerFailure(
            f"The server sent {len(tensor.tensor_content)} bytes for a tensor of shape {shape}."
        )
    bits = (
        np.frombuffer(tensor.tensor_content, "<u2")
        if tensor.tensor_content
        else _filled(np.array(tensor.half_val, "<u2"), count)
    )
    return (bits.astype("<u4") << 16).view("<f4").reshape(shape)


def _filled(given: NDArray[Any], count: int) -> NDArray[Any]:
    """When the message has fewer values than the shape, the last one repeats; without any value, all are 0."""
    if len(given) < count:
        rest = np.full(count - len(given), given[-1] if len(given) else 0, given.dtype)
        given = np.concatenate([given, rest])
    return given[:count]


def utf8(text: str) -> bytes:
    """The text's bytes. Raises `InputError` for half of a surrogate pair, which a JSON escape can produce."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{text[:60]!r} is no text: character {error.start + 1} is half of one (a lone surrogate)."
        ) from None


def _text(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return utf8(item)
    raise UnsupportedType(f"a string tensor holds {type(item).__name__} {item!r}; expected str or bytes.")


def _packed_strings(content: bytes, count: int) -> list[bytes]:
    """Strings as TensorFlow packs them: their lengths as 32-bit varints, then the bytes one after the other.

    A server does so with --enable_serialization_as_tensor_content. Source: tsl/platform/tensor_coding.cc,
    DecodeStringList. Raises `ServerFailure`.
    """
    position, sizes = 0, []
    for _ in range(min(count, len(content) + 1)):
        size = 0
        for shift in range(0, 35, 7):
            byte = content[position] if position < len(content) else 0xFF
            position += 1
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise ServerFailure(f"The server sent {len(content)} bytes that are not {count:,} strings.")
        sizes.append(size & 0xFFFFFFFF)
    if len(sizes) != count or position + sum(sizes) != len(content):
        raise ServerFailure(f"The server sent {len(content)} bytes that are not {count:,} strings.")
    strings = []
    for size in sizes:
        strings.append(content[position : position + size])
        position += size
    return strings


def _repeated(values: Any, count: int) -> list[bytes]:
    """A list shorter than the shape repeats its last value; an empty one means empty strings."""
    items = list(values)[:count]
    return items + [items[-1] if items else b""] * (count - len(items))
