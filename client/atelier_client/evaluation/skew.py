"""Train/serve skew: the served model must give the outputs and the metrics that the trainer computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from atelier_client._model_card import Golden
from atelier_client.client import Client

# Two builds of TensorFlow may sum in different orders; then a float32 probability differs by about 1e-6. For outputs
# beyond 1 it is relative to the largest of them.
TOLERANCE = 1e-4
# The tolerance for metrics over all examples. For a loss above 1 it is relative, for errors in a label's unit always.
METRIC_TOLERANCE = 1e-3
_IN_A_UNIT = ("mae", "rmse", "median_absolute_error")
UNKNOWN: dict[str, Any] = {
    "examples": None,
    "max_abs_diff": None,
    "max_scaled_diff": None,
    "mismatched_labels": None,
}


def measure(client: Client, version: int, golden: Golden | None) -> dict[str, Any]:
    """`examples`, `max_abs_diff` over all float outputs, `mismatched_labels` (rows whose class differs).

    `max_scaled_diff` is that difference over the largest value of its output, where that is above 1. All are None
    (`UNKNOWN`) when the version has no golden examples to compare with.
    """
    if golden is None:
        return dict(UNKNOWN)
    served = client.predict(golden.inputs, version=version)
    rows = len(next(iter(golden.inputs.values())))
    largest = scaled = 0.0
    mismatched = np.zeros(rows, bool)
    for name, wanted in golden.outputs.items():
        got = served.get(name)
        if got is None or got.shape != wanted.shape:
            mismatched[:] = True
        elif wanted.dtype.kind == "f":
            difference = np.abs(got.astype(np.float64) - wanted)
            # NaN counts as an infinite difference.
            worst = float(np.where(np.isfinite(difference), difference, np.inf).max(initial=0.0))
            largest = max(largest, worst)
            scaled = max(scaled, worst / max(1.0, float(np.abs(wanted).max(initial=0.0))))
        else:
            different = got.astype("S") != wanted if wanted.dtype.kind == "S" else got != wanted
            mismatched |= different.reshape(rows, -1).any(axis=1)
    return {
        "examples": rows,
        "max_abs_diff": largest,
        "max_scaled_diff": scaled,
        "mismatched_labels": int(mismatched.sum()),
    }


def verdict(skew: dict[str, Any]) -> str | None:
    """A sentence when the served model is not the trained one, else None."""
    if skew["examples"] is None or (skew["mismatched_labels"] == 0 and skew["max_scaled_diff"] <= TOLERANCE):
        return None
    return (
        f"The served model answers its golden examples wrongly: of {skew['examples']} labels "
        f"{skew['mismatched_labels']} differ, and a value by {skew['max_abs_diff']:.3g} "
        f"(allowed {TOLERANCE:g}, of outputs "
        "beyond 1 that share of the largest). "
        "It is not the model that was trained; publish it again (make up RETRAIN=1)."
    )


def metrics_verdict(report: Mapping[str, Any]) -> str | None:
    """A sentence when a metric differs from the trainer's, else None. None when the trainer gave no metrics."""
    trained = report["trained"]["metrics"] or {}
    measured = report["metrics"]
    wrong = [
        name
        for name, value in trained.items()
        # `not <=` is also true for NaN.
        if not abs(measured[name] - value)
        <= METRIC_TOLERANCE * (abs(value) if name in _IN_A_UNIT else max(1.0, abs(value)))
    ]
    if not wrong:
        return None
    shown = ", ".join(f"{name} {measured[name]:.4f} (trainer: {trained[name]:.4f})" for name in wrong[:4])
    more = ", .." if len(wrong) > 4 else ""
    return (
        f"On the trainer's own test examples the served model has {shown}{more}. The model, the examples or their "
        "labels are not those of training; fetch the data again, or publish the model again (make up RETRAIN=1)."
    )


def data_verdict(report: Mapping[str, Any]) -> str | None:
    """A sentence when the test file is not the trainer's, else None. None when one of the digests is not known."""
    trained = report["trained"]["sha256"]
    measured = report["dataset"]["sha256"]
    if None in (trained, measured) or trained == measured:
        return None
    return (
        f"The test examples are not those of training: their SHA-256 is {measured[:12]}.., the model card says "
        f"{trained[:12]}... Fetch the data again; to evaluate other examples, name their FILE."
    )
