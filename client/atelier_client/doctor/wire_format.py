"""Reads protobuf's wire format, so that the client can read a SavedModel without TensorFlow's message types.

https://protobuf.dev/programming-guides/encoding/: a field is a varint (number * 8 + wire type) and its value.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT = 0
_FIXED64 = 1
_BYTES = 2
_FIXED32 = 5


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Each field's number and value: an int for a varint, else bytes. Raises ValueError for damaged data."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"a field of {size:,} bytes at byte {at:,}, but it ends at {len(data):,}")
        yield key >> 3, data[at : at + size]
        at += size


def nested(data: bytes, *path: int) -> Iterator[bytes]:
    """The bytes of every field at a path of field numbers through nested messages."""
    if not path:
        yield data
        return
    for number, value in fields(data):
        if number == path[0] and isinstance(value, bytes):
            yield from nested(value, *path[1:])


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at position `at`, and the position after it. Raises ValueError."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError(f"no number at byte {at:,}")
        byte = data[at]
        value |= (byte & 127) << shift
        at = at + 1
        shift = shift + 7
        if byte < 128:
            return value, at
