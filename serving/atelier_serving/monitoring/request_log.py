"""The request log: a sample of gRPC requests with their answers, as PredictionLog TFRecords.

A file of it, copied to a version's assets.extra/tf_serving_warmup_requests, is a warm-up file: that is why none holds
more than the 1,000 records that a warm-up may have.
"""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from pathlib import Path
from typing import Any

from tensorflow_serving.apis import prediction_log_pb2

from atelier_serving.models.warmup_file import MAX_RECORDS
from atelier_serving.monitoring.request_metrics import RequestMetrics

_log = logging.getLogger(__name__)

# Of each model the newest files are kept.
MAX_FILES = 10
_KINDS = {
    "Predict": "predict_log",
    "Classify": "classify_log",
    "Regress": "regress_log",
    "MultiInference": "multi_inference_log",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]|^\.")


class RequestLog:
    """Writes to `folder/<model>-<time>-<process>.tfrecord`. Thread-safe. Raises `OSError` without the folder."""

    def __init__(self, folder: Path, rate: float, metrics: RequestMetrics) -> None:
        """`rate` of the requests, 0 to 1, are written."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._rate = rate
        self._metrics = metrics
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Any, int]] = {}

    def sample(self, method: str, model: str, request: Any, response: Any) -> None:
        """Write the request and its answer, or not."""
        kind = _KINDS.get(method)
        if kind is None or random.random() >= self._rate:
            return
        log = prediction_log_pb2.PredictionLog()
        getattr(log, kind).request.CopyFrom(request)
        getattr(log, kind).response.CopyFrom(response)
        log.log_metadata.model_spec.CopyFrom(_answered_by(response))
        log.log_metadata.sampling_config.sampling_rate = self._rate
        try:
            self._write(model, log.SerializeToString())
        except Exception as error:
            # A full disk must not fail requests.
            self._metrics.logged(model, type(error).__name__)
            return
        self._metrics.logged(model, "OK")

    def _write(self, model: str, record: bytes) -> None:
        import tensorflow as tf

        with self._lock:
            writer, count = self._open.pop(model, (None, 0))
            if writer is None:
                safe = _UNSAFE.sub("_", model)
                name = f"{safe}-{time.time_ns() // 1_000_000:d}-{os.getpid()}.tfrecord"
                self._drop_old(safe)
                _log.info(f"Request log: {self._folder / name}")
                # A file of our own: neither a link nor what somebody else has put there is followed or emptied.
                os.close(os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
                writer, count = tf.io.TFRecordWriter(str(self._folder / name)), 0
            writer.write(record)
            # Whole records only, whatever becomes of this process.
            writer.flush()
            if count + 1 == MAX_RECORDS:
                writer.close()
            else:
                self._open[model] = (writer, count + 1)

    def _drop_old(self, safe: str) -> None:
        own = re.compile(rf"{re.escape(safe)}-\d+-\d+\.tfrecord")
        # By the time in the name: another worker may be dropping the same files.
        files = sorted(
            (f for f in self._folder.iterdir() if own.fullmatch(f.name)),
            key=lambda f: int(f.name.rsplit("-", 2)[1]),
        )
        for file in files[: max(0, len(files) - MAX_FILES + 1)]:
            file.unlink(missing_ok=True)


def _answered_by(response: Any) -> Any:
    if hasattr(response, "model_spec"):
        return response.model_spec
    return response.results[0].model_spec
