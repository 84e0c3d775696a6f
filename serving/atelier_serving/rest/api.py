"""The REST API without its transport: a request's method, path, headers and body in, an answer out.

Routing, codes and texts: model_servers/http_rest_api_handler.cc, http_rest_api_util.cc and http_server.cc at 2.20.0.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    regression_pb2,
)

from atelier_serving.inference.api import Api
from atelier_serving.inference.predict import DEFAULT_SIGNATURE, predict
from atelier_serving.request_context import current
from atelier_serving.rest.answer import Answer, html_page
from atelier_serving.rest.document_memory import Reading
from atelier_serving.rest.json import text as json_text
from atelier_serving.rest.json.document import LARGE, parse_document, to_bytes
from atelier_serving.rest.json.examples import read_examples
from atelier_serving.rest.json.tensors import read_inputs, signature_name
from atelier_serving.status import Code, invalid, of_exception

_log = logging.getLogger(__name__)

_SPEC = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_SPEC}:(?P<method>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_SPEC}(?P<part>/metadata)?", re.IGNORECASE | re.ASCII)
# What libevent knows; TRACE and all others end before a handler is asked.
_METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
_HTML = "text/html; charset=ISO-8859-1"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Above this protobuf writes floats with an exponent.
_EXACT = 1e15
# util/net_http/compression/gzip_zlib.h
MAX_GUNZIPPED = 100 * 1024 * 1024
_UNPACKED_AT_A_TIME = 1024 * 1024
# model_servers/http_server.cc:46-87; every other code is 500.
_HTTP = {
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


@dataclass
class Request:
    """One request. `path` is as it came, percent-encoded, without its query; header names are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def packed(self) -> bool:
        """Whether the body is compressed."""
        return "gzip" in self.headers.get("content-encoding", "")

    def is_large(self) -> bool:
        """Whether the body's document is to be read a piece at a time."""
        if len(self.body) > LARGE or not self.packed:
            return len(self.body) > LARGE
        reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            return len(reader.decompress(self.body, LARGE + 1)) > LARGE
        except zlib.error:
            return False


class RestApi:
    """Every path under `/v1/`; nothing but the answer is decided here, so any HTTP server may carry it."""

    def __init__(self, api: Api, cors: bool) -> None:
        self._api = api
        self._headers = _CORS if cors else {}

    def respond(self, request: Request, reading: Reading | None = None) -> Answer:
        """Answer a request, whose body is taken out of it. Never raises. `reading` is given for a large document."""
        try:
            return self._answer(request, reading)
        finally:
            # Here, where nothing of the document is alive any more.
            if reading:
                reading.end()

    def _answer(self, request: Request, reading: Reading | None) -> Answer:
        method, headers = request.method, request.headers
        if method not in _METHODS:
            return Answer(501, html_page("501 Not Implemented"), _HTML)
        if _BAD_ESCAPE.search(request.path):
            return Answer(400, html_page("400 Bad Request"), _HTML)
        if method == "OPTIONS":
            allowed = re.match(r"https?://", headers.get("origin", ""))
            return Answer(200 if allowed else 400, b"", _HTML, self._headers)
        try:
            pieces = self._dispatch(request, reading)
            body = b"".join(reading.counted(map(to_bytes, pieces)) if reading else map(to_bytes, pieces))
        except _UnreadablePathError:
            current().code = Code.INVALID_ARGUMENT.name
            return Answer(400, b"", headers=self._headers)
        except Exception as error:
            failure = of_exception(error)
            current().code = failure.code.name
            if failure.code == Code.INTERNAL:
                _log.error(f"internal error: {failure.message}")
            return Answer(
                _HTTP.get(failure.code, 500),
                to_bytes(json_text.error(failure.message)),
                headers=self._headers,
            )
        return Answer(200, body, headers=self._headers)

    def _dispatch(self, request: Request, reading: Reading | None) -> Iterable[str]:
        """The pieces of the answer's text."""
        method, path = request.method, request.path
        # The patterns ignore case, what they found is compared with it: `m:PREDICT` is no predict.
        if method == "POST" and (match := _POST.fullmatch(path)):
            model_spec = _model_spec(match)
            if match["method"] in ("predict", "classify", "regress"):
                document = _document(request, reading)
                was_read = reading.holds if reading else _nothing
                if match["method"] == "predict":
                    return self._predict(model_spec, document, was_read)
                answer = self._classify if match["method"] == "classify" else self._regress
                return [answer(model_spec, document, was_read)]
        if method == "GET" and (match := _GET.fullmatch(path)):
            model_spec = _model_spec(match)
            if not model_spec.name:
                raise invalid("Missing model name in request.")
            return [self._metadata(model_spec) if match["part"] == "/metadata" else self._status(model_spec)]
        raise invalid(f"Malformed request: {method} {path}")

    def _predict(
        self, model_spec: model_pb2.ModelSpec, document: dict[str, Any], was_read: Callable[[int], object]
    ) -> Iterator[str]:
        """Predict from a parsed JSON document, which is emptied, to the pieces of the answer's text.

        Straight from JSON: a proto in between would copy every value twice. `was_read` is told how many
        bytes are held in place of the document: the inputs, later the outputs.
        """
        name = signature_name(document)
        with self._api.servable(model_spec) as (servable, _):
            signature = servable.signatures.get(name or DEFAULT_SIGNATURE)
            if signature is None:
                text = f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def'
                raise invalid(text)
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
            inputs, as_rows = read_inputs(document, signature.inputs)
            document.clear()
            was_read(sum(array.nbytes for array in inputs.values()))
            outputs = predict(servable, name or DEFAULT_SIGNATURE, inputs, [])
        del inputs
        was_read(sum(array.nbytes for array in outputs.values()))
        return json_text.rows(outputs) if as_rows else json_text.columns(outputs)

    def _classify(
        self, model_spec: model_pb2.ModelSpec, document: dict[str, Any], was_read: Callable[[int], object]
    ) -> str:
        request = classification_pb2.ClassificationRequest(model_spec=model_spec)
        _fill(request, document)
        document.clear()
        was_read(request.ByteSize())
        return json_text.classification(self._api.classify(request).result)

    def _regress(
        self, model_spec: model_pb2.ModelSpec, document: dict[str, Any], was_read: Callable[[int], object]
    ) -> str:
        request = regression_pb2.RegressionRequest(model_spec=model_spec)
        _fill(request, document)
        document.clear()
        was_read(request.ByteSize())
        return json_text.regression(self._api.regress(request).result)

    def _status(self, model_spec: model_pb2.ModelSpec) -> str:
        answer = self._api.status(get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec))
        return _printed(_message(answer))

    def _metadata(self, model_spec: model_pb2.ModelSpec) -> str:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=model_spec, metadata_field=["signature_def"]
        )
        answer = self._api.metadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        version = str(answer.model_spec.version.value)
        named = {"name": answer.model_spec.name, "signature_name": "", "version": version}
        # Put together from two documents, as TensorFlow Serving does.
        definitions = _printed(_message(signatures))
        return f'{{\n"model_spec":{_printed(named)},\n"metadata": {{"signature_def": {definitions}}}\n}}\n'


