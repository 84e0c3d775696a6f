"""Requests of the Open Inference Protocol in a line each, over gRPC and HTTP, for the tests that ask a server."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import ml_dtypes
import numpy as np
from atelier_serving.oip.protos import open_inference_pb2 as pb

SERVICE = "inference.GRPCInferenceService"
HEADER = "Inference-Header-Content-Length"
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype(object),
}
FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_NAMES = {"BF16": "bfloat16", "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "string"}
# The signature of the conformance model that gives back what it got, by data type.
SIGNATURES = {name: f"type_{_NAMES.get(name, name.lower())}" for name in DTYPES}


def strings(*items: bytes) -> np.ndarray:
    """An array [N] of strings."""
    array = np.empty(len(items), object)
    array[:] = items
    return array


def bits(array: np.ndarray) -> Any:
    """What makes two arrays equal to the bit."""
    return array.shape, array.tolist() if array.dtype == object else array.tobytes()


def _extremes(dtype: np.dtype[Any]) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.array([[limits.min, 0], [1, limits.max]], dtype)


_FLOATS = [[0.0, -0.0, 1.5], [-2.25, np.inf, np.nan]]
# Values of every data type, with its edges.
EDGES: dict[str, np.ndarray] = {
    **{name: _extremes(dtype) for name, dtype in DTYPES.items() if dtype.kind in "iu"},
    "BOOL": np.array([[True, False], [False, True]]),
    "FP16": np.array([*_FLOATS, [6e-8, 65504, 1e-4]], DTYPES["FP16"]),
    "BF16": np.array([*_FLOATS, [3e38, 1e-40, 1 / 3]], DTYPES["BF16"]),
    "FP32": np.array([*_FLOATS, [np.finfo(np.float32).max, 1e-45, 1 / 3]], DTYPES["FP32"]),
    "FP64": np.array([*_FLOATS, [np.finfo(np.float64).max, 5e-324, 1 / 3]], DTYPES["FP64"]),
    "BYTES": strings(b"", b"a", "h\u00e9llo \u2603".encode(), b"x" * 300).reshape(2, 2),
}
_METHODS: dict[str, tuple[Any, Any]] = {
    "ServerLive": (pb.ServerLiveRequest, pb.ServerLiveResponse),
    "ServerReady": (pb.ServerReadyRequest, pb.ServerReadyResponse),
    "ModelReady": (pb.ModelReadyRequest, pb.ModelReadyResponse),
    "ServerMetadata": (pb.ServerMetadataRequest, pb.ServerMetadataResponse),
    "ModelMetadata": (pb.ModelMetadataRequest, pb.ModelMetadataResponse),
    "ModelInfer": (pb.ModelInferRequest, pb.ModelInferResponse),
}


def call(
    channel: grpc.Channel,
    method: str,
    request: Any = None,
    metadata: Sequence[tuple[str, str]] = (),
    **fields: Any,
) -> Any:
    """The response of a method; its request is given, or made of the fields. Raises `grpc.RpcError`."""
    kind, response = _METHODS[method]
    stub = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=kind.SerializeToString,
        response_deserializer=response.FromString,
    )
    return stub(request if request is not None else kind(**fields), timeout=20, metadata=tuple(metadata))


def failure(channel: grpc.Channel, request: pb.ModelInferRequest) -> tuple[grpc.StatusCode, str]:
    """The status and the text of a ModelInfer that fails; (OK, "") of one that does not."""
    try:
        call(channel, "ModelInfer", request)
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def datatype_of(array: np.ndarray) -> str:
    """The protocol's name of an array's type."""
    return next(name for name, dtype in DTYPES.items() if dtype == array.dtype)


def to_raw(array: np.ndarray) -> bytes:
    """The bytes of an array, in the raw form."""
    if array.dtype != object:
        return array.tobytes()
    return b"".join(len(item).to_bytes(4, "little") + item for item in array.flat)


def from_raw(content: bytes, datatype: str, shape: Sequence[int]) -> np.ndarray:
    """The array of raw bytes."""
    if datatype != "BYTES":
        return np.frombuffer(content, DTYPES[datatype]).reshape(shape)
    items, position = [], 0
    while position < len(content):
        end = position + 4 + int.from_bytes(content[position : position + 4], "little")
        items.append(content[position + 4 : end])
        position = end
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


def infer_message(
    inputs: Mapping[str, np.ndarray],
    *,
    raw: bool,
    signature: str = "",
    outputs: Sequence[str] = (),
    **fields: Any,
) -> pb.ModelInferRequest:
    """A ModelInferRequest to `toy`."""
    message = pb.ModelInferRequest(model_name=fields.pop("model_name", "toy"), **fields)
    if signature:
        message.parameters["signature_name"].string_param = signature
    for name, array in inputs.items():
        datatype = datatype_of(array)
        tensor = message.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if raw:
            message.raw_input_contents.append(to_raw(array))
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(array.ravel().tolist())
    for name in outputs:
        message.outputs.add(name=name)
    return message


def outputs_of(response: pb.ModelInferResponse) -> dict[str, np.ndarray]:
    """The outputs by name."""
    arrays = {}
    for position, tensor in enumerate(response.outputs):
        if response.raw_output_contents:
            assert not tensor.contents.ListFields()
            raw = response.raw_output_contents[position]
            arrays[tensor.name] = from_raw(raw, tensor.datatype, tensor.shape)
        else:
            values = list(getattr(tensor.contents, FIELDS[tensor.datatype]))
            flat = np.empty(len(values), DTYPES[tensor.datatype])
            flat[:] = values
            arrays[tensor.name] = flat.reshape(tensor.shape)
    return arrays


@dataclass
class HttpAnswer:
    """An answer over HTTP: headers in lower case, the JSON object, and the bytes behind it."""

    status: int
    headers: dict[str, str]
    document: Any
    tail: bytes

    @property
    def error(self) -> str:
        """Its error, which is all that it says."""
        assert list(self.document) == ["error"]
        return str(self.document["error"])

    def outputs(self) -> dict[str, np.ndarray]:
        """The outputs by name."""
        arrays, position = {}, 0
        for tensor in self.document["outputs"]:
            size = tensor.get("parameters", {}).get("binary_data_size")
            if size is None:
                texts = tensor["datatype"] == "BYTES"
                values = [item.encode() for item in tensor["data"]] if texts else tensor["data"]
                flat = np.empty(len(values), DTYPES[tensor["datatype"]])
                flat[:] = values
                arrays[tensor["name"]] = flat.reshape(tensor["shape"])
            else:
                content = self.tail[position : position + size]
                arrays[tensor["name"]] = from_raw(content, tensor["datatype"], tensor["shape"])
                position += size
        assert position == len(self.tail)
        return arrays


def ask(
    rest: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
) -> HttpAnswer:
    """The answer of a path; with a body it is a POST."""
    request = urllib.request.Request(rest + path, body, dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return _answer(answer.status, answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error)


def _answer(status: int, answer: Any) -> HttpAnswer:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    body = answer.read()
    size = int(headers.get(HEADER.lower(), len(body)))
    return HttpAnswer(status, headers, json.loads(body[:size]) if size else None, body[size:])


def infer_body(
    inputs: Mapping[str, np.ndarray], *, binary: bool, signature: str = "", **document: Any
) -> tuple[bytes, dict[str, str]]:
    """The body of an inference request and its headers; `document` has more keys of it."""
    parameters = dict(document.pop("parameters", {}))
    if signature:
        parameters["signature_name"] = signature
    if binary:
        parameters.setdefault("binary_data_output", True)
    tensors = []
    for name, array in inputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": list(array.shape)}
        if binary:
            tensor["parameters"] = {"binary_data_size": len(to_raw(array))}
        else:
            tensor["data"] = [
                item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()
            ]
        tensors.append(tensor)
    head = json.dumps({"inputs": tensors, "parameters": parameters, **document}).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    return head + b"".join(map(to_raw, inputs.values())), {
        "Content-Type": "application/octet-stream",
        HEADER: str(len(head)),
    }
