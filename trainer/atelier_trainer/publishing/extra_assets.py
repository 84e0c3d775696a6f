"""The files in a version's assets.extra: warm-up requests and golden examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from atelier_trainer.publishing.exported_model import ExportedModel
from atelier_trainer.publishing.heads import head_of
from atelier_trainer.training.data_spec import Spec

GOLDEN_EXAMPLES = 16
# A batching file may allow one row a request and no more. TensorFlow Serving fails the load of a version whose
# warm-up asks for more rows than that, and keeps its ports shut.
WARMUP_ROWS = 1


def write_warmup(path: Path, model: str, spec: Spec) -> None:
    """A TFRecord of PredictionLog, replayed by the server before a version answers.

    Format: tensorflow.org/tfx/serving/saved_model_warmup; at most 1000 records.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        # TensorFlow prepares each set of outputs anew, so both sets that clients ask for are warmed.
        for outputs in ([], [spec.output_name]):
            inputs = _blank(spec, WARMUP_ROWS)
            writer.write(predict_log(model, "serving_default", inputs, outputs))
        if spec.kind == "image":
            pixels = np.zeros([WARMUP_ROWS, math.prod(spec.shape)], np.float32)
            writer.write(predict_log(model, "scaled", {"pixels": pixels}, []))
        writer.write(_example_log(model, spec))


def write_golden(path: Path, exported: ExportedModel, spec: Spec, inputs: np.ndarray) -> None:
    """Save the first inputs and the exported model's answers as `inputs/..` and `outputs/..`."""
    first = inputs[:GOLDEN_EXAMPLES]
    named = {name: first[name] for name in first.dtype.names or ()} or {spec.input_name: first}
    save_golden(path, named, exported.predict(named))


def save_golden(path: Path, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
    """Save named inputs and what the exported model answered to them."""
    arrays = {f"inputs/{name}": _bytes(value) for name, value in inputs.items()}
    arrays |= {f"outputs/{name}": _bytes(value) for name, value in outputs.items()}
    with open(path, "wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def _bytes(values: np.ndarray) -> np.ndarray:
    """Texts as bytes arrays of one width; anything else as it is."""
    if values.dtype != object:
        return np.asarray(values)
    flat = [value.encode() if isinstance(value, str) else value for value in values.ravel()]
    return np.array(flat, "S").reshape(values.shape)


def _blank(spec: Spec, rows: int) -> dict[str, np.ndarray]:
    if spec.features:
        return {
            column.name: np.zeros([rows], np.float32) if column.kind == "number" else np.array([b""] * rows)
            for column in spec.features
        }
    if spec.kind == "text":
        return {spec.input_name: np.array([b"a word or two"] * rows)}
    return {spec.input_name: np.zeros([rows, *spec.shape], np.uint8 if spec.kind == "image" else np.float32)}


def predict_log(
    model: str, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> bytes:
    """A serialized PredictionLog of one predict request; `outputs` are those that it asks for, empty for all."""
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.output_filter.extend(outputs)
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


def _example_log(model: str, spec: Spec) -> bytes:
    """A request with a tf.Example for the task's signature."""
    signature = head_of(spec).signature
    log = prediction_log_pb2.PredictionLog()
    request = (log.regress_log if signature == "regress" else log.classify_log).request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    features = request.input.example_list.examples.add().features.feature
    for column in spec.features:
        if column.kind == "number":
            features[column.name].float_list.value.append(0.0)
        else:
            features[column.name].bytes_list.value.append(b"")
    if spec.features:
        return log.SerializeToString()
    feature = features[spec.input_name]
    if spec.kind == "text":
        feature.bytes_list.value.append(b"a word or two")
    elif spec.kind == "image":
        feature.int64_list.value.extend([0] * math.prod(spec.shape))
    else:
        feature.float_list.value.extend([0.0] * math.prod(spec.shape))
    return log.SerializeToString()
