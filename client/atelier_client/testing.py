"""A model server in memory. With it you test code that uses a client without a server, a model or a port.

    server = InMemoryServer()
    server.serve(
        "shoes",
        lambda inputs: {"class_id": inputs["images"].sum(axis=(1, 2)) % 10},
        inputs={"images": ("uint8", (-1, 28, 28))},
        outputs={"class_id": ("int64", (-1,))},
    )
    with server.client("shoes") as client:
        client.predict(images)
    server.fail("UNAVAILABLE", times=2)        # the next two calls: what does my code do?
    assert [call.method for call in server.calls] == ["metadata", "predict"]

Requests and responses pass through the same messages, checks and retries as over the network.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from numpy.typing import ArrayLike, NDArray

from atelier_client._targets import Target
from atelier_client.async_client import AsyncClient
from atelier_client.client import Client
from atelier_client.errors import from_status
from atelier_client.messages.tensors import NAMES, STRING, as_array, decode, encode
from atelier_client.protos import serving_pb2 as pb
from atelier_client.transports.base import Method

__all__ = ["InMemoryServer", "RecordedCall"]

Status = grpc.StatusCode
Arrays = dict[str, NDArray[Any]]
Tensors = Mapping[str, tuple[str, Sequence[int]]]


@dataclass(frozen=True)
class RecordedCall:
    """A call that arrived: its method, its model, and the arrays of a `predict`."""

    method: str
    model: str
    inputs: Arrays


@dataclass(frozen=True)
class _Version:
    function: Callable[[Arrays], Mapping[str, ArrayLike]]
    signatures: pb.SignatureDefMap


@dataclass
class _Model:
    versions: dict[int, _Version] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


class _Refused(Exception):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class InMemoryServer:
    """Serves functions as models. Thread-safe. `calls` are the calls that arrived, in order."""

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []
        self._models: dict[str, _Model] = {}
        self._failures: deque[tuple[grpc.StatusCode, str]] = deque()
        self._delay = 0.0
        self._lock = threading.Lock()

    def serve(
        self,
        model: str,
        function: Callable[[Arrays], Mapping[str, ArrayLike]],
        *,
        inputs: Tensors,
        outputs: Tensors,
        version: int = 1,
        signature: str = "serving_default",
        label: str | None = None,
    ) -> None:
        """Serve a function of named arrays to named arrays as a version of a model. The highest version is the default.

        `inputs` and `outputs` give each name its dtype and shape, -1 for any size: `{"x": ("uint8", (-1, 28, 28))}`.
        """
        signatures = pb.SignatureDefMap()
        definition = signatures.signature_def[signature]
        definition.method_name = "tensorflow/serving/predict"
        for tensors, side in ((inputs, definition.inputs), (outputs, definition.outputs)):
            for name, (dtype, shape) in tensors.items():
                side[name].dtype = _number(dtype)
                for size in shape:
                    side[name].tensor_shape.dim.add(size=size)
        with self._lock:
            served = self._models.setdefault(model, _Model())
            served.versions[version] = _Version(function, signatures)
            if label is not None:
                served.labels[label] = version

    def fail(self, code: str, details: str = "", *, times: int = 1) -> None:
        """Fail the next calls. `code` is the name of a gRPC status, such as UNAVAILABLE."""
        self._failures.extend([(grpc.StatusCode[code], details)] * times)

    def delay(self, seconds: float) -> None:
        """Delay every response from now on. A call fails with `TimedOut` when its deadline is earlier."""
        self._delay = seconds

    def client(self, model: str, **settings: Any) -> Client:
        """A `Client` of this server; `settings` as in `Client`."""
        return Client("localhost:8500", model, connect=self.connect, **settings)

    def async_client(self, model: str, **settings: Any) -> AsyncClient:
        """An `AsyncClient` of this server."""
        return AsyncClient("localhost:8500", model, connect=self.async_connect, **settings)

    def connect(self, target: Target) -> _Transport:
        """A transport to this server, for `Client(connect=...)`: with it several servers can be replicas."""
        return _Transport(self, target.address)

    def async_connect(self, target: Target) -> _AsyncTransport:
        """The same for `AsyncClient`."""
        return _AsyncTransport(self, target.address)

    def _wait(self, timeout: float) -> float:
        """The seconds until the response or the deadline, whichever comes first."""
        return min(self._delay, timeout)

    def _respond(self, method: Method, request: bytes, target: str, timeout: float) -> Any:
        message = method.request.FromString(request)
        name = message.model_spec.name if method.name != "reload" else ""
        arrays = {key: decode(tensor) for key, tensor in getattr(message, "inputs", {}).items()}
        with self._lock:
            self.calls.append(RecordedCall(method.name, name, arrays))
            planned = self._failures.popleft() if self._failures else None
        try:
            if planned:
                raise _Refused(*planned)
            if self._delay >= timeout:
                raise _Refused(Status.DEADLINE_EXCEEDED, "")
            response = self._handle(method, message, arrays)
        except _Refused as refused:
            raise from_status(refused.code, refused.details, target, timeout) from None
        return method.response.FromString(response.SerializeToString())

    def _handle(self, method: Method, message: Any, arrays: Arrays) -> Any:
        if method.name == "status":
            return self._status(message.model_spec)
        if method.name not in ("predict", "metadata"):
            raise _Refused(Status.UNIMPLEMENTED, f"{method.name} is not part of the server in memory")
        number, version = self._find(message.model_spec)
        model_spec = pb.ModelSpec(name=message.model_spec.name)
        model_spec.version.value = number
        if method.name == "metadata":
            metadata = pb.GetModelMetadataResponse(model_spec=model_spec)
            metadata.metadata["signature_def"].value = version.signatures.SerializeToString()
            return metadata
        signature = message.model_spec.signature_name or "serving_default"
        if signature not in version.signatures.signature_def:
            raise _Refused(Status.FAILED_PRECONDITION, f'Serving signature key "{signature}" not found.')
        model_spec.signature_name = signature
        response = pb.PredictResponse(model_spec=model_spec)
        wanted = version.signatures.signature_def[signature].outputs
        outputs = version.function(arrays)
        for name in message.output_filter or wanted:
            kind = NAMES[wanted[name].dtype]
            array = as_array(outputs[name])
            tensor = encode(array if kind == "string" else array.astype(kind))
            response.outputs[name].ParseFromString(b"".join(tensor))
        return response

    def _find(self, model_spec: pb.ModelSpec) -> tuple[int, _Version]:
        """The version that the request asks for. The errors are those of TensorFlow Serving."""
        model = self._models.get(model_spec.name, _Model())
        number = max(model.versions, default=0)
        text = f"Servable not found for request: Latest({model_spec.name})"
        if model_spec.HasField("version"):
            number = model_spec.version.value
            text = f"Servable not found for request: Specific({model_spec.name}, {number})"
        elif model_spec.version_label:
            if model_spec.version_label not in model.labels:
                text = f"Unrecognized servable version label: {model_spec.version_label}"
                raise _Refused(Status.INVALID_ARGUMENT, text)
            number = model.labels[model_spec.version_label]
        if number not in model.versions:
            raise _Refused(Status.NOT_FOUND, text)
        return number, model.versions[number]

    def _status(self, model_spec: pb.ModelSpec) -> pb.GetModelStatusResponse:
        if model_spec.name not in self._models:
            raise _Refused(Status.NOT_FOUND, f"Could not find any versions of model {model_spec.name}")
        response = pb.GetModelStatusResponse()
        for number in sorted(self._models[model_spec.name].versions, reverse=True):
            response.model_version_status.add(version=number, state=30)
        return response


class _Transport:
    def __init__(self, server: InMemoryServer, target: str) -> None:
        self._server = server
        self._target = target

    def call(self, method: Method, request: bytes, timeout: float, traceparent: str | None = None) -> Any:
        time.sleep(self._server._wait(timeout))
        return self._server._respond(method, request, self._target, timeout)

    def close(self) -> None:
        pass


class _AsyncTransport:
    def __init__(self, server: InMemoryServer, target: str) -> None:
        self._server = server
        self._target = target

    async def call(
        self, method: Method, request: bytes, timeout: float, traceparent: str | None = None
    ) -> Any:
        await asyncio.sleep(self._server._wait(timeout))
        return self._server._respond(method, request, self._target, timeout)

    async def close(self) -> None:
        pass


def _number(dtype: str) -> int:
    known = {name: number for number, name in NAMES.items()}
    name = dtype if dtype in known else np.dtype(dtype).name
    return known.get(name, STRING if name == "object" else 0)
