"""The request log: a sample of gRPC requests with their responses, as PredictionLog records in TFRecord files.

A file of the log, copied to assets.extra/tf_serving_warmup_requests of a version, is a warm-up file. So a file has at
most 1,000 records, the limit of a warm-up.
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

# For each model so many of the newest files are kept.
MAX_FILES = 10
_KINDS = {
    "Predict": "predict_log",
    "Classify": "classify_log",
    "Regress": "regress_log",
    "MultiInference": "multi_inference_log",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]|^\.")


class RequestLog:
    """Writes `folder/<model>-<time>-<process>.tfrecord`. Thread-safe. Raises `OSError` when the folder is missing."""

    def __init__(self, folder: Path, rate: float, metrics: RequestMetrics) -> None:
        """`rate`, from 0 to 1, is the share of requests that are written."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._rate = rate
        self._metrics = metrics
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Any, int]] = {}

    def sample(self, method: str, model: str, request: Any, response: Any) -> None:
        """Write the request and its response, when it falls into the sample."""
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
            # A full disk must not make requests fail.
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
                # O_EXCL makes a new file: an existing link or file is never followed or overwritten.
                os.close(os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
                writer = tf.io.TFRecordWriter(str(self._folder / name))
                count = 0
            writer.write(record)
            # Each record is flushed at once, so the file has whole records even when this process dies.
            writer.flush()
            if count + 1 == MAX_RECORDS:
                writer.close()
            else:
                self._open[model] = (writer, count + 1)

    def _drop_old(self, safe: str) -> None:
        own = re.compile(rf"{re.escape(safe)}-\d+-\d+\.tfrecord")
        # The names sort by time. Another worker may delete the same files at the same time.
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
