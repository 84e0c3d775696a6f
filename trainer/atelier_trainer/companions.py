"""What travels with a version in assets.extra: warm-up requests and golden examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from atelier_trainer.exported import ExportedModel

GOLDEN_EXAMPLES = 16
# One request of a person, one batch of the client; more would only lengthen every load.
WARMUP_BATCHES = (1, 512)


def write_warmup(path: Path, model: str) -> None:
    """A TFRecord of PredictionLog, replayed by the server before a version answers.

    Format: tensorflow.org/tfx/serving/saved_model_warmup; at most 1000 records.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for rows in WARMUP_BATCHES:
            images = np.zeros([rows, 28, 28], np.uint8)
            # TensorFlow prepares each set of outputs anew, so both sets that clients ask for are warmed.
            for outputs in ([], ["probabilities"]):
                writer.write(_predict_log(model, "serving_default", {"images": images}, outputs))
        writer.write(_predict_log(model, "scaled", {"pixels": np.zeros([1, 784], np.float32)}, []))
        writer.write(_classify_log(model))


def write_golden(path: Path, exported: ExportedModel, images: np.ndarray) -> None:
    """Save the first images (uint8 [N,28,28]) and the exported model's answers as `inputs/..` and `outputs/..`."""
    inputs = {"images": np.asarray(images[:GOLDEN_EXAMPLES])}
    outputs = exported.predict(inputs)
    outputs["label"] = outputs["label"].astype("S")
    arrays = {f"inputs/{name}": value for name, value in inputs.items()}
    arrays |= {f"outputs/{name}": value for name, value in outputs.items()}
    with open(path, "wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def _predict_log(model: str, signature: str, inputs: dict[str, np.ndarray], outputs: list[str]) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.output_filter.extend(outputs)
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


def _classify_log(model: str) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    request = log.classify_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = "classify"
    example = request.input.example_list.examples.add()
    example.features.feature["images"].int64_list.value.extend([0] * 784)
    return log.SerializeToString()
