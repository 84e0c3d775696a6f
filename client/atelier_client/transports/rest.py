"""REST: the same calls as JSON over HTTP, for networks that block gRPC. It is slower and has no `reload`.

The JSON is that of tensorflow_serving/util/json_tensor.cc and model_servers/http_rest_api_handler.cc: columns
(`inputs`, `outputs`) for predict, rows (`examples`, `results`) for classify and regress.
"""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import grpc

from atelier_client._targets import Target
from atelier_client.errors import from_status
from atelier_client.protos import serving_pb2 as pb
from atelier_client.tls import TLS
from atelier_client.transports import rest_json
from atelier_client.transports.base import CLASSIFY, METADATA, PREDICT, REGRESS, STATUS, Method
from atelier_client.transports.grpc import Token
from atelier_client.transports.http import HttpConnections, Terms

Status = grpc.StatusCode


class RestTransport:
    """TensorFlow Serving's REST API: each message becomes JSON, and the answer's JSON a message."""

    def __init__(self, target: Target, tls: TLS | None, token: Token | None, proxy: bool) -> None:
        self._target = target.address
        self._connections = HttpConnections(target, tls, token, proxy)
        self._signatures: dict[str, pb.SignatureDefMap] = {}

    def call(self, method: Method, request: bytes, timeout: float, traceparent: str | None = None) -> Any:
        """As `Transport.call`."""
        terms = Terms(time.monotonic() + timeout, traceparent)
        if method not in _READERS:
            text = "TensorFlow Serving has no reload over REST; use its gRPC address (HOST:8500)"
            raise from_status(Status.UNIMPLEMENTED, text, self._target, timeout)
        return _READERS[method](self, method.request.FromString(request), terms)

    def close(self) -> None:
        """As `Transport.close`."""
        self._connections.close()

    def _status(self, request: pb.GetModelStatusRequest, terms: Terms) -> Any:
        return self._read(rest_json.status, self._send("GET", _path(request.model_spec), None, terms))

    def _metadata(self, request: pb.GetModelMetadataRequest, terms: Terms) -> Any:
        path = _path(request.model_spec) + "/metadata"
        return self._read(rest_json.metadata, self._send("GET", path, None, terms))

    def _predict(self, request: pb.PredictRequest, terms: Terms) -> Any:
        model_spec = request.model_spec
        signature = self._signature(model_spec, terms)
        document = self._post(model_spec, "predict", rest_json.predict_body(request), terms)
        return self._read(rest_json.prediction, document, request, signature)

    def _classify(self, request: pb.ClassificationRequest, terms: Terms) -> Any:
        body = rest_json.examples_body(request)
        return self._read(rest_json.classification, self._post(request.model_spec, "classify", body, terms))

    def _regress(self, request: pb.RegressionRequest, terms: Terms) -> Any:
        body = rest_json.examples_body(request)
        return self._read(rest_json.regression, self._post(request.model_spec, "regress", body, terms))

    def _signature(self, model_spec: pb.ModelSpec, terms: Terms) -> pb.SignatureDef:
        """The signature, read only once. The JSON of a response does not give all names and dtypes of the outputs."""
        path = _path(model_spec)
        name = model_spec.signature_name or "serving_default"
        kept = path in self._signatures
        if not kept or name not in self._signatures[path].signature_def:
            response = self._metadata(pb.GetModelMetadataRequest(model_spec=model_spec), terms)
            self._signatures[path] = pb.SignatureDefMap.FromString(response.metadata["signature_def"].value)
        return self._signatures[path].signature_def[name]

    def _post(self, model_spec: pb.ModelSpec, verb: str, body: dict[str, Any], terms: Terms) -> Any:
        if model_spec.signature_name:
            body["signature_name"] = model_spec.signature_name
        # The server reads NaN and Infinity as Python's json writes them.
        return self._send("POST", f"{_path(model_spec)}:{verb}", json.dumps(body).encode(), terms)

    def _send(self, verb: str, path: str, body: bytes | None, terms: Terms) -> Any:
        return self._connections.document(self._connections.ask(verb, path, terms, body))

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


def _path(model_spec: pb.ModelSpec) -> str:
    path = f"/v1/models/{quote(model_spec.name, safe='')}"
    if model_spec.HasField("version"):
        return f"{path}/versions/{model_spec.version.value}"
    return f"{path}/labels/{quote(model_spec.version_label, safe='')}" if model_spec.version_label else path
