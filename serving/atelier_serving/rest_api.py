"""The REST API without its transport: a request's method, path, headers and body in, an answer out.

Routing, codes and texts: model_servers/http_rest_api_handler.cc, http_rest_api_util.cc and http_server.cc at 2.20.0.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from atelier_serving.api import Api
from atelier_serving.json_tensor import parse_document, read_inputs, signature_name, write_outputs
from atelier_serving.predict import DEFAULT_SIGNATURE, run
from atelier_serving.status import Code, ServingError, invalid, of_exception

_SPEC = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST = re.compile(rf"/(?i:v1/models)/(?P<name>[^/:]+){_SPEC}:(?P<method>classify|regress|predict)")
_GET = re.compile(rf"/(?i:v1/models)(?:/(?P<name>[^/:]+))?{_SPEC}(?P<metadata>/metadata)?")
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


@dataclass(frozen=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: bytes
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class RestApi:
    """Every path under `/v1/`; nothing but the answer is decided here, so any HTTP server may carry it."""

    def __init__(self, api: Api, cors: bool) -> None:
        self._api = api
        self._headers = _CORS if cors else {}

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """`path` is as it came: percent-encoded, with its query; header names are lower-case. Never raises."""
        try:
            text = self._dispatch(method, path, body, headers)
        except Exception as error:
            failure = of_exception(error)
            text = _pretty({"error": failure.message})
            return Answer(_HTTP.get(failure.code, 500), text.encode(), headers=self._headers)
        return Answer(200, text.encode(), headers=self._headers)

    def _dispatch(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> str:
        post, get = _POST.fullmatch(path), _GET.fullmatch(path)
        if method == "OPTIONS" and re.match(r"https?://", headers.get("origin", "")):
            return ""
        if method == "POST" and post:
            if headers.get("content-encoding") == "gzip":
                body = _gunzipped(body)
            if post["method"] != "predict":
                raise ServingError(
                    Code.UNIMPLEMENTED, f"{post['method']} over REST is not served here; use gRPC."
                )
            return self._predict(_spec(post), body)
        if method == "GET" and get:
            if not get["name"]:
                raise invalid("Missing model name in request.")
            return self._metadata(_spec(get)) if get["metadata"] else self._status(_spec(get))
        raise invalid(f"Malformed request: {method} {path}")

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        document = parse_document(body)
        name = signature_name(document, DEFAULT_SIGNATURE)
        version = spec.version.value if spec.HasField("version") else None
        label = spec.version_label if spec.HasField("version_label") else None
        with self._api.manager.use(spec.name, version, label) as (servable, _):
            signature = servable.signatures.get(name)
            if signature is None:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            if not signature.inputs:
                raise invalid(f"Failed to get input map for signature: {name}")
            inputs, rows = read_inputs(document, signature.inputs)
            feeds = [(signature.inputs[alias].name, inputs[alias]) for alias in sorted(inputs)]
            outputs = run(servable, signature, feeds, sorted(signature.outputs))
        return _pretty(write_outputs(outputs, rows))

    def _status(self, spec: model_pb2.ModelSpec) -> str:
        answer = self._api.status(get_model_status_pb2.GetModelStatusRequest(model_spec=spec))
        document = json_format.MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        for entry in document["model_version_status"]:
            entry["status"]["error_code"] = entry["status"].get("error_code", "OK")
        return _pretty(document)

    def _metadata(self, spec: model_pb2.ModelSpec) -> str:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=["signature_def"]
        )
        answer = self._api.metadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        whole = json_format.MessageToDict(
            signatures, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        version = str(answer.model_spec.version.value)
        named = {"name": answer.model_spec.name, "signature_name": "", "version": version}
        return _pretty({"model_spec": named, "metadata": {"signature_def": whole}})


def _spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        number = int(match["version"])
        if number >= 2**63:
            raise invalid(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = number
    if match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def _gunzipped(body: bytes) -> bytes:
    """A broken gzip body counts as an empty one."""
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return b""


def _pretty(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
