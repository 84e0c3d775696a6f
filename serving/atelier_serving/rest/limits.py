"""Limits of the HTTP side: connections, slow and endless headers, slow and huge bodies."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 1000
# A request line and headers.
MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 10.0
# All bodies that are being received or answered at one time; one body alone may be as large.
MAX_BODY_BYTES = 2**30


# What httptools reads; of another method TensorFlow Serving says 501, where uvicorn would say 400.
_METHOD = re.compile(rb"([A-Z]+) ")
_READ = {b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"}
_PAGE = b"<HTML><HEAD><TITLE>501 Not Implemented</TITLE></HEAD></HTML>\n"
_UNKNOWN_METHOD = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/html; charset=ISO-8859-1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_PAGE), _PAGE)
)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, closing connections whose headers come too slowly or do not end."""

    def connection_made(self, transport: Any) -> None:
        """A connection has HEADER_SECONDS for its first request's headers; after that uvicorn's keep-alive rules."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._unknown = False
        self._header_timer = self.loop.call_later(HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the headers end."""
        if self._in_headers:
            method = _METHOD.match(data) if self._header_bytes == 0 else None
            self._unknown = method is not None and method[1] not in _READ
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """The request could not be read."""
        if self._unknown:
            self.transport.write(_UNKNOWN_METHOD)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        if not self._in_headers:
            self._in_headers = True
            self._header_bytes = 0
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
        self._seconds = seconds
        self._held = 0

    async def read(self, receive: Any) -> tuple[bytes, int]:
        """The whole body, to be given back with `release`. The number is an HTTP status: 200, 413, 408, or 499."""
        # One buffer: past some megabytes it has pages of its own, which go back to the system at once. A list of pieces
        # is scattered over the heap, and stays there.
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return self._given_up(body), 499
                    part = message.get("body", b"")
                    body += part
                    self._held += len(part)
                    if self._held > MAX_BODY_BYTES:
                        return self._given_up(body), 413
                    more = message.get("more_body", False)
        except TimeoutError:
            return self._given_up(body), 408
        return bytes(body), 200

    def release(self, size: int) -> None:
        """A body of `size` bytes has been answered."""
        self._held -= size

    def _given_up(self, body: bytearray) -> bytes:
        self._held -= len(body)
        return b""
