"""Metrics of a multi-label model, from counts that are summed batch by batch.

A class is predicted when its probability is 0.5 or more. The definitions are those of scikit-learn; a ratio with the
denominator 0 is 0. `micro` takes the classes of all rows together, `macro` is the plain mean over the classes; the
subset accuracy is the share of rows whose classes are all right. Intervals (95 %): Wilson for shares (subset accuracy,
precision and recall of a class); for the others the delta method on the rows' means of "right", "predicted" and "true"
of each class, since the classes of one row depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.evaluation import intervals
from atelier_client.evaluation.findings import Intervals, Metrics
from atelier_client.evaluation.intervals import Interval

THRESHOLD = 0.5
# above / below of precision, recall and F1: the factors of right, predicted and true.
_RATIOS = {
    "precision": ((1, 0, 0), (0, 1, 0)),
    "recall": ((1, 0, 0), (0, 0, 1)),
    "f1": ((2, 0, 0), (0, 1, 1)),
}


class LabelCounts:
    """The counts of some rows. Memory grows with the square of the classes, not with the rows."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.examples = 0
        self.exact = 0
        self._sums = np.zeros(3 * classes)
        self._products = np.zeros([3 * classes, 3 * classes])

    def add(self, probabilities: NDArray[Any], labels: NDArray[Any]) -> None:
        """Add rows: probabilities [N,C], labels bool [N,C]."""
        predicted = probabilities >= THRESHOLD
        rows = np.concatenate([predicted & labels, predicted, labels], axis=1).astype(np.float64)
        self._sums += rows.sum(axis=0)
        self._products += rows.T @ rows
        self.examples += len(labels)
        self.exact += int((predicted == labels).all(axis=1).sum())

    def merge(self, other: LabelCounts) -> None:
        """Add the rows that another one counted."""
        self._sums += other._sums
        self._products += other._products
        self.examples += other.examples
        self.exact += other.exact

    def metrics(self) -> tuple[Metrics, Intervals]:
        """See `Measures`."""
        values: Metrics = {"subset_accuracy": self.exact / self.examples}
        bounds: Intervals = {"subset_accuracy": intervals.wilson(self.exact, self.examples)}
        each = np.full(self.classes, 1 / self.classes)
        for name in _RATIOS:
            values[f"micro_{name}"], bounds[f"micro_{name}"] = self._micro(name)
            values[f"macro_{name}"], bounds[f"macro_{name}"] = self._mean_of(name, each)
        return values, bounds

    def per_class(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Precision, recall, F1 and support of each class, and their intervals."""
        right, predicted, true = self._sums.reshape(3, self.classes).astype(np.int64).tolist()
        rows = []
        for number, name in enumerate(names):
            only = np.zeros(self.classes)
            only[number] = 1
            f1, f1_interval = self._mean_of("f1", only)
            rows.append(
                {
                    "label": name,
                    "precision": right[number] / predicted[number] if predicted[number] else 0.0,
                    "recall": right[number] / true[number] if true[number] else 0.0,
                    "f1": f1,
                    "support": true[number],
                    "predicted": predicted[number],
                    "intervals": {
                        "precision": intervals.wilson(right[number], predicted[number]),
                        "recall": intervals.wilson(right[number], true[number]),
                        "f1": f1_interval,
                    },
                }
            )
        return rows

    def _micro(self, name: str) -> tuple[float, Interval]:
        """The ratio of the sums over all classes."""
        above, below = (np.repeat(np.array(factors, float), self.classes) for factors in _RATIOS[name])
        means = self._sums / self.examples
        denominator = float(below @ means)
        if not denominator:
            return 0.0, (0.0, 1.0)
        value = float(above @ means) / denominator
        return value, self._interval(value, (above - value * below) / denominator)

    def _mean_of(self, name: str, weights: NDArray[Any]) -> tuple[float, Interval]:
        """The mean of the classes' ratios, by weights [C] that add up to 1."""
        above, below = (np.array(factors, float) for factors in _RATIOS[name])
        means = (self._sums / self.examples).reshape(3, self.classes)
        denominators = below @ means
        ratios = np.divide(above @ means, denominators, out=np.zeros(self.classes), where=denominators != 0)
        pull = np.divide(weights, denominators, out=np.zeros(self.classes), where=denominators != 0)
        gradient = above[:, None] * pull - below[:, None] * (ratios * pull)
        value = float(weights @ ratios)
        return value, self._interval(value, gradient.reshape(-1))

    def _interval(self, value: float, gradient: NDArray[Any]) -> Interval:
        means = self._sums / self.examples
        variance = float(gradient @ self._products @ gradient) / self.examples - float(gradient @ means) ** 2
        return intervals.normal(value, variance / self.examples)
