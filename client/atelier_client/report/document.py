"""The report of an evaluation as plain data: the content of evaluation.json. The other formats are made from it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from atelier_client._model_card import ModelCard
from atelier_client.data.table import Reader
from atelier_client.evaluation.passes.evaluate import EvaluationResult

_CARD = (
    "model",
    "job_digest",
    "run",
    "task",
    "parameters",
    "versions",
    "git_revision",
    "created_at",
    "warnings",
)


def report_of(
    reader: Reader,
    result: EvaluationResult,
    *,
    model: Mapping[str, Any],
    card: ModelCard | None,
    skew: Mapping[str, Any],
    own_test_split: bool,
) -> dict[str, Any]:
    """The whole report.

    `model` describes the model that was evaluated (`name`, `version`, `label`, `target`). `skew` is the result of
    `skew.measure`. `own_test_split` is True when the trainer tested the model on the same examples.
    """
    asked = result.question
    counts = result.findings.counts
    found = result.findings.document()
    partial = result.stopped is not None
    examples = result.examples
    return {
        "model": dict(model),
        "dataset": {
            "name": card.data if card and own_test_split else reader.name,
            "split": "test" if own_test_split else None,
            "examples": examples,
            "of": reader.rows if reader.rows is not None or partial else examples,
            # Of sequences each step is measured, of several numbers a row each number.
            **({"elements": counts.examples} if counts.examples != examples else {}),
            "sha256": None if partial else reader.sha256(),
        },
        "partial": partial,
        "task": asked.task,
        "output": asked.output,
        **found,
        "trained": _trained_metrics(
            found["metrics"], card.metrics if card and own_test_split and not partial else {}
        )
        | {"sha256": card.test_sha256 if card and own_test_split else None},
        "slices": result.slices.rows(counts, asked.main, asked.shown),
        "latency_ms": _percentiles(result.latencies),
        "latency_histogram": _histogram(result.latencies),
        "throughput": {
            "examples_per_s": round(examples / result.seconds, 1),
            "requests_per_s": round(len(result.latencies) / result.seconds, 1),
            "seconds": round(result.seconds, 3),
        },
        "skew": dict(skew),
        "model_card": {name: card.document[name] for name in _CARD if card and name in card.document},
        "environment": environment() | {"started_at": result.started_at},
    }


def environment() -> dict[str, str]:
    """The versions of the software that measured."""
    packages = {name: metadata.version(name) for name in ("atelier-client", "numpy", "grpcio", "protobuf")}
    return {
        **packages,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    values = np.percentile(np.asarray(seconds) * 1000, [50, 95, 99])
    return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}


def _histogram(seconds: Sequence[float], bins: int = 24) -> dict[str, list[float]]:
    """Requests by duration. `edges_ms` has one value more than `counts`; they grow by a constant factor."""
    values = np.asarray(seconds) * 1000
    low = float(values.min())
    high = float(values.max())
    edges = np.geomspace(max(low, 1e-3), max(high, low * 1.01, 2e-3), bins + 1)
    edges[0] = min(edges[0], low)
    edges[-1] = max(edges[-1], high)
    counts, _ = np.histogram(values, edges)
    return {"edges_ms": [round(float(edge), 4) for edge in edges], "counts": counts.tolist()}


def _trained_metrics(measured: Mapping[str, float], trained: Mapping[str, float]) -> dict[str, Any]:
    """The trainer's metrics on the same examples and the largest difference. Both are None when there are none."""
    shared = [name for name in measured if name in trained]
    if not shared:
        return {"metrics": None, "max_abs_diff": None}
    own = {name: trained[name] for name in shared}
    differences = [abs(measured[name] - own[name]) for name in shared]
    # NaN counts as an infinite difference.
    largest = max(difference if np.isfinite(difference) else np.inf for difference in differences)
    return {"metrics": own, "max_abs_diff": largest}
