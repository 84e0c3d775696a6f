"""Metrics of a regression, from the errors of all examples: 16 bytes an example are kept.

The definitions are those of scikit-learn, and so are the sums, to the last digit; the tests compare with it. Intervals
(95 %) have a closed form:

- MAE, a mean: normal;
- RMSE: the delta method on the logarithm of the mean squared error, which keeps it above 0;
- R2, one less a ratio of two means: the delta method, cut at 1;
- the median absolute error: order statistics, whose ranks are those of a binomial distribution (Conover 1999).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.evaluation import intervals
from atelier_client.evaluation.findings import Intervals, Metrics
from atelier_client.evaluation.intervals import Interval, Z


class Errors:
    """Predicted and true numbers of some examples."""

    def __init__(self) -> None:
        self._predicted: list[NDArray[Any]] = []
        self._truth: list[NDArray[Any]] = []

    @property
    def examples(self) -> int:
        """How many numbers were added."""
        return sum(map(len, self._truth))

    def add(self, predicted: NDArray[Any], truth: NDArray[Any]) -> None:
        """Add numbers [N] and the true ones float64 [N]."""
        self._predicted.append(predicted.astype(np.float64))
        self._truth.append(truth)

    def merge(self, other: Errors) -> None:
        """Add the numbers of another one after those added so far."""
        self._predicted += other._predicted
        self._truth += other._truth

    def arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """All predicted and all true numbers, float64 [N]."""
        return np.concatenate(self._predicted), np.concatenate(self._truth)

    def metrics(self) -> tuple[Metrics, Intervals]:
        """MAE, RMSE, R2 and median absolute error, and their intervals. No R2 of true numbers that are all equal."""
        predicted, truth = self.arrays()
        absolute = np.abs(predicted - truth)
        squares = (truth - predicted) ** 2
        values: Metrics = {
            "mae": float(np.average(absolute)),
            "rmse": float(np.sqrt(np.average(squares))),
        }
        bounds: Intervals = {
            "mae": _mean(absolute),
            "rmse": _root(squares),
        }
        if (value := r2(squares, truth)) is not None:
            values["r2"] = value
            bounds["r2"] = intervals.normal(
                value, _variance_of_mean(r2_influence(squares, truth)), low=-math.inf
            )
        values["median_absolute_error"] = float(np.median(absolute))
        bounds["median_absolute_error"] = _median(absolute)
        return values, bounds


def r2(squares: NDArray[Any], truth: NDArray[Any]) -> float | None:
    """One less the squared errors [N] over those of the mean; None of true numbers [N] that are all equal."""
    if truth.min() == truth.max():
        return None
    return 1 - float(np.sum(squares) / np.sum((truth - np.average(truth)) ** 2))


def r2_influence(squares: NDArray[Any], truth: NDArray[Any]) -> NDArray[Any]:
    """How much each example pulls at R2, float64 [N]: the derivative of `1 - A / B` by its part in the means A, of the
    squared errors, and B, the variance of the true numbers."""
    spread = (truth - truth.mean()) ** 2
    above, below = squares.mean(), spread.mean()
    influence: NDArray[Any] = (above / below * (spread - below) - (squares - above)) / below
    return influence


def _variance_of_mean(values: NDArray[Any]) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _mean(values: NDArray[Any]) -> Interval:
    return intervals.normal(float(values.mean()), _variance_of_mean(values), high=math.inf)


def _root(squares: NDArray[Any]) -> Interval:
    mean = float(squares.mean())
    if not mean:
        return 0.0, 0.0
    # The standard error of the logarithm of the mean; half of it is that of the root's.
    half = Z * math.sqrt(_variance_of_mean(squares)) / mean / 2
    return math.sqrt(mean) * math.exp(-half), math.sqrt(mean) * math.exp(half)


def _median(values: NDArray[Any]) -> Interval:
    ordered = np.sort(values)
    count = len(ordered)
    half = Z * math.sqrt(count) / 2
    low = max(math.floor(count / 2 - half), 1)
    high = min(math.ceil(count / 2 + half) + 1, count)
    return float(ordered[low - 1]), float(ordered[high - 1])
