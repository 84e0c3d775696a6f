"""What the two clients share: requests built, rows split, answers joined. No input or output happens here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.protos import serving_pb2 as pb
from atelier_client.signature import Signature
from atelier_client.tensors import decode, encode

DEFAULT_TIMEOUT = 30.0
# Rows travel in requests of about this size, at most so many rows, so many requests at a time. Measured with 10,000
# images of 784 bytes against a server on the same two cores: larger or more gains nothing, smaller costs calls.
REQUEST_BYTES = 400_000
REQUEST_ROWS = 1024
IN_FLIGHT = 4

METHODS = {
    "predict": "/tensorflow.serving.PredictionService/Predict",
    "metadata": "/tensorflow.serving.PredictionService/GetModelMetadata",
    "status": "/tensorflow.serving.ModelService/GetModelStatus",
}


class State(IntEnum):
    """A version's state (apis/get_model_status.proto)."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class VersionStatus:
    """One version as the server reports it; `error` is empty unless it failed."""

    version: int
    state: State
    error: str


class Prediction(dict[str, NDArray[Any]]):
    """Named outputs, rows in the order of the inputs.

    `versions` are those that answered (two when the server swapped in the middle), `seconds` the time of each request.
    """

    versions: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()


def model_spec(
    model: str, signature: str = "", version: int | None = None, label: str | None = None
) -> pb.ModelSpec:
    """The request's model: newest version, one version, or one label. Raises ValueError for both."""
    spec = pb.ModelSpec(name=model, signature_name=signature)
    if version is not None and label is not None:
        raise ValueError("give a version or a label, not both")
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def predict_requests(
    spec: pb.ModelSpec,
    signature: Signature,
    arrays: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
    rows_per_request: int | None,
) -> list[pb.PredictRequest]:
    """One request, or as many as the rows need; a batch without rows is one request."""
    if not signature.splittable() or not arrays:
        return [_request(spec, arrays, outputs)]
    rows = len(next(iter(arrays.values())))
    size = rows_per_request or _rows_per_request(arrays, rows)
    return [
        _request(spec, {name: array[start : start + size] for name, array in arrays.items()}, outputs)
        for start in range(0, max(rows, 1), size)
    ]


def join(responses: Sequence[pb.PredictResponse], seconds: Sequence[float]) -> Prediction:
    """The outputs of all requests as one."""
    parts = [{name: decode(tensor) for name, tensor in response.outputs.items()} for response in responses]
    result = Prediction()
    for name in sorted(parts[0]):
        columns = [part[name] for part in parts]
        result[name] = columns[0] if len(columns) == 1 else np.concatenate(columns)
    result.versions = tuple(sorted({response.model_spec.version.value for response in responses}))
    result.seconds = tuple(seconds)
    return result


def read_status(response: pb.GetModelStatusResponse) -> list[VersionStatus]:
    """The entries, highest version first as the server sends them."""
    return [
        VersionStatus(entry.version, State(entry.state), entry.status.error_message)
        for entry in response.model_version_status
    ]


def _request(
    spec: pb.ModelSpec, arrays: Mapping[str, NDArray[Any]], outputs: Sequence[str]
) -> pb.PredictRequest:
    request = pb.PredictRequest(model_spec=spec, output_filter=outputs)
    for name, array in arrays.items():
        encode(array, request.inputs[name])
    return request


def _rows_per_request(arrays: Mapping[str, NDArray[Any]], rows: int) -> int:
    size = 0
    for array in arrays.values():
        # Strings are measured, not guessed: an object array's own bytes are pointers.
        size += sum(len(item) for item in array.ravel().tolist()) if array.dtype.kind == "O" else array.nbytes
    return max(1, min(REQUEST_ROWS, REQUEST_BYTES * max(rows, 1) // max(size, 1)))
