"""The protocol over REST (inference_rest.md): JSON, with tensors as binary data behind it where the server can.

A server that can lists `binary_tensor_data` among its extensions: then each tensor's raw bytes follow the JSON, whose
length is in a header. Source: Triton's docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import grpc

from atelier_client._targets import Target
from atelier_client.errors import InvalidRequest, ModelNotFound, ServerFailure, from_status
from atelier_client.open_inference.json_tensors import to_json, to_raw
from atelier_client.open_inference.methods import INFER, METADATA, READY, SERVER
from atelier_client.open_inference.tensors import count_of, decode
from atelier_client.protos import open_inference_pb2 as pb
from atelier_client.tls import TLS
from atelier_client.transports.base import Method
from atelier_client.transports.grpc import Token
from atelier_client.transports.http import Answer, HttpConnections, Terms

_BINARY = "binary_tensor_data"
_JSON_LENGTH = "Inference-Header-Content-Length"
_BINARY_TYPE = "application/octet-stream"
# How servers say that a model is not ready. Other statuses are errors.
_NOT_READY = (400, 404, 503)


class OpenInferenceRest:
    """Carries the protocol's messages as JSON over HTTP."""

    def __init__(self, target: Target, tls: TLS | None, token: Token | None, proxy: bool) -> None:
        self._target = target.address
        self._connections = HttpConnections(target, tls, token, proxy)
        self._binary: bool | None = None
        self._readers: dict[Method, Callable[[Any, Terms], Any]] = {
            INFER: self._infer,
            METADATA: self._metadata,
            READY: self._ready,
            SERVER: self._server,
        }

    def call(self, method: Method, request: bytes, timeout: float, traceparent: str | None = None) -> Any:
        """As `Transport.call`. Raises `UnsupportedType` for values that JSON cannot hold."""
        terms = Terms(time.monotonic() + timeout, traceparent)
        return self._readers[method](method.request.FromString(request), terms)

    def close(self) -> None:
        """As `Transport.close`."""
        self._connections.close()

    def _ready(self, request: pb.ModelReadyRequest, terms: Terms) -> Any:
        path = _path(request.name, request.version) + "/ready"
        answer = self._connections.ask("GET", path, terms)
        if answer.status in _NOT_READY:
            return pb.ModelReadyResponse(ready=False)
        if answer.status == 200 and not answer.body.strip():
            return pb.ModelReadyResponse(ready=True)
        return pb.ModelReadyResponse(ready=self._connections.document(answer).get("ready") is not False)

    def _server(self, request: pb.ServerMetadataRequest, terms: Terms) -> Any:
        return self._read(_server_metadata, self._get("/v2", terms))

    def _metadata(self, request: pb.ModelMetadataRequest, terms: Terms) -> Any:
        return self._read(_model_metadata, self._get(_path(request.name, request.version), terms))

    def _infer(self, request: pb.ModelInferRequest, terms: Terms) -> Any:
        document: dict[str, Any] = {}
        if request.parameters:
            document["parameters"] = {
                name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
                for name, value in request.parameters.items()
            }
        if request.outputs:
            document["outputs"] = [{"name": output.name} for output in request.outputs]
        binary = self._takes_binary(terms)
        document["inputs"] = [
            {"name": item.name, "datatype": item.datatype, "shape": list(item.shape)}
            | (
                {"parameters": {"binary_data_size": len(raw)}}
                if binary
                else {"data": to_json(item.name, decode(item.name, item.datatype, tuple(item.shape), raw))}
            )
            for item, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        ]
        path = _path(request.model_name, request.model_version) + "/infer"
        if not binary:
            answer = self._connections.ask("POST", path, terms, json.dumps(document).encode())
            return self._read(self._answer, answer)
        document.setdefault("parameters", {})["binary_data_output"] = True
        text = json.dumps(document).encode()
        headers = {"Content-Type": _BINARY_TYPE, _JSON_LENGTH: str(len(text))}
        body = b"".join([text, *request.raw_input_contents])
        return self._read(self._answer, self._connections.ask("POST", path, terms, body, headers))

    def _answer(self, answer: Answer) -> pb.ModelInferResponse:
        """The answer as a message, every output raw. Raises `ServerFailure` for binary data that does not add up."""
        length = answer.headers.get(_JSON_LENGTH)
        end = len(answer.body) if length is None or answer.status != 200 else int(length)
        if not 0 <= end <= len(answer.body):
            raise ServerFailure(
                f"{self._target} says that {end:,} of {len(answer.body):,} bytes are JSON ({_JSON_LENGTH})."
            )
        document = self._connections.document(answer, answer.body[:end])
        response = pb.ModelInferResponse(
            model_name=document.get("model_name"), model_version=document.get("model_version")
        )
        for item in document["outputs"]:
            name = item["name"]
            output = response.outputs.add(name=name, datatype=item["datatype"], shape=item["shape"])
            size = (item.get("parameters") or {}).get("binary_data_size")
            if ("data" in item) == (size is not None):
                said = "twice, as JSON and as binary data" if size is not None else "without values"
                raise ServerFailure(f"{self._target} sent the output {name!r} {said}.")
            if size is None:
                count_of(name, output.datatype, tuple(output.shape))
                raw = to_raw(output.datatype, item["data"])
            else:
                raw = answer.body[end : end + size]
                if not isinstance(size, int) or size < 0 or len(raw) != size:
                    raise ServerFailure(
                        f"{self._target} says that the output {name!r} has {size} bytes, and {len(raw):,} are left."
                    )
                end += size
            response.raw_output_contents.append(raw)
        if end != len(answer.body):
            raise ServerFailure(
                f"{self._target} sent {len(answer.body) - end:,} bytes behind the last output, which belong to none."
            )
        return response

    def _takes_binary(self, terms: Terms) -> bool:
        """Whether the server lists the extension; asked once."""
        if self._binary is None:
            try:
                self._binary = _BINARY in self._server(pb.ServerMetadataRequest(), terms).extensions
            except (InvalidRequest, ModelNotFound):
                # Some servers describe their models only.
                self._binary = False
        return self._binary

    def _read(self, reader: Callable[[Any], Any], answer: Any) -> Any:
        try:
            return reader(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            details = (
                f"its JSON is not what the Open Inference Protocol answers ({type(error).__name__}: {error})"
            )
            raise from_status(grpc.StatusCode.UNKNOWN, details, self._target, 0) from None

    def _get(self, path: str, terms: Terms) -> dict[str, Any]:
        return self._connections.document(self._connections.ask("GET", path, terms))


def _server_metadata(document: dict[str, Any]) -> pb.ServerMetadataResponse:
    return pb.ServerMetadataResponse(
        name=document.get("name"), version=document.get("version"), extensions=document.get("extensions")
    )


def _model_metadata(document: dict[str, Any]) -> pb.ModelMetadataResponse:
    response = pb.ModelMetadataResponse(
        name=document["name"], versions=document.get("versions"), platform=document.get("platform")
    )
    for key, tensors in (("inputs", response.inputs), ("outputs", response.outputs)):
        for item in document.get(key) or ():
            tensors.add(name=item["name"], datatype=item.get("datatype"), shape=item.get("shape"))
    return response


def _path(model: str, version: str) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path
