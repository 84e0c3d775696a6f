"""Metrics of a multi-class classifier, from probabilities and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Keras clips probabilities so before it takes the logarithm (keras.config.epsilon()).
EPSILON = 1e-7


def confusion_matrix(labels: NDArray[Any], predicted: NDArray[Any], classes: int) -> NDArray[Any]:
    """Counts int64 [classes, classes]: row the true class, column the predicted one."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_class(confusion: NDArray[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class; a ratio without a denominator is 0, as in scikit-learn."""
    hits, truth, guessed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = _ratio(hits, guessed), _ratio(hits, truth)
    f1 = _ratio(2 * precision * recall, precision + recall)
    return [
        {
            "label": names[index],
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "support": int(truth[index]),
        }
        for index in range(len(confusion))
    ]


def summary(
    probabilities: NDArray[Any], labels: NDArray[Any], classes: Sequence[dict[str, Any]]
) -> dict[str, float]:
    """Accuracy, loss (mean negative log likelihood), and the plain means over the classes.

    Top-3 accuracy only where there are more than three classes.
    """
    rows = np.arange(len(labels))
    chosen = probabilities[rows, labels]
    # In the top 3: fewer than three classes are more probable than the true one.
    rank = (probabilities > chosen[:, None]).sum(axis=1)
    likelihood = np.log(np.clip(chosen.astype(np.float64), EPSILON, 1 - EPSILON))
    return {
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "loss": float(-likelihood.mean()),
        **({"top_3_accuracy": float((rank < 3).mean())} if probabilities.shape[1] > 3 else {}),
        **{
            f"macro_{name}": float(np.mean([row[name] for row in classes]))
            for name in ("precision", "recall", "f1")
        },
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    values = np.percentile(np.asarray(seconds) * 1000, [50, 95, 99])
    return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[Any]:
    ratio: NDArray[Any] = np.divide(above, below, out=np.zeros(len(above)), where=below != 0)
    return ratio
