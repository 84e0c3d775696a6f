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
    Format: the table at the end of the MNIST database's page (magic 0x00 0x00 type rank, then rank sizes).
    """
    raw = np.memmap(path, dtype=np.uint8, mode="r")
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
