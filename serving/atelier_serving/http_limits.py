"""Limits of the HTTP side: connections, slow and endless headers, slow and huge bodies."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 1000
# A request line and headers.
MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 10.0
# All bodies that are being received or answered at one time; one body alone may be as large.
MAX_BODY_BYTES = 2**30


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, closing connections whose headers come too slowly or do not end."""

    def connection_made(self, transport: Any) -> None:
        """A connection has HEADER_SECONDS for its first request's headers; after that uvicorn's keep-alive rules."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._header_timer = self.loop.call_later(HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the headers end."""
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        if not self._in_headers:
            self._in_headers, self._header_bytes = True, 0
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """The headers are all here."""
        self._in_headers = False
        self._header_timer.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to be closed."""
        self._header_timer.cancel()
        super().connection_lost(exc)


class Bodies:
    """Reads bodies within `seconds` each and MAX_BODY_BYTES together."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._held = seconds, 0

    async def read(self, receive: Any) -> tuple[bytes, int]:
        """The whole body, to be given back with `release`. The number is an HTTP status: 200, 413, 408, or 499."""
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return self._given_up(parts), 499
                    parts.append(message.get("body", b""))
                    self._held += len(parts[-1])
                    if self._held > MAX_BODY_BYTES:
                        return self._given_up(parts), 413
                    more = message.get("more_body", False)
        except TimeoutError:
            return self._given_up(parts), 408
        return parts[0] if len(parts) == 1 else b"".join(parts), 200

    def release(self, body: bytes) -> None:
        """The body has been answered."""
        self._held -= len(body)

    def _given_up(self, parts: list[bytes]) -> bytes:
        self._held -= sum(map(len, parts))
        return b""
