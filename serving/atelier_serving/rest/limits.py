"""Limits of the HTTP side: connections, slow and endless headers, slow and huge bodies."""

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
# Of one address: what one client opens by mistake must not shut out all others.
MAX_OF_A_PEER = 750
# Answered on any connection: what a probe sees must not depend on how many clients there are.
_PROBES = (b"/healthz", b"/readyz")
# A request line and headers.
MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 10.0
# All bodies that are being received or answered at one time; one body alone may be as large.
MAX_BODY_BYTES = 2**30


# What httptools reads; of another method TensorFlow Serving says 501, where uvicorn would say 400.
_METHOD = re.compile(rb"([A-Za-z]+) ")
_READ = {b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"}
_PAGE = html_page("501 Not Implemented")
_UNKNOWN_METHOD = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/html; charset=ISO-8859-1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_PAGE), _PAGE)
)


# How many connections each address has, in this process's one event loop.
_of_peer: Counter[str] = Counter()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, closing connections whose headers come too slowly or do not end.

    An offer to go on with another protocol (`Upgrade: h2c`, which Java's client and `curl --http2` make) is ignored.
    uvicorn takes the rest of the connection for that protocol's, the request's body included.
    """

    # The server is stopping: each answer is its connection's last.
    closing = False

    def connection_made(self, transport: Any) -> None:
        """A connection has HEADER_SECONDS for its first request's headers; after that uvicorn's keep-alive rules."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._unknown = False
        self._offered = False
        self._peer = self.client[0] if self.client else ""
        _of_peer[self._peer] += 1
        self._header_timer = self.loop.call_later(HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the headers end."""
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
                # As uvicorn sets it.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """The request could not be read."""
        if self._unknown:
            self.transport.write(_UNKNOWN_METHOD)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """The headers with the offer are read; what follows them is not."""
        error = sys.exception()
        if self._offered and isinstance(error, httptools.HttpParserUpgrade):
            raise _OfferError(error.args[0])

    def _without_offer(self) -> bytes:
        """The request's head anew."""
        lines = [b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [part for part in value.split(b",") if part.strip().lower() != b"upgrade"]
                value = b",".join(kept)
            if name not in (b"upgrade", b"http2-settings"):
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

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
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offered:
            return
        allowed = MAX_CONNECTIONS if _of_peer[self._peer] <= MAX_OF_A_PEER else 0
        probe = self.url.partition(b"?")[0] in _PROBES
        self.limit_concurrency = None if probe else allowed
        super().on_headers_complete()
        # As libevent does, which TensorFlow Serving's HTTP server stands on.
        if self.scope["http_version"] == "1.0" and self.parser.should_keep_alive():
            self.cycle.keep_alive = True
            self.cycle.default_headers = [*self.cycle.default_headers, (b"connection", b"keep-alive")]
        if self.closing or len(self.connections) >= MAX_CONNECTIONS or not allowed:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The body is all here, unless it is still to be read without the offer."""
        if not self._offered:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to be closed."""
        _of_peer[self._peer] -= 1
        if not _of_peer[self._peer]:
            del _of_peer[self._peer]
        self._header_timer.cancel()
        super().connection_lost(exc)


class _OfferError(Exception):
    """A request offers another protocol; `position` is where its headers end in what has been received."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position


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
