"""95 % confidence intervals. All but one have a closed form: they are cheap, and the same in every run.

- shares (accuracy, top-k, recall, precision): Wilson 1927, which is also right for few examples and near 0 and 1;
- a mean (loss): normal;
- F1 and the averages over classes: the delta method on the cells of the confusion matrix, as Takahashi et al. 2022
  ("Confidence interval for micro-averaged F1 and macro-averaged F1 scores") derive for F1;
- the area under the ROC curve: DeLong et al. 1988; under the precision-recall curve: the logit interval of
  Boyd et al. 2013 (both in curves.py);
- the calibration error: bootstrap (calibration.py).
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

# The two-sided 95 % point of the normal distribution.
Z = 1.959963984540054

Interval = tuple[float, float]


def wilson(hits: int, count: int) -> Interval:
    """The interval of a share `hits / count`. It is (0, 1) when `count` is 0."""
    if not count:
        return 0.0, 1.0
    share = hits / count
    square = Z * Z / count
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def mean(total: float, squares: float, count: int) -> Interval:
    """The interval of a mean, from the sum of values and the sum of their squares."""
    average = total / count
    if count < 2:
        return average, average
    variance = max(0.0, (squares - total * average) / (count - 1))
    half = Z * math.sqrt(variance / count)
    return average - half, average + half


def normal(value: float, variance: float, low: float = 0.0, high: float = 1.0) -> Interval:
    """The normal interval of an estimate, cut to the range of the quantity."""
    half = Z * math.sqrt(max(0.0, variance))
    return max(low, value - half), min(high, value + half)


def logit(value: float, count: int) -> Interval:
    """The interval of a value in [0,1] on the logit scale. `count` is its effective number of trials."""
    if not 0.0 < value < 1.0:
        return wilson(round(value * count), count)
    centre = math.log(value / (1 - value))
    half = Z / math.sqrt(count * value * (1 - value))
    return _expit(centre - half), _expit(centre + half)


def of_cells(value: float, confusion: NDArray[Any], gradient: NDArray[Any]) -> Interval:
    """The interval of a function of the confusion matrix's shares [C,C], from its gradient by each share [C,C]."""
    count = int(confusion.sum())
    shares = confusion / count
    slope = float((shares * gradient).sum())
    variance = (float((shares * gradient**2).sum()) - slope**2) / count
    return normal(value, variance)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
