"""The metrics of all tasks by name: which direction is better, and between which values they lie."""

from __future__ import annotations

import math

_OF_CLASSES = ("precision", "recall", "f1")
_AREAS = ("roc_auc", "pr_auc")
# For these a lower value is better; those of a regression are in the unit of its label.
ERRORS = ("loss", "ece", "mae", "rmse", "median_absolute_error")
# For these a higher value is better. Names without a prefix are those of class 1 of a binary classifier.
METRICS = (
    "accuracy",
    "top_3_accuracy",
    "top_5_accuracy",
    *(f"{kind}_{name}" for kind in ("macro", "weighted") for name in (*_OF_CLASSES, *_AREAS)),
    *_OF_CLASSES,
    *_AREAS,
    "r2",
    "subset_accuracy",
    *(f"micro_{name}" for name in _OF_CLASSES),
)


def limits(metric: str) -> tuple[float, float]:
    """The least and the greatest value that a metric may have."""
    if metric == "r2":
        return -math.inf, 1.0
    return 0.0, 1.0 if metric not in ERRORS or metric == "ece" else math.inf
