"""Metrics of a model that says of each class by itself whether an example has it, as the model card states them."""

from __future__ import annotations

import numpy as np

# A class is predicted from this probability on; the client counts alike.
THRESHOLD = 0.5


def evaluate(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """The share of examples whose classes are all right, and precision, recall and F1: of the classes of all examples
    together (`micro_`), and as plain means over the classes (`macro_`); a ratio whose denominator is 0 counts as 0, as
    in scikit-learn.

    `probabilities` float [N,C], `labels` 0 and 1 [N,C].
    """
    predicted, truth = probabilities >= THRESHOLD, labels.astype(bool)
    counts = np.stack([(predicted & truth).sum(axis=0), predicted.sum(axis=0), truth.sum(axis=0)])
    values: dict[str, float | int] = {"subset_accuracy": float((predicted == truth).all(axis=1).mean())}
    for kind, each in (("micro", counts.sum(axis=1, keepdims=True)), ("macro", counts)):
        right, said, true = each
        values[f"{kind}_precision"] = float(_ratio(right, said).mean())
        values[f"{kind}_recall"] = float(_ratio(right, true).mean())
        values[f"{kind}_f1"] = float(_ratio(2 * right, said + true).mean())
    return values | {"examples": len(labels)}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below != 0)
