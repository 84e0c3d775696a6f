"""The file of `--batching_parameters_file`, with the fields, defaults and errors of TensorFlow Serving.

Defaults: tensorflow/core/kernels/batching_util/shared_batch_scheduler.h; checks: the same, and
servables/tensorflow/bundle_factory_util.cc, at 2.20.0.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from atelier_serving.status import invalid
from atelier_serving.text_protos import read_text_proto

# A file in the folder of a version; the server reads it with --enable_per_model_batching_parameters.
PER_MODEL_FILE = "batching_params.pbtxt"


@dataclass(frozen=True)
class BatchingParameters:
    """Sizes are rows (the first dimension); `timeout` is in seconds."""

    max_batch_size: int = 1000
    timeout: float = 0.0
    max_enqueued_batches: int = 10
    threads: int = os.cpu_count() or 1
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    splitting: bool = False
    max_execution_batch_size: int = 1000


def read_batching_parameters(path: Path) -> BatchingParameters:
    """Read and check a BatchingParameters text proto. Raises `ServingError`."""
    message = read_text_proto(path, "BatchingParameters")
    plain = BatchingParameters()

    def value(name: str, default: int) -> int:
        return getattr(message, name).value if message.HasField(name) else default

    size = value("max_batch_size", plain.max_batch_size)
    splitting = message.enable_large_batch_splitting.value
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size"):
        if value(name, 1) < 1:
            raise invalid(f"{name} must be positive; was {value(name, 1)}")
    if value("batch_timeout_micros", 0) < 0:
        raise invalid(f"batch_timeout_micros must be non-negative; was {value('batch_timeout_micros', 0)}")
    allowed = tuple(message.allowed_batch_sizes)
    if allowed and allowed[-1] != size:
        raise invalid(
            "Last entry in allowed_batch_sizes must match max_batch_size; "
            f"last entry was {allowed[-1]}; expected {size}"
        )
    if list(allowed) != sorted(set(allowed)) or any(entry < 1 for entry in allowed):
        raise invalid("allowed_batch_sizes entries must be monotonically increasing")
    execution = value("max_execution_batch_size", size) if splitting else size
    if execution > size:
        raise invalid(
            f"max_execution_batch_size should be less than or equal to max_batch_size ({size}); was {execution}"
        )
    return BatchingParameters(
        max_batch_size=size,
        timeout=value("batch_timeout_micros", 0) / 1e6,
        max_enqueued_batches=value("max_enqueued_batches", plain.max_enqueued_batches),
        threads=value("num_batch_threads", plain.threads),
        thread_pool_name=message.thread_pool_name.value or plain.thread_pool_name,
        allowed_batch_sizes=allowed,
        pad_variable_length_inputs=message.pad_variable_length_inputs,
        splitting=splitting,
        max_execution_batch_size=execution,
    )
