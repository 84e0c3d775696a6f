"""ndarray to the protocol's raw bytes and back.

Source: open_inference_grpc.proto, `raw_input_contents`: values one after the other, row by row, little endian; of BYTES
each with its length before it, 4 bytes; BOOL is a byte, 0 or 1.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import ServerFailure
from atelier_client.messages.tensors import sendable, strings
from atelier_client.open_inference.datatypes import BF16, BY_DTYPE, BYTES, CLIENT_NAMES, DTYPES
from atelier_client.protos import open_inference_pb2 as pb

_LENGTH = struct.Struct("<I")
# The field of `InferTensorContents` with the values of a datatype. FP16 and BF16 have none: they are sent raw.
_FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def encode(array: NDArray[Any]) -> tuple[str, memoryview]:
    """The datatype of an array and its raw bytes; of numbers the array's own memory. Raises `UnsupportedType`."""
    if array.dtype.kind in "OSU":
        return BYTES, memoryview(packed(strings(array).ravel().tolist()))
    array = sendable(array)
    return BY_DTYPE[array.dtype.str], np.ascontiguousarray(array).data


def packed(items: Sequence[bytes]) -> bytes:
    """Strings as raw BYTES."""
    return b"".join([part for item in items for part in (_LENGTH.pack(len(item)), item)])


def decode(name: str, datatype: str, shape: tuple[int, ...], raw: bytes) -> NDArray[Any]:
    """The array of an output: of numbers a read-only view of the bytes. Raises `ServerFailure`."""
    count = count_of(name, datatype, shape)
    if datatype == BYTES:
        array = np.empty(count, object)
        array[:] = _unpacked(name, raw, shape, count)
        return array.reshape(shape)
    size = 2 if datatype == BF16 else DTYPES[datatype].itemsize
    if len(raw) != count * size:
        raise ServerFailure(
            f"The server sent {len(raw):,} bytes for the output {name!r}; {datatype} of shape {list(shape)} takes "
            f"{count * size:,}."
        )
    if datatype == BF16:
        # NumPy has no bfloat16; it is the upper half of a float32, which holds each of its values.
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    if datatype == "BOOL" and raw.strip(b"\0\1"):
        raise ServerFailure(f"The server sent bytes that are neither 0 nor 1 for the output {name!r}, BOOL.")
    return np.ndarray(shape, DTYPES[datatype], raw)


def from_contents(
    name: str, datatype: str, shape: tuple[int, ...], contents: pb.InferTensorContents
) -> NDArray[Any]:
    """The array of an output whose values are in typed fields. Raises `ServerFailure`."""
    count = count_of(name, datatype, shape)
    if datatype not in _FIELDS:
        raise ServerFailure(
            f"The server sent the output {name!r}, {datatype}, not raw, but only raw it can be."
        )
    values = list(getattr(contents, _FIELDS[datatype]))
    if len(values) != count:
        others = [field.name for field, _ in contents.ListFields() if field.name != _FIELDS[datatype]]
        raise ServerFailure(
            f"The server sent {len(values):,} values in {_FIELDS[datatype]} for the output {name!r}, {datatype} of "
            f"shape {list(shape)}, which has {count:,}"
            + (f" (and some in {', '.join(others)})." if others else ".")
        )
    if datatype == BYTES:
        array = np.empty(count, object)
        array[:] = values
        return array.reshape(shape)
    try:
        return np.array(values, DTYPES[datatype]).reshape(shape)
    except OverflowError:
        raise ServerFailure(
            f"The server sent a value for the output {name!r} that is no {datatype}."
        ) from None


def count_of(name: str, datatype: str, shape: tuple[int, ...]) -> int:
    """How many values the shape has. Raises `ServerFailure` for a datatype that is not known, and for no shape."""
    if datatype not in CLIENT_NAMES:
        raise ServerFailure(
            f"The server sent the output {name!r} with the datatype {datatype!r}; known: {', '.join(CLIENT_NAMES)}."
        )
    # NumPy has at most 64 dimensions, and no shape beyond this, not even an empty one.
    if len(shape) > 64 or any(size < 0 for size in shape) or math.prod(size or 1 for size in shape) >= 2**59:
        raise ServerFailure(f"The server sent the output {name!r} with the shape {list(shape)}.")
    return math.prod(shape)


def _unpacked(name: str, raw: bytes, shape: tuple[int, ...], count: int) -> list[bytes]:
    items: list[bytes] = []
    position = 0
    while position < len(raw):
        start = position + _LENGTH.size
        end = start + _LENGTH.unpack_from(raw, position)[0] if start <= len(raw) else start
        if end > len(raw):
            raise ServerFailure(
                f"The server sent {len(raw):,} bytes for the output {name!r}, BYTES, whose string {len(items) + 1} "
                "ends behind them."
            )
        items.append(raw[start:end])
        position = end
    if len(items) != count:
        raise ServerFailure(
            f"The server sent {len(items):,} strings for the output {name!r}; BYTES of shape {list(shape)} has "
            f"{count:,}."
        )
    return items
