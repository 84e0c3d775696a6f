"""Train/serve skew: the golden examples, sent to the very version they belong to, must come back as computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from atelier_client._model_card import Golden
from atelier_client.client import Client

# Two builds of TensorFlow sum in another order; a float32 probability then differs by about 1e-6.
TOLERANCE = 1e-4
UNKNOWN: dict[str, Any] = {"examples": None, "max_abs_diff": None, "mismatched_labels": None}


def measure(client: Client, version: int, golden: Golden | None) -> dict[str, Any]:
    """`examples`, `max_abs_diff` over all float outputs, `mismatched_labels` (rows whose class differs).

    All three are None (`UNKNOWN`) when the version has no golden examples to compare with.
    """
    if golden is None:
        return dict(UNKNOWN)
    served = client.predict(golden.inputs, version=version)
    rows = len(next(iter(golden.inputs.values())))
    largest, mismatched = 0.0, np.zeros(rows, bool)
    for name, wanted in golden.outputs.items():
        got = served.get(name)
        if got is None or got.shape != wanted.shape:
            mismatched[:] = True
        elif wanted.dtype.kind == "f":
            difference = np.abs(got.astype(np.float64) - wanted)
            # A NaN is no small difference.
            largest = max(
                largest, float(np.where(np.isfinite(difference), difference, np.inf).max(initial=0.0))
            )
        else:
            different = got.astype("S") != wanted if wanted.dtype.kind == "S" else got != wanted
            mismatched |= different.reshape(rows, -1).any(axis=1)
    return {"examples": rows, "max_abs_diff": largest, "mismatched_labels": int(mismatched.sum())}


def verdict(skew: dict[str, Any]) -> str | None:
    """A sentence when what is served is not what was trained, else None."""
    if skew["examples"] is None or (skew["mismatched_labels"] == 0 and skew["max_abs_diff"] <= TOLERANCE):
        return None
    return (
        f"The served model answers its golden examples wrongly: of {skew['examples']} labels "
        f"{skew['mismatched_labels']} differ, and a value by {skew['max_abs_diff']:.3g} (allowed {TOLERANCE:g}). "
        "It is not the model that was trained; publish it again (make up RETRAIN=1)."
    )
