"""REST: the same calls as JSON over HTTP, for networks that block gRPC. It is slower and has no `reload`.

The JSON is that of tensorflow_serving/util/json_tensor.cc and model_servers/http_rest_api_handler.cc: columns
(`inputs`, `outputs`) for predict, rows (`examples`, `results`) for classify and regress.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import grpc

from atelier_client._targets import Target
from atelier_client._trace_context import HEADER as TRACEPARENT
from atelier_client.errors import SPEAKS_GRPC, SettingsError, from_status
from atelier_client.protos import serving_pb2 as pb
from atelier_client.tls import TLS
from atelier_client.transports import rest_json
from atelier_client.transports.base import CLASSIFY, METADATA, PREDICT, REGRESS, STATUS, Method
from atelier_client.transports.grpc import Token, bearer

Status = grpc.StatusCode
# One AsyncClient makes at most so many calls at once; further calls wait.
_MOST_THREADS = 256
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


class _Terms(NamedTuple):
    """What goes with a call: when it must have ended (time.monotonic()), and its trace."""

    deadline: float
    traceparent: str | None


class RestTransport:
    """Keeps connections open between calls, as many as there were calls at the same time."""

    def __init__(self, target: Target, tls: TLS | None, token: Token | None, proxy: bool) -> None:
        self._target = target.address
        self._token = token
        parts = urlsplit(target.address)
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
        self._signatures: dict[str, pb.SignatureDefMap] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._answered = False

    def call(self, method: Method, request: bytes, timeout: float, traceparent: str | None = None) -> Any:
        """As `Transport.call`."""
        terms = _Terms(time.monotonic() + timeout, traceparent)
        if method not in _READERS:
            text = "TensorFlow Serving has no reload over REST; use its gRPC address (HOST:8500)"
            raise from_status(Status.UNIMPLEMENTED, text, self._target, timeout)
        return _READERS[method](self, method.request.FromString(request), terms)

    def close(self) -> None:
        """As `Transport.close`."""
        with self._lock:
            self._closed = True
            idle = self._idle
            self._idle = []
        for connection in idle:
            connection.close()

    def _status(self, request: pb.GetModelStatusRequest, terms: _Terms) -> Any:
        return self._read(rest_json.status, self._send("GET", _path(request.model_spec), None, terms))

    def _metadata(self, request: pb.GetModelMetadataRequest, terms: _Terms) -> Any:
        path = _path(request.model_spec) + "/metadata"
        return self._read(rest_json.metadata, self._send("GET", path, None, terms))

    def _predict(self, request: pb.PredictRequest, terms: _Terms) -> Any:
        model_spec = request.model_spec
        signature = self._signature(model_spec, terms)
        document = self._post(model_spec, "predict", rest_json.predict_body(request), terms)
        return self._read(rest_json.prediction, document, request, signature)

    def _classify(self, request: pb.ClassificationRequest, terms: _Terms) -> Any:
        body = rest_json.examples_body(request)
        return self._read(rest_json.classification, self._post(request.model_spec, "classify", body, terms))

    def _regress(self, request: pb.RegressionRequest, terms: _Terms) -> Any:
        body = rest_json.examples_body(request)
        return self._read(rest_json.regression, self._post(request.model_spec, "regress", body, terms))

    def _signature(self, model_spec: pb.ModelSpec, terms: _Terms) -> pb.SignatureDef:
        """The signature, read only once. The JSON of a response does not give all names and dtypes of the outputs."""
        path = _path(model_spec)
        name = model_spec.signature_name or "serving_default"
        kept = path in self._signatures
        if not kept or name not in self._signatures[path].signature_def:
            response = self._metadata(pb.GetModelMetadataRequest(model_spec=model_spec), terms)
            self._signatures[path] = pb.SignatureDefMap.FromString(response.metadata["signature_def"].value)
        return self._signatures[path].signature_def[name]

    def _post(self, model_spec: pb.ModelSpec, verb: str, body: dict[str, Any], terms: _Terms) -> Any:
        if model_spec.signature_name:
            body["signature_name"] = model_spec.signature_name
        # The server reads NaN and Infinity as Python's json writes them.
        return self._send("POST", f"{_path(model_spec)}:{verb}", json.dumps(body).encode(), terms)

    def _send(self, verb: str, path: str, body: bytes | None, terms: _Terms) -> Any:
        left = terms.deadline - time.monotonic()
        try:
            status, text = self._exchange(verb, path, body, terms)
        except TimeoutError:
            raise from_status(Status.DEADLINE_EXCEEDED, "", self._target, left) from None
        except (OSError, http.client.HTTPException) as error:
            details = str(error) or type(error).__name__
            if (isinstance(error, http.client.BadStatusLine) and details[3:4] == _SETTINGS) or (
                isinstance(error, ConnectionResetError) and not self._answered and self._begins_as_http2()
            ):
                details = SPEAKS_GRPC
            raise from_status(Status.UNAVAILABLE, details, self._target, left) from None
        try:
            # The server sends a string that is no UTF-8 as its raw bytes, unless the output's name ends in _bytes.
            document = json.loads(text.decode("utf-8", "surrogateescape"))
        except ValueError:
            document = None
        if status == 200 and isinstance(document, dict):
            return document
        if isinstance(document, dict) and "error" in document:
            raise from_status(_CODES.get(status, Status.UNKNOWN), str(document["error"]), self._target, left)
        said = text[:100].decode(errors="replace")
        details = f"HTTP {status} and no answer of a model server: {said!r}. Is this its REST port (8501)?"
        code = _CODES.get(status, Status.UNKNOWN) if status != 200 else Status.UNKNOWN
        raise from_status(code, details, self._target, left)

    def _exchange(self, verb: str, path: str, body: bytes | None, terms: _Terms) -> tuple[int, bytes]:
        """Send one request on an open connection, or on a new one when the server has closed the open ones."""
        headers = {"Content-Type": "application/json"}
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
            return response.status, text

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

    def _read(self, reader: Any, document: Any, *more: Any) -> Any:
        try:
            return reader(document, *more)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            details = f"its JSON is not what TensorFlow Serving answers ({type(error).__name__}: {error})"
            raise from_status(Status.UNKNOWN, details, self._target, 0) from None


_READERS: dict[Method, Any] = {
    PREDICT: RestTransport._predict,
    CLASSIFY: RestTransport._classify,
    REGRESS: RestTransport._regress,
    METADATA: RestTransport._metadata,
    STATUS: RestTransport._status,
}


class AsyncRestTransport:
    """`RestTransport` in its own threads, because asyncio's default pool has few."""

    def __init__(self, target: Target, tls: TLS | None, token: Token | None, proxy: bool) -> None:
        self._blocking = RestTransport(target, tls, token, proxy)
        self._threads = ThreadPoolExecutor(_MOST_THREADS, thread_name_prefix="rest")

    async def call(
        self, method: Method, request: bytes, timeout: float, traceparent: str | None = None
    ) -> Any:
        """As `AsyncTransport.call`."""
        loop = asyncio.get_running_loop()
        try:
            call = loop.run_in_executor(
                self._threads, self._blocking.call, method, request, timeout, traceparent
            )
        except RuntimeError as error:
            # The threads take no calls any more.
            raise SettingsError(f"The client was closed ({error}).") from None
        return await call

    async def close(self) -> None:
        """As `AsyncTransport.close`."""
        self._blocking.close()
        self._threads.shutdown(wait=False)


def _path(model_spec: pb.ModelSpec) -> str:
    path = f"/v1/models/{quote(model_spec.name, safe='')}"
    if model_spec.HasField("version"):
        return f"{path}/versions/{model_spec.version.value}"
    return f"{path}/labels/{quote(model_spec.version_label, safe='')}" if model_spec.version_label else path


def _proxy(scheme: str, host: str) -> tuple[str, int] | None:
    """The environment's proxy for this host, or None."""
    found = urllib.request.getproxies().get(scheme)
    if not found or urllib.request.proxy_bypass(host):
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    return (parts.hostname, parts.port or 80) if parts.hostname else None
