"""How many bytes the variables of a SavedModel need, from their index: what tells a file that was cut short.

variables.index is a table of LevelDB's format (doc/table_format.md): blocks of entries whose keys share prefixes, an
index block of the blocks, and a footer of 48 bytes. Its values are BundleEntryProto
(tensorflow/core/protobuf/tensor_bundle.proto): shard_id = 3, offset = 4, size = 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from atelier_client.doctor.wire_format import fields, varint

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
_UNCOMPRESSED = 0


def needed_bytes(index: Path) -> dict[int, int]:
    """The size each data shard must have at least, by its number. Raises ValueError for a damaged index."""
    data = index.read_bytes()
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as an index does")
    _, at = varint(data, len(data) - _FOOTER)
    _, at = varint(data, at)
    needed: dict[int, int] = {}
    for _, handle in _entries(_block(data, data, at)):
        for name, value in _entries(_block(data, handle, 0)):
            if not name:
                # The header: how many shards there are.
                continue
            entry = {number: item for number, item in fields(value) if isinstance(item, int)}
            shard, end = entry.get(3, 0), entry.get(4, 0) + entry.get(5, 0)
            needed[shard] = max(needed.get(shard, 0), end)
    return needed


def _block(data: bytes, handle: bytes, at: int) -> bytes:
    start, at = varint(handle, at)
    size, _ = varint(handle, at)
    if start + size + 1 > len(data):
        raise ValueError("a block lies outside the file")
    if data[start + size] != _UNCOMPRESSED:
        raise ValueError("a block is compressed")
    return data[start : start + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    (restarts,) = struct.unpack("<I", block[-4:])
    end, at, key = len(block) - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = varint(block, at)
        own, at = varint(block, at)
        size, at = varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size
