"""A request with its answer, kept until the request log has written it, and its record's bytes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import numpy as np
from tensorflow_serving.apis import prediction_log_pb2

from atelier_serving.monitoring.redaction import remove
from atelier_serving.tensors import encode

_KINDS = {
    "Predict": "predict_log",
    "Classify": "classify_log",
    "Regress": "regress_log",
    "MultiInference": "multi_inference_log",
}
# Field 1000 of a PredictionLog, bytes: docs/contracts.md.
_DETAILS_TAG = 1000 << 3 | 2


class Exchange(Protocol):
    """A request and its answer."""

    def size(self) -> int:
        """The bytes that it keeps in memory, about."""

    def log(self) -> Any:
        """Its PredictionLog, without the metadata of this server."""


class Facts(NamedTuple):
    """What the log says of a request beside its tensors: `time` in seconds since 1970, and how long it took."""

    time: float
    seconds: float
    model: str
    version: int
    label: str
    trace_id: str | None
    transport: str


@dataclass(slots=True)
class Messages:
    """A request and its answer as protos of `method`."""

    method: str
    request: Any
    response: Any

    def size(self) -> int:
        """See `Exchange`."""
        return int(self.request.ByteSize() + self.response.ByteSize())

    def log(self) -> Any:
        """See `Exchange`."""
        log = prediction_log_pb2.PredictionLog()
        getattr(log, _KINDS[self.method]).request.CopyFrom(self.request)
        getattr(log, _KINDS[self.method]).response.CopyFrom(self.response)
        log.log_metadata.model_spec.CopyFrom(_answered_by(self.response))
        return log


@dataclass(slots=True)
class Arrays:
    """A predict request and its answer as arrays by the aliases of the signature."""

    model: str
    version: int
    signature: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]

    def size(self) -> int:
        """See `Exchange`."""
        return sum(_size(array) for arrays in (self.inputs, self.outputs) for array in arrays.values())

    def log(self) -> Any:
        """See `Exchange`."""
        log = prediction_log_pb2.PredictionLog()
        request, response = log.predict_log.request, log.predict_log.response
        request.model_spec.name = self.model
        request.model_spec.signature_name = self.signature
        response.model_spec.CopyFrom(request.model_spec)
        response.model_spec.version.value = self.version
        for arrays, protos in ((self.inputs, request.inputs), (self.outputs, response.outputs)):
            for alias, array in arrays.items():
                encode(array, protos[alias], as_content=True)
        log.log_metadata.model_spec.CopyFrom(response.model_spec)
        return log


def is_logged(method: str) -> bool:
    """Whether calls of this method are kept: those that run a graph."""
    return method in _KINDS


def record(exchange: Exchange, facts: Facts, rate: float, hidden: Collection[str]) -> tuple[bytes, list[str]]:
    """The bytes of a record, and the names that were taken out of it.

    `rate` is the share of requests that is kept, `hidden` are the names to take out.
    """
    log = exchange.log()
    log.log_metadata.sampling_config.sampling_rate = rate
    details = {
        "time": datetime.fromtimestamp(facts.time, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z"),
        "model": facts.model,
        "version": facts.version,
        "label": facts.label or None,
        "trace_id": facts.trace_id,
        "seconds": round(facts.seconds, 6),
        "transport": facts.transport,
        "source": "server",
    }
    removed = remove(log, hidden) if hidden else []
    if removed:
        details["redacted"] = removed
    text = json.dumps(details, separators=(",", ":")).encode()
    # Protobuf merges concatenated messages, so a field that the official message does not have goes behind it.
    return bytes(log.SerializeToString()) + _varint(_DETAILS_TAG) + _varint(len(text)) + text, removed


def _answered_by(response: Any) -> Any:
    if hasattr(response, "model_spec"):
        return response.model_spec
    return response.results[0].model_spec


def _size(array: np.ndarray) -> int:
    return array.nbytes + (sum(map(len, array.flat)) if array.dtype == object else 0)


def _varint(number: int) -> bytes:
    """A number as protobuf writes it (https://protobuf.dev/programming-guides/encoding/#varints)."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
