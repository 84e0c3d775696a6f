"""What one reading of the server's metrics says of a model: counts so far, by version.

The embedded server's own names know the version; TensorFlow Serving's do not, so its requests are all under one name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from atelier_client._metrics_page import Sample

_SERVING = ":tensorflow:serving:"
ALL = "all"
# TensorFlow Serving counts only these: requests that run a graph.
_INFERENCE = frozenset(
    (
        "Predict",
        "Classify",
        "Regress",
        "MultiInference",
        "predict",
        "classify",
        "regress",
        "ModelInfer",
        "infer",
    )
)
_MICROSECOND = 1e-6


@dataclass
class Counts:
    """Requests so far: all, failed, and by upper bound of the latency in seconds (cumulative, as Prometheus has it)."""

    requests: float = 0.0
    failed: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)


@dataclass
class Snapshot:
    """One reading. `rows` went through `batches` batches; `memory` is in bytes, None where the server does not tell."""

    seconds: float
    versions: dict[str, Counts] = field(default_factory=dict)
    rows: float = 0.0
    batches: float = 0.0
    memory: float | None = None


def read(samples: Iterable[Sample], model: str, seconds: float) -> Snapshot:
    """The snapshot of a model, from the samples of the metrics pages; those of several servers are added up."""
    found = Snapshot(seconds)
    plain = Counts()
    rows = runs = 0.0
    for sample in samples:
        labels, value = sample.labels, sample.value
        if sample.name == "process_resident_memory_bytes":
            found.memory = (found.memory or 0.0) + value
        elif sample.name == f"{_SERVING}batching_session:wrapped_run_count":
            runs += value
        elif labels.get("model_name", labels.get("model")) != model:
            continue
        elif sample.name.startswith("atelier_request_seconds_"):
            _versioned(found, sample, labels)
        elif sample.name == "atelier_batch_rows_sum":
            found.rows += value
        elif sample.name == "atelier_batch_rows_count":
            found.batches += value
        elif sample.name == f"{_SERVING}request_count":
            plain.requests += value
            plain.failed += 0 if labels.get("status") == "OK" else value
        elif sample.name == f"{_SERVING}request_latency_bucket":
            _bucket(plain, labels, value, _MICROSECOND)
        elif sample.name == f"{_SERVING}request_example_counts_sum":
            rows += value
    if not found.versions and plain.requests:
        found.versions[ALL] = plain
    if not found.batches and runs:
        found.rows, found.batches = rows, runs
    return found


def _versioned(found: Snapshot, sample: Sample, labels: Mapping[str, str]) -> None:
    if labels.get("api") not in _INFERENCE or not labels.get("model_version"):
        return
    counts = found.versions.setdefault(labels["model_version"], Counts())
    if sample.name.endswith("_count"):
        counts.requests += sample.value
        counts.failed += 0 if labels.get("status") == "OK" else sample.value
    elif sample.name.endswith("_bucket"):
        _bucket(counts, labels, sample.value, 1.0)


def _bucket(counts: Counts, labels: Mapping[str, str], value: float, unit: float) -> None:
    try:
        bound = float(labels.get("le", "")) * unit
    except ValueError:
        return
    counts.buckets[bound] = counts.buckets.get(bound, 0.0) + value
