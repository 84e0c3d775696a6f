"""Limits of the HTTP server: the number of connections, the time and size of headers and of bodies."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections import Counter
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from atelier_serving.rest.answer import html_page
from atelier_serving.rest.json.document import LARGE
from atelier_serving.rest.whole_answers import WholeAnswers

MAX_CONNECTIONS = 1000
# Connections of one address: a client that opens too many must not lock out all others.
MAX_OF_A_PEER = 750
# These pages are served on any connection: the result of a probe must not depend on the number of clients.
_PROBES = (b"/healthz", b"/readyz", b"/v2/health/live", b"/v2/health/ready")
# A request line and headers.
MAX_HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 10.0
# The bytes of all bodies in memory. A single body may be as large.
MAX_BODY_BYTES = 2**30
# What a body may have around it for each of its bytes: the lines of tiny chunks.
_MOST_AROUND = 16


# A request that cannot be read is answered as libevent does, on which TensorFlow Serving's HTTP server stands.
_METHOD = re.compile(rb"[\r\n]*[A-Za-z][\w-]*( |$)")
# Methods that httptools knows, without taking a path for them.
_TUNNELS = (b"CONNECT ", b"PRI ")


# The number of connections of each address. Only the event loop uses it.
_of_peer: Counter[str] = Counter()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol. It closes connections whose headers come too slowly or are too long.

    It ignores an offer of another protocol (`Upgrade: h2c`; Java's client and `curl --http2` send it). uvicorn would
    take the rest of the connection, with the body of the request, for data of the other protocol.
    """

    # True when the server stops: then each answer is the last one of its connection.
    closing = False
    # A client that takes nothing of its answer for so long is gone.
    answer_seconds = 30.0

    def connection_made(self, transport: Any) -> None:
        """Give the connection HEADER_SECONDS for its first headers. Later uvicorn's rules of keep-alive apply."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_headers = True
        self._around = 0
        self._body_bytes = 0
        self._offered = False
        self._begun = b""
        self._refusal = b""
        self._answer_timer: asyncio.TimerHandle | None = None
        self._whole = WholeAnswers(transport)
        self._peer = self.client[0] if self.client else ""
        _of_peer[self._peer] += 1
        self._header_timer = self.loop.call_later(HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the headers, and those around a body."""
        if self._refusal:
            return
        if self._in_headers:
            self._header_bytes += len(data)
        else:
            self._around += len(data)
        self._begun = data
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
        if (self._in_headers and self._header_bytes > MAX_HEADER_BYTES) or self._around > MAX_HEADER_BYTES:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """The request could not be read: 501 for an unknown method, after the answers to the requests before it."""
        unknown = isinstance(sys.exception(), httptools.HttpParserInvalidMethodError)
        unknown = bool(_METHOD.match(self._begun)) if unknown else self._begun.startswith(_TUNNELS)
        title = "501 Not Implemented" if unknown else "400 Bad Request"
        body = html_page(title)
        self._refusal = (
            b"HTTP/1.1 %s\r\nContent-Type: text/html; charset=ISO-8859-1\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (title.encode(), len(body), body)
        )
        self._header_timer.cancel()
        waiting = self.cycle is not None and (not self.cycle.response_complete or self.pipeline)
        # A request whose body cannot be read gets no other answer.
        if not waiting or self.cycle.more_body:
            self._refuse()

    def _refuse(self) -> None:
        self.transport.write(self._refusal)
        self.transport.close()

    def on_response_complete(self) -> None:
        """An answer has been given: what could not be read comes after the last one."""
        last = not self.pipeline
        self._whole.flush()
        super().on_response_complete()
        if self._refusal and last and not self.transport.is_closing():
            self._refuse()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. Many shut down their side after a request, and then read its answer.

        True keeps the connection for the answers to the requests that are whole. Not while a large document may be
        read: that ends when its client has gone, and both look the same. TLS connections have no half.
        """
        cycle = self.cycle
        if self.scheme != "http" or cycle is None or cycle.more_body or cycle.response_complete:
            return False
        packed = any(name == b"content-encoding" for name, _ in cycle.scope["headers"])
        if packed or self._body_bytes > LARGE:
            return False
        cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """The client takes its answer more slowly than it is written."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(self.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken what was written."""
        super().resume_writing()
        if self._answer_timer:
            self._answer_timer.cancel()

    def _unsupported_upgrade_warning(self) -> None:
        """Called when the headers with the offer are read, before the data after them."""
        error = sys.exception()
        if self._offered and isinstance(error, httptools.HttpParserUpgrade):
            raise _OfferError(error.args[0])

    def _without_offer(self) -> bytes:
        """The request line and headers again, without the offer."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
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
        self._around = 0
        self._body_bytes = 0
        self._header_timer.cancel()
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._offered:
            return
        allowed = MAX_CONNECTIONS if _of_peer[self._peer] <= MAX_OF_A_PEER else 0
        probe = self.url.partition(b"?")[0] in _PROBES
        self.limit_concurrency = None if probe else allowed
        super().on_headers_complete()
        self.cycle.transport = self._whole  # type: ignore[assignment]
        # As libevent does, on which TensorFlow Serving's HTTP server is based.
        if self.scope["http_version"] == "1.0" and self.parser.should_keep_alive():
            self.cycle.keep_alive = True
            self.cycle.default_headers = [*self.cycle.default_headers, (b"connection", b"keep-alive")]
        if self.closing or len(self.connections) >= MAX_CONNECTIONS or not allowed:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._around = max(0, self._around - len(body) * (1 + _MOST_AROUND))
        self._body_bytes += len(body)
        super().on_body(body)

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
        if self._answer_timer:
            self._answer_timer.cancel()
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
        self._most = MAX_BODY_BYTES
        self._held = 0

    def start(self, free: int) -> None:
        """Bodies may have a quarter of the `free` bytes, and `MAX_BODY_BYTES`."""
        self._most = min(free // 4, MAX_BODY_BYTES)

    async def read(self, receive: Any) -> tuple[bytes, int]:
        """The whole body, and an HTTP status: 200, 413, 408 or 499. The caller must `release` the body."""
        # The body is one buffer. A buffer of some megabytes has its own pages, which are returned to the system at
        # once. A list of pieces would fragment the heap and stay there.
        body = io.BytesIO()
        try:
            async with asyncio.timeout(self._seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return self._given_up(body), 499
                    part = message.get("body", b"")
                    self._held += body.write(part)
                    if self._held > self._most:
                        return self._given_up(body), 413
                    more = message.get("more_body", False)
        except TimeoutError:
            return self._given_up(body), 408
        return body.getvalue(), 200

    def release(self, size: int) -> None:
        """Stop counting a body of `size` bytes."""
        self._held -= size

    def _given_up(self, body: io.BytesIO) -> bytes:
        self._held -= body.tell()
        return b""
