"""Converts messages to TensorFlow Serving's JSON and back."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.messages.tensors import BY_NAME, DTYPES, NAMES, STRING, decode, encode
from atelier_client.protos import serving_pb2 as pb

# For three types the names in JSON (tensorflow/core/framework/types.proto) differ from NumPy's.
_DT = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
_NUMBERS = {name: number for number, name in NAMES.items()}
_STATES = {"UNKNOWN": 0, "START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}


def predict_body(request: pb.PredictRequest) -> dict[str, Any]:
    """`inputs` by name, also when there is only one."""
    return {"inputs": {name: _plain(decode(tensor)) for name, tensor in request.inputs.items()}}


def examples_body(request: Any) -> dict[str, Any]:
    """`examples`: each is a mapping from feature to value."""
    return {
        "examples": [
            {name: _feature(feature) for name, feature in example.features.feature.items()}
            for example in request.input.example_list.examples
        ]
    }


def prediction(
    document: dict[str, Any], request: pb.PredictRequest, signature: pb.SignatureDef
) -> pb.PredictResponse:
    """The requested outputs, in the dtypes of the signature. A single output comes without its name."""
    found = document["outputs"]
    if len(signature.outputs) == 1 and not (isinstance(found, dict) and set(found) == set(signature.outputs)):
        found = {next(iter(signature.outputs)): found}
    response = pb.PredictResponse(model_spec=request.model_spec)
    for name in request.output_filter or found:
        array = _array(found[name], signature.outputs[name])
        response.outputs[name].ParseFromString(b"".join(encode(array)))
    return response


def classification(document: dict[str, Any]) -> pb.ClassificationResponse:
    """`results`: a list of [label, score] for each example."""
    response = pb.ClassificationResponse()
    for row in document["results"]:
        classes = response.result.classifications.add().classes
        for label, score in row:
            classes.add(label=label, score=score)
    return response


def regression(document: dict[str, Any]) -> pb.RegressionResponse:
    """`results`: a number for each example."""
    response = pb.RegressionResponse()
    for value in document["results"]:
        response.result.regressions.add(value=value)
    return response


def status(document: dict[str, Any]) -> pb.GetModelStatusResponse:
    """Versions come as strings, states and codes as names."""
    response = pb.GetModelStatusResponse()
    for entry in document["model_version_status"]:
        added = response.model_version_status.add(version=int(entry["version"]))
        added.state = _STATES.get(entry["state"], 0)
        added.status.error_message = entry.get("status", {}).get("error_message", "")
    return response


def metadata(document: dict[str, Any]) -> pb.GetModelMetadataResponse:
    """The signatures; numbers come as strings, dtypes as names."""
    packed = pb.SignatureDefMap()
    for name, item in document["metadata"]["signature_def"]["signature_def"].items():
        definition = packed.signature_def[name]
        definition.method_name = item.get("method_name", "")
        for side in ("inputs", "outputs"):
            for alias, info in item.get(side, {}).items():
                _info(info, getattr(definition, side)[alias])
        for alias in item.get("defaults", {}):
            definition.defaults[alias].SetInParent()
    response = pb.GetModelMetadataResponse()
    response.model_spec.name = document["model_spec"]["name"]
    response.model_spec.version.value = int(document["model_spec"]["version"])
    response.metadata["signature_def"].value = packed.SerializeToString()
    return response


def _info(plain: dict[str, Any], into: pb.TensorInfo) -> None:
    into.name = plain.get("name", "")
    kind = str(plain.get("dtype", ""))
    into.dtype = _NUMBERS.get(_DT.get(kind, kind.removeprefix("DT_").lower()), 0)
    shape = plain.get("tensor_shape", {})
    into.tensor_shape.unknown_rank = bool(shape.get("unknown_rank", False))
    for dim in shape.get("dim", []):
        into.tensor_shape.dim.add(size=int(dim.get("size", 0)))


def _plain(array: NDArray[Any]) -> Any:
    return _encoded(array.tolist()) if array.dtype.kind == "O" else array.tolist()


def _encoded(value: Any) -> Any:
    """Strings as base64, which can carry any bytes."""
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    return {"b64": base64.b64encode(value).decode()}


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return (
        base64.b64decode(value["b64"])
        if isinstance(value, dict)
        else str(value).encode("utf-8", "surrogateescape")
    )


def _feature(feature: pb.Feature) -> Any:
    kind = feature.WhichOneof("kind")
    if kind is None:
        return []
    values = list(getattr(feature, kind).value)
    return _encoded(values) if kind == "bytes_list" else values


def _array(plain: Any, info: pb.TensorInfo) -> NDArray[Any]:
    shape = tuple(dim.size for dim in info.tensor_shape.dim)
    if info.dtype == STRING:
        array = np.array(_decoded(plain), object)
    else:
        # Other dtypes do not occur in JSON, except bfloat16: the server writes it as float32.
        array = np.array(plain, DTYPES.get(info.dtype, BY_NAME["float32"]))
    if not array.size and not info.tensor_shape.unknown_rank:
        # JSON does not tell the shape of an empty array, so it is taken from the signature.
        array = array.reshape([0 if size == -1 else size for size in shape] if math.prod(shape) else shape)
    return array
