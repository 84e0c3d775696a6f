"""Checks the variables of a SavedModel against their index: finds files that are cut short or overwritten.

variables.index is a table in LevelDB's format (doc/table_format.md). It has blocks of entries, an index of the blocks,
and a footer of 48 bytes. The keys in a block share prefixes. Its values are BundleEntryProto
(tensorflow/core/protobuf/tensor_bundle.proto): dtype = 1, shape = 2, shard_id = 3, offset = 4, size = 5, crc32c = 6.
Checksums are masked CRC-32C. That of a block includes the type byte after the block; that of a tensor is of its bytes.

A tensor of strings is stored as their lengths in varints, the masked checksum of the lengths, and the strings. Its
checksum is that of the lengths in 32 bits each (64 for a longer one), the four bytes after them, and the strings
(tensorflow/core/util/tensor_bundle/tensor_bundle.cc, WriteStringTensor).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier_client._files import read_bytes
from atelier_client.doctor.wire_format import fields, nested, varint

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
_UNCOMPRESSED = 0
_STRING = 7
_MASK_DELTA = 0xA282EAD8
_PIECE = 1 << 22


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's bytes are, and their checksum. `strings` is the number of strings, or None for numbers."""

    name: str
    shard: int
    offset: int
    size: int
    checksum: int | None
    strings: int | None


def read_index(index: Path) -> list[StoredTensor]:
    """The tensors of variables.index. Raises ValueError when it is damaged."""
    data = read_bytes(index)
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as an index does")
    _, at = varint(data, len(data) - _FOOTER)
    _, at = varint(data, at)
    tensors = []
    for _, handle in _entries(_block(data, data, at)):
        for name, value in _entries(_block(data, handle, 0)):
            if not name:
                # This entry is the header. It says how many shards there are.
                continue
            entry = dict(fields(value))
            dtype, shard, offset, size = (_whole(entry.get(number, 0)) for number in (1, 3, 4, 5))
            checksum = entry.get(6)
            proto = entry.get(2, b"")
            sizes = (
                [_whole(dict(fields(dim)).get(1, 0)) for dim in nested(proto, 2)]
                if isinstance(proto, bytes)
                else []
            )
            tensors.append(
                StoredTensor(
                    name.decode(errors="replace"),
                    shard,
                    offset,
                    size,
                    int.from_bytes(checksum, "little") if isinstance(checksum, bytes) else None,
                    math.prod(sizes) if dtype == _STRING else None,
                )
            )
    return tensors


def needed_bytes(tensors: Sequence[StoredTensor]) -> dict[int, int]:
    """The smallest size that each data shard must have, by shard number."""
    needed: dict[int, int] = {}
    for tensor in tensors:
        needed[tensor.shard] = max(needed.get(tensor.shard, 0), tensor.offset + tensor.size)
    return needed


def damaged(tensors: Sequence[StoredTensor], shard: int, path: Path) -> str | None:
    """The first tensor of a shard whose checksum differs from the index, or None."""
    import google_crc32c

    with open(path, "rb") as handle:
        for tensor in sorted(tensors, key=lambda item: item.offset):
            if tensor.shard != shard or tensor.checksum is None:
                continue
            handle.seek(tensor.offset)
            if tensor.strings is not None:
                checksum = _of_strings(handle.read(tensor.size), tensor.strings)
            else:
                checksum = 0
                left = tensor.size
                while left and (block := handle.read(min(left, _PIECE))):
                    checksum = google_crc32c.extend(checksum, block)
                    left -= len(block)
            if checksum is None or masked(checksum) != tensor.checksum:
                return tensor.name
    return None


def _of_strings(stored: bytes, count: int) -> int | None:
    """The checksum of a tensor of strings; None when their lengths do not fit what is stored."""
    import google_crc32c

    at = 0
    lengths = []
    try:
        for _ in range(count):
            length, at = varint(stored, at)
            lengths.append(length)
    except (ValueError, IndexError):
        return None
    if at + 4 + sum(lengths) != len(stored):
        return None
    packed = b"".join(length.to_bytes(4 if length < 1 << 32 else 8, "little") for length in lengths)
    return int(google_crc32c.extend(google_crc32c.value(packed), stored[at:]))


def masked(checksum: int) -> int:
    """The checksum as the file stores it: rotated, plus a constant (tensorflow/core/lib/hash/crc32c.h)."""
    return (((checksum >> 15) | (checksum << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _whole(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a number is missing in it")
    return value


def _block(data: bytes, handle: bytes, at: int) -> bytes:
    import google_crc32c

    start, at = varint(handle, at)
    size, _ = varint(handle, at)
    if start + size + 1 > len(data):
        raise ValueError("a block lies outside the file")
    if data[start + size] != _UNCOMPRESSED:
        raise ValueError("a block is compressed")
    stored = data[start + size + 1 : start + size + 5]
    if masked(google_crc32c.value(data[start : start + size + 1])) != int.from_bytes(stored, "little"):
        raise ValueError("a block has another checksum than was written")
    return data[start : start + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    at = 0
    key = b""
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        size, at = varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size
