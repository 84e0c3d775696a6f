"""One request of a log, from a record's bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from atelier_client.errors import ServerFailure
from atelier_client.messages.tensors import decode
from atelier_client.protos import request_log_pb2, serving_pb2
from atelier_client.request_log import examples
from atelier_client.responses import outputs_of

Arrays = dict[str, NDArray[Any]]
_SOURCES = ("server", "client")
# What a record may say, so that one that is wrong cannot stop a reader: TensorFlow Serving's versions are int64, dates
# are computed with up to the year 9999, and no request takes a week.
_VERSIONS = range(2**63)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 1, tzinfo=UTC)
_LONGEST = timedelta(days=7)


class ForeignRecordError(ValueError):
    """The record is none of a request log. str() says why."""


@dataclass(frozen=True)
class LoggedRequest:
    """A request that was answered, as the log has it (docs/contracts.md).

    `time` (UTC) is when it came, `seconds` how long it took, `label` the label that it asked for, `trace_id` 32
    hexadecimal digits, both None where there were none. `source` is "server" or "client", who wrote the record.
    `sampling_rate` is the part of the requests that was kept. `inputs` and `outputs` have the batch as first axis, but
    for the scalars that some models take and give; strings are `bytes` objects. Of a classify or regress request
    the inputs are the features of its examples, the outputs `classes` (bytes, [N,K]) and `scores` (float32, [N,K]), or
    `outputs` (float32, [N]); of a multi-inference they have the signature's name and a slash before them. What the
    server was told to leave out is in `redacted`.
    """

    time: datetime
    model: str
    version: int
    label: str | None
    trace_id: str | None
    seconds: float
    transport: str
    source: str
    signature: str
    sampling_rate: float
    inputs: Arrays
    outputs: Arrays
    redacted: tuple[str, ...] = ()

    @property
    def examples(self) -> int:
        """Its rows: the length of the first axis that most inputs and outputs share; 1 when they share none."""
        lengths = [len(array) for array in (*self.inputs.values(), *self.outputs.values()) if array.ndim]
        return max(lengths, key=lengths.count, default=1)


def parse(record: bytes) -> LoggedRequest:
    """A record's request. Raises `ForeignRecordError`."""
    try:
        log = request_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise ForeignRecordError("it is no PredictionLog") from None
    kind = log.WhichOneof("log_type")
    if kind is None:
        raise ForeignRecordError(
            "it is no PredictionLog of a predict, classify, regress or multi-inference request"
        )
    if not log.details:
        raise ForeignRecordError(
            "it has no time (field 1000): an older atelier-serving or another program wrote it"
        )
    details = _details(log.details)
    exchange = getattr(log, kind)
    try:
        inputs, outputs = _arrays(kind, exchange)
    except ServerFailure as error:
        raise ForeignRecordError(f"its tensors cannot be read: {error}") from None
    spec = log.log_metadata.model_spec
    return LoggedRequest(
        **details,
        signature=spec.signature_name or "serving_default",
        sampling_rate=log.log_metadata.sampling_config.sampling_rate,
        inputs=inputs,
        outputs=outputs,
    )


def _arrays(kind: str, exchange: Any) -> tuple[Arrays, Arrays]:
    if kind == "predict_log":
        inputs = {name: decode(tensor) for name, tensor in exchange.request.inputs.items()}
        return inputs, outputs_of(exchange.response)
    if kind != "multi_inference_log":
        return examples.columns(exchange.request.input), outputs_of(exchange.response)
    outputs: Arrays = {}
    for result in exchange.response.results:
        answer = (
            serving_pb2.ClassificationResponse(result=result.classification_result)
            if result.HasField("classification_result")
            else serving_pb2.RegressionResponse(result=result.regression_result)
        )
        for name, array in outputs_of(answer).items():
            outputs[f"{result.model_spec.signature_name}/{name}"] = array
    return examples.columns(exchange.request.input), outputs


def _details(text: bytes) -> dict[str, Any]:
    """The fields of the record's JSON. Raises `ForeignRecordError`."""
    try:
        details = json.loads(text)
        time = datetime.fromisoformat(details["time"])
        fields = {
            "time": time.astimezone(UTC),
            "model": details["model"],
            "version": details["version"],
            "label": details["label"],
            "trace_id": details["trace_id"],
            "seconds": float(details["seconds"]),
            "transport": details["transport"],
            "source": details["source"],
            "redacted": tuple(details.get("redacted", ())),
        }
        known = (
            time.tzinfo is not None
            and isinstance(fields["model"], str)
            and type(fields["version"]) is int
            and fields["version"] in _VERSIONS
            and _EARLIEST <= fields["time"] <= _LATEST
            and isinstance(fields["transport"], str)
            and fields["source"] in _SOURCES
            and 0 <= fields["seconds"] <= _LONGEST.total_seconds()
            and all(isinstance(fields[name], str | None) for name in ("label", "trace_id"))
            and all(isinstance(name, str) for name in fields["redacted"])
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        known = False
    if not known:
        raise ForeignRecordError(f"its field 1000 is not that of a request log: {text[:80]!r}")
    return fields
