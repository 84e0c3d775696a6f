"""Warm-up: replays the recorded requests of a version before it becomes AVAILABLE.

Rules: servables/tensorflow/saved_model_warmup_util.cc at 2.20.0.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import classification_pb2, inference_pb2, prediction_log_pb2, regression_pb2

from atelier_serving.inference.classify import classify, regress
from atelier_serving.inference.multi_inference import multi_inference
from atelier_serving.inference.predict import DEFAULT_SIGNATURE, predict
from atelier_serving.models.servable import Servable
from atelier_serving.models.warmup_file import MAX_RECORDS, WARMUP_FILE
from atelier_serving.status import Code, ServingError, invalid

_REPLAYED = ("predict_log", "classify_log", "regress_log", "multi_inference_log")
_SHOWN_BYTES = 256


def warm_up(servable: Servable, iterations: int = 1) -> int:
    """Replay each record of the version's warm-up file `iterations` times. Return the number of records.

    When a record fails, the load fails. Raises `ServingError`: DATA_LOSS for a damaged file, INVALID_ARGUMENT for a
    record that is no PredictionLog or for more than 1000 records, or the error of the replayed request.
    """
    path = servable.folder / WARMUP_FILE
    if not path.exists():
        return 0
    count = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            log = _parsed(record, path)
            for _ in range(max(iterations, 1)):
                _replay(servable, log)
            count += 1
            if count > MAX_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
    except tf.errors.DataLossError as error:
        text = f"{error.message}. Please verify your warmup data is in TFRecord format."
        raise ServingError(Code.DATA_LOSS, text) from None
    return count


def _parsed(record: bytes, path: Path) -> prediction_log_pb2.PredictionLog:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        text = record[:_SHOWN_BYTES].decode("utf-8", "replace")
        raise invalid(f"Failed to parse warmup record: {text} from {path}") from None


def _replay(servable: Servable, log: prediction_log_pb2.PredictionLog) -> None:
    """Replay one record. Its model name and version are ignored. A record without a request is an error."""
    kind = log.WhichOneof("log_type")
    if kind is None:
        return
    if kind not in _REPLAYED:
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
    request = getattr(log, kind).request
    if kind == "multi_inference_log":
        multi_inference(servable, request, inference_pb2.MultiInferenceResponse())
        return
    signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if kind == "predict_log":
        predict(servable, signature, request.inputs, list(request.output_filter))
    elif kind == "classify_log":
        classify(servable, signature, request.input, classification_pb2.ClassificationResult())
    else:
        regress(servable, signature, request.input, regression_pb2.RegressionResult())
