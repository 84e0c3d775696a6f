"""Connections of HTTP/1.1, kept open between calls, and what an answer that is no answer becomes: a `ServerError`."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc

from atelier_client._targets import Target
from atelier_client._trace_context import HEADER as TRACEPARENT
from atelier_client.errors import SPEAKS_GRPC, SettingsError, from_status
from atelier_client.tls import TLS
from atelier_client.transports.grpc import Token, bearer

Status = grpc.StatusCode
_JSON = {"Content-Type": "application/json"}
# What is said of an answer that is no document.
NO_MODEL_SERVER = "no answer of a model server"
# A server of HTTP/2 begins with a frame of this type, its fourth byte (RFC 9113, section 3.4 and 4.1).
_SETTINGS = "\x04"
# It does so at once; a server of HTTP/1 says nothing first.
_LOOK_SECONDS = 0.5
# The table of model_servers/http_server.cc in reverse. 400 stands for three codes; this is the most frequent.
_CODES = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    409: Status.ABORTED,
    413: Status.RESOURCE_EXHAUSTED,
    429: Status.RESOURCE_EXHAUSTED,
    499: Status.CANCELLED,
    500: Status.INTERNAL,
    501: Status.UNIMPLEMENTED,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.DEADLINE_EXCEEDED,
}


class Terms(NamedTuple):
    """What goes with a call: when it must have ended (time.monotonic()), and its trace."""

    deadline: float
    traceparent: str | None


class Answer(NamedTuple):
    """An answer of HTTP: status, headers, body, and the seconds that it might have taken."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    seconds: float


class HttpConnections:
    """Keeps connections open between calls, as many as there were calls at the same time. Thread-safe."""

    def __init__(self, target: Target, tls: TLS | None, token: Token | None, proxy: bool) -> None:
        self._target = target.address
        self._token = token
        parts = urlsplit(target.endpoint)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._secure = parts.scheme == "https"
        if tls and not self._secure:
            raise SettingsError(f"TLS over REST needs a target https://HOST:PORT, not {target.address}.")
        if tls and tls.server_name:
            raise SettingsError("Over REST a certificate is checked against the target's own host name.")
        self._context = (tls or TLS()).context() if self._secure else None
        self._proxy = _proxy(parts.scheme, self._host) if proxy else None
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._answered = False

    def close(self) -> None:
        """Close the connections; those of running calls when they end."""
        with self._lock:
            self._closed = True
            idle = self._idle
            self._idle = []
        for connection in idle:
            connection.close()

    def ask(
        self,
        verb: str,
        path: str,
        terms: Terms,
        body: bytes | None = None,
        headers: Mapping[str, str] = _JSON,
    ) -> Answer:
        """Send a request, return its answer, whatever its status. Raises `ServerError` when there is none."""
        left = terms.deadline - time.monotonic()
        try:
            return self._exchange(verb, path, body, headers, terms)._replace(seconds=left)
        except TimeoutError:
            raise from_status(Status.DEADLINE_EXCEEDED, "", self._target, left) from None
        except (OSError, http.client.HTTPException) as error:
            details = str(error) or type(error).__name__
            if (isinstance(error, http.client.BadStatusLine) and details[3:4] == _SETTINGS) or (
                isinstance(error, ConnectionResetError) and not self._answered and self._begins_as_http2()
            ):
                details = SPEAKS_GRPC
            raise from_status(Status.UNAVAILABLE, details, self._target, left) from None

    def document(self, answer: Answer, text: bytes | None = None) -> dict[str, Any]:
        """The JSON object of an answer, or of `text`, its part. Raises `ServerError` for every status but 200."""
        text = answer.body if text is None else text
        try:
            # The server sends a string that is no UTF-8 as its raw bytes, unless the output's name ends in _bytes.
            document = json.loads(text.decode("utf-8", "surrogateescape"))
        except ValueError:
            document = None
        status = answer.status
        if status == 200 and isinstance(document, dict):
            return document
        if isinstance(document, dict) and "error" in document:
            raise from_status(
                _CODES.get(status, Status.UNKNOWN), str(document["error"]), self._target, answer.seconds
            )
        said = text[:100].decode(errors="replace")
        details = f"HTTP {status} and {NO_MODEL_SERVER}: {said!r}. Is this its REST port (8501)?"
        code = _CODES.get(status, Status.UNKNOWN) if status != 200 else Status.UNKNOWN
        raise from_status(code, details, self._target, answer.seconds)

    def _exchange(
        self, verb: str, path: str, body: bytes | None, given: Mapping[str, str], terms: Terms
    ) -> Answer:
        """Send one request on an open connection, or on a new one when the server has closed the open ones."""
        headers = dict(given)
        if self._token is not None:
            headers["Authorization"] = bearer(self._token)
        if terms.traceparent is not None:
            headers[TRACEPARENT] = terms.traceparent
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            kept = connection is not None
            if connection is None:
                connection = self._connection()
            try:
                left = terms.deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                connection.timeout = left
                if connection.sock is not None:
                    connection.sock.settimeout(left)
                connection.request(verb, path, body, headers)
                response = connection.getresponse()
                text = response.read()
            except (ConnectionError, http.client.BadStatusLine):
                connection.close()
                if kept:
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            self._answered = True
            with self._lock:
                # A call that ends after the client was closed would leave its connection open.
                keep = not response.will_close and not self._closed
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()
            return Answer(response.status, response.headers, text, 0.0)

    def _begins_as_http2(self) -> bool:
        """Whether the server begins with HTTP/2. One that resets a connection takes back what it had said there."""
        if self._secure or self._proxy:
            return False
        try:
            with socket.create_connection((self._host, self._port or 80), _LOOK_SECONDS) as connection:
                return connection.recv(4)[3:4] == _SETTINGS.encode()
        except OSError:
            return False

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._proxy or (self._host, self._port)
        if self._context is None:
            plain = http.client.HTTPConnection(host, port)
        else:
            plain = http.client.HTTPSConnection(host, port, context=self._context)
        if self._proxy:
            plain.set_tunnel(self._host, self._port)
        return plain


def _proxy(scheme: str, host: str) -> tuple[str, int] | None:
    """The environment's proxy for this host, or None."""
    found = urllib.request.getproxies().get(scheme)
    if not found or urllib.request.proxy_bypass(host):
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    return (parts.hostname, parts.port or 80) if parts.hostname else None
