"""The bytes of a record that the client writes (docs/contracts.md)."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple

from atelier_client._trace_context import trace_id
from atelier_client.messages.tensors import STRING, decode
from atelier_client.protos import request_log_pb2, serving_pb2

# The kind of log of each method that is kept.
KINDS = {"predict": "predict_log", "classify": "classify_log", "regress": "regress_log"}


class Exchange(NamedTuple):
    """A request, serialized, and its answer; `time` (seconds since 1970) is when it was sent.

    With `v2` both are messages of the Open Inference Protocol.
    """

    method: str
    model: str
    request: bytes
    response: Any
    time: float
    seconds: float
    transport: str
    traceparent: str | None
    v2: bool = False


def serialized(exchange: Exchange, rate: float, hidden: Collection[str]) -> bytes:
    """The record. `rate` is the part of the requests that is kept, `hidden` are the names that are not."""
    log = request_log_pb2.PredictionLog()
    part = getattr(log, KINDS[exchange.method])
    if exchange.v2:
        from atelier_client.open_inference.log import as_predict

        request, response = as_predict(exchange.request, exchange.response)
        part.request.CopyFrom(request)
        part.response.CopyFrom(response)
    else:
        part.request.ParseFromString(exchange.request)
        part.response.CopyFrom(exchange.response)
    asked = part.request.model_spec
    answered = part.response.model_spec
    spec = log.log_metadata.model_spec
    spec.name = exchange.model
    spec.signature_name = asked.signature_name
    # REST does not tell the version; then it is the one that was asked for, or 0.
    spec.version.value = answered.version.value or asked.version.value
    log.log_metadata.sampling_config.sampling_rate = rate
    time = datetime.fromtimestamp(exchange.time, UTC).isoformat(timespec="microseconds")
    details = {
        "time": time.replace("+00:00", "Z"),
        "model": exchange.model,
        "version": spec.version.value,
        "label": asked.version_label or None,
        "trace_id": trace_id(exchange.traceparent),
        "seconds": round(exchange.seconds, 6),
        "transport": exchange.transport,
        "source": "client",
    }
    if hidden and (removed := _remove(exchange.method, part, hidden)):
        details["redacted"] = removed
    log.details = json.dumps(details, separators=(",", ":")).encode()
    return log.SerializeToString()


def _remove(method: str, part: Any, hidden: Collection[str]) -> list[str]:
    """Take out what has such a name, as the embedded server does (docs/serving.md); the names that were there."""
    removed: set[str] = set()
    if method == "predict":
        for tensors in (part.request.inputs, part.response.outputs):
            for name in [name for name in tensors if name in hidden or _has_feature(tensors[name], hidden)]:
                del tensors[name]
                removed.add(name)
        return sorted(removed)
    for example in part.request.input.example_list.examples:
        for name in [name for name in example.features.feature if name in hidden]:
            del example.features.feature[name]
            removed.add(name)
    if method == "regress":
        if "outputs" in hidden:
            part.response.result.ClearField("regressions")
            removed.add("outputs")
        return sorted(removed)
    for row in part.response.result.classifications:
        for item in row.classes:
            for name, field in (("classes", "label"), ("scores", "score")):
                if name in hidden:
                    item.ClearField(field)
                    removed.add(name)
    return sorted(removed)


def _has_feature(tensor: Any, hidden: Collection[str]) -> bool:
    """Whether a tensor holds serialized tf.Examples with a feature of these names."""
    if tensor.dtype != STRING:
        return False
    try:
        for value in decode(tensor).ravel().tolist():
            features = serving_pb2.Example.FromString(value).features.feature
            if any(name in features for name in hidden):
                return True
    except Exception:
        # It is no tf.Example.
        pass
    return False
