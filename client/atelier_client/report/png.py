"""PNG of a small image, without an imaging library (RFC 2083: signature, IHDR, IDAT, IEND)."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from numpy.typing import NDArray

# Channels and the color type of the header.
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}


def png(image: NDArray[Any]) -> bytes:
    """Encode uint8 [height, width] (0 black) or [height, width, 1|3|4] as a PNG of 8 bits a channel."""
    height, width = image.shape[:2]
    channels = 1 if image.ndim == 2 else image.shape[2]
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOR_TYPES[channels], 0, 0, 0)
    # Each row is preceded by its filter type; 0 leaves it as it is.
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def data_uri(image: NDArray[Any]) -> str:
    """The PNG as a data URI for an HTML page."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
