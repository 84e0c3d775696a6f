"""Metrics of a regression from predicted and true numbers, as the model card states them."""

from __future__ import annotations

import numpy as np

# The history's column by which runs are compared: unlike the loss it holds no penalty.
RMSE = "rmse"


def evaluate(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """Mean absolute error, root mean squared error, R2 (the share of the labels' variance that is explained) and median
    absolute error, as scikit-learn defines them. Without `r2` when all labels are equal, which leave no variance.

    `predicted` float32 [N], `labels` float64 [N]; all but R2 are in the labels' unit.
    """
    errors = np.abs(predicted.astype(np.float64) - labels)
    values: dict[str, float | int] = {
        "mae": float(errors.mean()),
        RMSE: float(np.sqrt((errors**2).mean())),
    }
    if spread := float(((labels - labels.mean()) ** 2).sum()):
        values["r2"] = 1 - float((errors**2).sum()) / spread
    return values | {"median_absolute_error": float(np.median(errors)), "examples": len(labels)}
