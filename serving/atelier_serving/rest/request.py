"""A request over HTTP, and its body unpacked."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from atelier_serving.rest.document_memory import DocumentMemory, LargeDocument
from atelier_serving.rest.json.document import LARGE

# A path with one is no URL.
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# util/net_http/compression/gzip_zlib.h
MAX_GUNZIPPED = 100 * 1024 * 1024
_UNPACKED_AT_A_TIME = 1024 * 1024
_PACKED_AT_A_TIME = 64 * 1024


@dataclass
class Request:
    """One request. `path` is percent-encoded as it came, without the query. Header names are in lower case.

    `packings` are the content encodings that are unpacked: `gzip`, or that and `deflate`.

    `memory` counts the bytes of all documents. `large` are the bytes of this one, or of its answer; None as long as
    both are small. Who sends the answer ends it afterwards.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    memory: DocumentMemory
    large: LargeDocument | None = None
    packings: tuple[str, ...] = ("gzip",)

    @property
    def packed(self) -> bool:
        """True when the body is compressed."""
        encoding = self.headers.get("content-encoding")
        return encoding is not None and any(packing in encoding for packing in self.packings)

    def unpacked(self, spend: Callable[[int], object]) -> bytes:
        """The body of a packed request unpacked. A broken one, or one that is larger than the limit, is empty.

        `spend` is called with the number of bytes of each piece.
        """
        return _unpacked(self.body, spend, self._window())

    def _window(self) -> int:
        """zlib's number for the forms that are read: gzip alone as in TensorFlow Serving, or both."""
        return zlib.MAX_WBITS + (32 if "deflate" in self.packings else 16)

    def is_large(self) -> bool:
        """True when the document is so large that it must be read piece by piece."""
        if len(self.body) > LARGE or not self.packed:
            return len(self.body) > LARGE
        reader = zlib.decompressobj(wbits=self._window())
        try:
            return len(reader.decompress(self.body, LARGE + 1)) > LARGE
        except zlib.error:
            return False


def _unpacked(body: bytes, spend: Callable[[int], object], window: int) -> bytes:
    reader = zlib.decompressobj(wbits=window)
    # Its buffer grows in place and is given away: no copy.
    whole = io.BytesIO()
    packed = b""
    position = 0
    try:
        while not reader.eof:
            # What is left of a piece is copied at each step, so the pieces are small.
            if not packed:
                packed = body[position : position + _PACKED_AT_A_TIME]
                position += len(packed)
            piece = reader.decompress(packed, _UNPACKED_AT_A_TIME)
            packed = reader.unconsumed_tail
            if not (piece or packed or reader.eof or position < len(body)):
                return b""
            spend(len(piece))
            whole.write(piece)
            if whole.tell() > MAX_GUNZIPPED:
                return b""
    except zlib.error:
        return b""
    return whole.getvalue()
