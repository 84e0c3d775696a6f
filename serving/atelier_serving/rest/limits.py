"""Limits of the HTTP server: the number of connections, the time and size of headers and of bodies."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from atelier_serving.rest.answer import html_page

MAX_CONNECTIONS = 1000
# Connections of one address: a client that opens too many must not lock out all others.
MAX_OF_A_PEER = 750
# These pages are served on any connection: the result of a probe must not depend on the number of clients.
_PROBES = (b"/healthz", b"/readyz")
# A request line and headers.
MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 10.0
# The bytes of all bodies in memory. A single body may be as large.
MAX_BODY_BYTES = 2**30


# The methods that httptools reads. For others TensorFlow Serving answers 501, uvicorn would answer 400.
_METHOD = re.compile(rb"([A-Za-z]+) ")
_READ = {b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"}
_PAGE = html_page("501 Not Implemented")
_UNKNOWN_METHOD = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/html; charset=ISO-8859-1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_PAGE), _PAGE)
)


# The number of connections of each address. Only the event loop uses it.
_of_peer: Counter[str] = Counter()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol. It closes connections whose headers come too slowly or are too long.

    It ignores an offer of another protocol (`Upgrade: h2c`; Java's client and `curl --http2` send it). uvicorn would
    take the rest of the connection, with the body of the request, for data of the other protocol.
    """

    # True when the server stops: then each answer is the last one of its connection.
    closing = False

    def connection_made(self, transport: Any) -> None:
        """Give the connection HEADER_SECONDS for its first headers. Later uvicorn's rules of keep-alive apply."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._unknown = False
        self._offered = False
        self._peer = self.client[0] if self.client else ""
        _of_peer[self._peer] += 1
        self._header_timer = self.loop.call_later(HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the headers."""
        if self._in_headers:
            method = _METHOD.match(data) if self._header_bytes == 0 else None
            self._unknown = method is not None and method[1] not in _READ
            self._header_bytes += len(data)
        while data:
            self._offered = False
            try:
                super().data_received(data)
                break
            except _OfferError as offer:
                data = self._without_offer() + data[offer.position :]
                self.parser = httptools.HttpRequestParser(self)
                # uvicorn sets this, too.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that could not be read."""
        if self._unknown:
            self.transport.write(_UNKNOWN_METHOD)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Called when the headers with the offer are read, before the data after them."""
        error = sys.exception()
        if self._offered and isinstance(error, httptools.HttpParserUpgrade):
            raise _OfferError(error.args[0])

    def _without_offer(self) -> bytes:
        """The request line and headers again, without the offer."""
        lines = [b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [part for part in value.split(b",") if part.strip().lower() != b"upgrade"]
                value = b",".join(kept)
            if name not in (b"upgrade", b"http2-settings"):
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """Called at the first byte of a request."""
        super().on_message_begin()
        if not self._in_headers:
            self._in_headers = True
            self._header_bytes = 0
            self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        """Called when all headers are read."""
        self._in_headers = False
        self._header_timer.cancel()
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offered:
            return
        allowed = MAX_CONNECTIONS if _of_peer[self._peer] <= MAX_OF_A_PEER else 0
        probe = self.url.partition(b"?")[0] in _PROBES
        self.limit_concurrency = None if probe else allowed
        super().on_headers_complete()
        # As libevent does, on which TensorFlow Serving's HTTP server is based.
        if self.scope["http_version"] == "1.0" and self.parser.should_keep_alive():
            self.cycle.keep_alive = True
            self.cycle.default_headers = [*self.cycle.default_headers, (b"connection", b"keep-alive")]
        if self.closing or len(self.connections) >= MAX_CONNECTIONS or not allowed:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Called when the body is read. After an offer the body is not read yet."""
        if not self._offered:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection has ended."""
        _of_peer[self._peer] -= 1
        if not _of_peer[self._peer]:
            del _of_peer[self._peer]
        self._header_timer.cancel()
        super().connection_lost(exc)


class _OfferError(Exception):
    """A request offers another protocol. `position` is the end of its headers in the data received."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position


class BodyReader:
    """Reads bodies. Each has `seconds` to arrive; all together may have MAX_BODY_BYTES."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held = 0

    async def read(self, receive: Any) -> tuple[bytes, int]:
        """The whole body, and an HTTP status: 200, 413, 408 or 499. The caller must `release` the body."""
        # The body is one buffer. A buffer of some megabytes has its own pages, which are returned to the system at
        # once. A list of pieces would fragment the heap and stay there.
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
        """Stop counting a body of `size` bytes."""
        self._held -= size

    def _given_up(self, body: bytearray) -> bytes:
        self._held -= len(body)
        return b""
