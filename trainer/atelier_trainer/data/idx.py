"""IDX, the file format of MNIST and its successors: a header of big-endian 32-bit integers, then unsigned bytes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from atelier_trainer.errors import DataCorrupt

_UNSIGNED_BYTES = 0x08


def read_idx(path: Path) -> np.ndarray:
    """Return the file's array, uint8, shape as its header says; a read-only view of the mapped file.

    Raises `DataCorrupt` when the header is not IDX of unsigned bytes, or the size does not match it.
    """
    if path.stat().st_size == 0:
        raise DataCorrupt(f"{path} is empty: expected an IDX file of unsigned bytes.")
    return parse_idx(np.memmap(path, dtype=np.uint8, mode="r"), path)


def parse_idx(raw: np.ndarray, path: Path) -> np.ndarray:
    """The array in a file's bytes; `path` is for the error.

    Format: the table at the end of the MNIST database's page (magic 0x00 0x00 type rank, then rank sizes).
    """
    if raw.size < 4 or raw[0] or raw[1] or raw[2] != _UNSIGNED_BYTES or raw.size < 4 + 4 * int(raw[3]):
        raise DataCorrupt(
            f"{path}: expected an IDX file of unsigned bytes, got the header {bytes(raw[:4])!r}."
        )
    rank = int(raw[3])
    shape = tuple(int(size) for size in np.frombuffer(raw[4 : 4 + 4 * rank].tobytes(), dtype=">u4"))
    body = raw[4 + 4 * rank :]
    if body.size != math.prod(shape):
        raise DataCorrupt(
            f"{path}: the header promises {shape} = {math.prod(shape)} bytes, the file has {body.size}."
        )
    return body.reshape(shape)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array of any shape."""
    if array.dtype != np.uint8:
        raise ValueError(f"IDX of unsigned bytes holds uint8, not {array.dtype}")
    header = bytes([0, 0, _UNSIGNED_BYTES, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(header + array.tobytes())
