"""REST: status, metadata and predict in TensorFlow Serving's URLs and JSON, in a thread of uvicorn's own.

Routing and texts: model_servers/http_rest_api_handler.cc and http_rest_api_util.cc at 2.20.0.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
import zlib
from typing import Any
from urllib.parse import unquote

import uvicorn
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
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
_START_SECONDS = 10.0


class RestServer:
    """Serves `api` over HTTP on host:port until stopped. Raises `OSError` when the port is taken."""

    def __init__(self, api: Api, host: str, port: int, cors: bool) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            raise OSError(f"port {port} on {host} cannot be bound: {error.strerror}") from None
        handler = _Handler(api, cors)
        methods = ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH"]
        app = Starlette(routes=[Route("/{path:path}", handler.respond, methods=methods)])
        # The drain is timed by the caller; uvicorn's own limit ends connections that never close.
        settings = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=10)
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True, name="rest"
        )

    def start(self) -> None:
        """Accept requests; returns once the port answers."""
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop(self, seconds: float) -> None:
        """Refuse new connections, give requests in flight up to `seconds`."""
        self._server.should_exit = True
        self._thread.join(seconds)
        self._socket.close()


class _Handler:
    def __init__(self, api: Api, cors: bool) -> None:
        self._api, self._cors = api, cors

    async def respond(self, request: Request) -> Response:
        """Any request: route it, run it in a worker thread, turn an error into its JSON."""
        body = await request.body()
        # TensorFlow Serving matches the path with its query, still percent-encoded.
        path = request.scope["raw_path"].decode("latin-1")
        if request.url.query:
            path += f"?{request.url.query}"
        headers = {}
        if self._cors:
            headers = {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Methods": "POST, GET",
                "Access-Control-Allow-Headers": "Content-Type",
            }
        if not path.lower().startswith("/v1/"):
            return Response(
                "<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD></HTML>", 404, media_type="text/html"
            )
        try:
            document = await run_in_threadpool(self._dispatch, request.method, path, body, request.headers)
        except Exception as error:
            failure = of_exception(error)
            text = _pretty({"error": failure.message})
            return Response(text, _HTTP.get(failure.code, 500), headers, "application/json")
        return Response(document, 200, headers, "application/json")

    def _dispatch(self, method: str, path: str, body: bytes, headers: Any) -> str:
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
