"""Request logs as a server or a recorder writes them (docs/contracts.md), with the requests that a test wants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from atelier_client.messages.tensors import encode
from atelier_client.protos import request_log_pb2, serving_pb2

START = datetime(2026, 11, 30, 16, 0, tzinfo=UTC)


def write_log(
    folder: Path,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    *,
    model: str = "fashion",
    version: int = 1,
    start: datetime = START,
    step: timedelta = timedelta(seconds=1),
    batch: int = 1,
    signature: str = "serving_default",
    redacted: Sequence[str] = (),
) -> Path:
    """A file of predict requests, `batch` rows each, one after the other by `step`; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model}-{round(start.timestamp() * 1000)}-7.tfrecord"
    rows = max(len(array) for array in (*inputs.values(), *outputs.values()))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, first in enumerate(range(0, rows, batch)):
            log = request_log_pb2.PredictionLog()
            spec = log.log_metadata.model_spec
            spec.name, spec.signature_name = model, signature
            spec.version.value = version
            for side, arrays in (
                (log.predict_log.request.inputs, inputs),
                (log.predict_log.response.outputs, outputs),
            ):
                for name, array in arrays.items():
                    side[name].CopyFrom(_tensor(array[first : first + batch]))
            log.details = details(
                start + number * step, model=model, version=version, redacted=list(redacted)
            )
            writer.write(log.SerializeToString())
    return path


def details(time: datetime, **changed: Any) -> bytes:
    """Field 1000 of a record."""
    document = {
        "time": time.isoformat().replace("+00:00", "Z"),
        "model": "fashion",
        "version": 1,
        "label": None,
        "trace_id": None,
        "seconds": 0.01,
        "transport": "grpc",
        "source": "server",
    }
    return json.dumps(document | changed).encode()


def _tensor(array: np.ndarray) -> serving_pb2.Tensor:
    head, content = encode(array)
    return serving_pb2.Tensor.FromString(head + bytes(content))
