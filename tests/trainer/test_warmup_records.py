"""The warm-up requests of a version: what every server can answer, whatever its batching file allows."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.support.models import publish_untrained


def test_every_warm_up_request_has_one_row(tmp_path: Path) -> None:
    """TensorFlow Serving fails the load when one has more rows than max_batch_size, which may be 1."""
    version = publish_untrained(tmp_path)
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    kinds = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kinds.append(str(log.WhichOneof("log_type")))
        for tensor in log.predict_log.request.inputs.values():
            assert tensor.tensor_shape.dim[0].size == 1
        examples = log.classify_log.request.input.example_list.examples
        assert len(examples) == (1 if kinds[-1] == "classify_log" else 0)
    assert kinds == ["predict_log", "predict_log", "predict_log", "classify_log"]
