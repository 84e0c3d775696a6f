"""IDX files of unsigned bytes (the format of MNIST and its successors), gzipped or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import DataError

_UNSIGNED_BYTES = 0x08


def read_idx(path: Path) -> tuple[NDArray[Any], bytes]:
    """The array (uint8, shape of the header) and the uncompressed file. Raises `DataError`."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _UNSIGNED_BYTES or len(raw) < 4 + 4 * raw[3]:
        raise DataError(
            f"{path}: expected an IDX file of unsigned bytes, got one that starts with {raw[:4]!r}."
        )
    start = 4 + 4 * raw[3]
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">u4"))
    if len(raw) - start != math.prod(shape):
        raise DataError(f"{path}: its header promises {math.prod(shape)} bytes, it has {len(raw) - start}.")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape), raw