class _UnreadablePathError(Exception):
    """The path has the right form, and a version that is no int64: answered with an empty body."""


def _model_spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    # Bytes that are no UTF-8 cannot stand in a proto's string.
    model_spec = model_pb2.ModelSpec(name=unquote(match["name"] or "", errors="replace"))
    if match["version"]:
        number = int(match["version"][:30])
        if number >= 2**63:
            raise _UnreadablePathError
        model_spec.version.value = number
    if match["label"]:
        model_spec.version_label = unquote(match["label"], errors="replace")
    return model_spec


def _fill(request: Any, document: dict[str, Any]) -> None:
    """Signature name and examples of a classify or regress body."""
    name = signature_name(document)
    # A name that is no UTF-8 is no signature's.
    request.model_spec.signature_name = to_bytes(name).decode("utf-8", "replace")
    read_examples(document, request.input)


def _document(request: Request, reading: Reading | None) -> dict[str, Any]:
    """The request's body, unpacked and parsed; the request lets go of it."""
    spend = None
    if reading:
        spend = reading.spend
        reading.begin()
    body = request.body
    if request.packed:
        body = unpacked(body, spend or _nothing)
    request.body = b""
    return parse_document(body, spend)


def unpacked(body: bytes, spend: Callable[[int], object]) -> bytes:
    """A gzip body. A broken one, or one that grows beyond the limit, counts as an empty one, as in TensorFlow Serving.

    `spend` is told of the bytes that it takes.
    """
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    whole = bytearray()
    try:
        while not reader.eof:
            piece = reader.decompress(body, _UNPACKED_AT_A_TIME)
            if not piece and not reader.eof:
                return b""
            spend(len(piece))
            whole += piece
            if len(whole) > MAX_GUNZIPPED:
                return b""
            body = reader.unconsumed_tail
    except zlib.error:
        return b""
    return bytes(whole)


def _nothing(*_: object) -> None:
    """Where nobody counts."""


def _message(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _printed(document: dict[str, Any]) -> str:
    """As protobuf prints JSON: one blank a level, and no decimals where there are none."""
    return json.dumps(_whole(document), indent=1, ensure_ascii=False) + "\n"


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        # Negative zero is written with its sign.
        return int(value) if value or str(value)[0] != "-" else value
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
