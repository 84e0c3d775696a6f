"""Metrics of a classifier, from counts that are summed batch by batch. Memory does not grow with the examples.

The definitions are those of scikit-learn; the tests compare with it. A ratio with the denominator 0 is 0. `macro` is
the plain mean over the classes; `weighted` weighs each class by its number of examples. (`micro` would be the
accuracy.) The loss is the mean negative log likelihood, as Keras computes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.evaluation import intervals, sums
from atelier_client.evaluation.classification.calibration import Calibration
from atelier_client.evaluation.classification.curves import Curve
from atelier_client.evaluation.findings import Intervals, Metrics

# Keras clips probabilities to this before it takes the logarithm (keras.config.epsilon()).
EPSILON = 1e-7
TOP = (3, 5)
_EACH = ("precision", "recall", "f1", "roc_auc", "pr_auc")


class MetricCounts:
    """The counts for all metrics except areas under curves. There is one for all examples and one for each slice."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.confusion: NDArray[Any] = np.zeros([classes, classes], np.int64)
        self.calibration = Calibration()
        # In units, which add exactly (sums.py).
        self._loss = self._loss_squares = 0
        self._top = {k: 0 for k in TOP if classes > k}

    @property
    def examples(self) -> int:
        """The number of examples that were added."""
        return int(self.confusion.sum())

    def add(self, probabilities: NDArray[Any], labels: NDArray[Any]) -> None:
        """Add examples: probabilities [N,C], labels int64 [N]."""
        predicted = probabilities.argmax(axis=1)
        cells = np.bincount(labels * self.classes + predicted, minlength=self.classes**2)
        self.confusion += cells.reshape(self.classes, self.classes)
        rows = np.arange(len(labels))
        chosen = probabilities[rows, labels]
        losses = -np.log(np.clip(chosen.astype(np.float64), EPSILON, 1 - EPSILON))
        self._loss += sums.units(losses)
        self._loss_squares += sums.units(losses**2)
        if self._top:
            # The true class is in the top k when fewer than k classes are more probable.
            rank = (probabilities > chosen[:, None]).sum(axis=1)
            for k in self._top:
                self._top[k] += int((rank < k).sum())
        self.calibration.add(probabilities[rows, predicted].astype(np.float64), predicted == labels)

    def merge(self, other: MetricCounts) -> None:
        """Add the examples that another one counted."""
        self.confusion += other.confusion
        self.calibration.merge(other.calibration)
        self._loss += other._loss
        self._loss_squares += other._loss_squares
        for k in self._top:
            self._top[k] += other._top[k]

    def metrics(self) -> tuple[Metrics, Intervals]:
        """The metrics of the examples added, and their 95 % intervals."""
        count = self.examples
        loss, squares = sums.as_float(self._loss), sums.as_float(self._loss_squares)
        right = int(np.trace(self.confusion))
        values: Metrics = {"accuracy": right / count, "loss": loss / count}
        bounds: Intervals = {
            "accuracy": intervals.wilson(right, count),
            "loss": intervals.mean(loss, squares, count),
        }
        for k, hits in self._top.items():
            values[f"top_{k}_accuracy"] = hits / count
            bounds[f"top_{k}_accuracy"] = intervals.wilson(hits, count)
        averages, more = _averages(self.confusion)
        error = self.calibration.error()
        return values | averages | {"ece": error}, bounds | more | {"ece": self.calibration.interval()}


def of_classes(confusion: NDArray[Any]) -> list[tuple[Metrics, Intervals]]:
    """Precision, recall and F1 of each class, and their intervals."""
    hits = np.diag(confusion)
    truth = confusion.sum(axis=1)
    guessed = confusion.sum(axis=0)
    precision = _ratio(hits, guessed)
    recall = _ratio(hits, truth)
    f1 = _ratio(2 * hits, truth + guessed)
    found = []
    for index in range(len(confusion)):
        slope = np.zeros(confusion.shape)
        if truth[index] + guessed[index]:
            scale = confusion.sum() / (truth[index] + guessed[index])
            slope[index, :] -= f1[index] * scale
            slope[:, index] -= f1[index] * scale
            slope[index, index] += 2 * scale
        bounds: Intervals = {
            "precision": intervals.wilson(int(hits[index]), int(guessed[index])),
            "recall": intervals.wilson(int(hits[index]), int(truth[index])),
            "f1": intervals.of_cells(float(f1[index]), confusion, slope),
        }
        values = {
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
        }
        found.append((values, bounds))
    return found


def per_class(confusion: NDArray[Any], names: Sequence[str], curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Precision, recall, F1, ROC AUC, PR AUC and support of each class, and their intervals.

    An area is None when the class has no example, or when it has all of them.
    """
    support = confusion.sum(axis=1).tolist()
    return [
        {
            "label": name,
            **values,
            "roc_auc": curve.roc_auc() if curve.defined else None,
            "pr_auc": curve.pr_auc() if curve.defined else None,
            "support": count,
            "intervals": {
                **bounds,
                "roc_auc": curve.roc_interval() if curve.defined else None,
                "pr_auc": curve.pr_interval() if curve.defined else None,
            },
        }
        for name, curve, count, (values, bounds) in zip(
            names, curves, support, of_classes(confusion), strict=True
        )
    ]


def areas(classes: Sequence[Mapping[str, Any]]) -> tuple[Metrics, Intervals]:
    """The means of the classes' areas, over the classes that have an area.

    The areas of the classes depend on each other, in a way that is not known. The interval of their mean assumes full
    correlation, which gives the widest interval that is possible.
    """
    values: Metrics = {}
    bounds: Intervals = {}
    for name in ("roc_auc", "pr_auc"):
        rows = [row for row in classes if row[name] is not None]
        for kind, weights in (
            ("macro", [1.0] * len(rows)),
            ("weighted", [float(row["support"]) for row in rows]),
        ):
            if rows and sum(weights):
                value = float(np.average([row[name] for row in rows], weights=weights))
                ends = np.array([row["intervals"][name] for row in rows])
                low, high = np.average(ends, axis=0, weights=weights)
                values[f"{kind}_{name}"] = value
                bounds[f"{kind}_{name}"] = (float(low), float(high))
    return values, bounds


def of_positive_class(classes: Sequence[Mapping[str, Any]]) -> tuple[Metrics, Intervals]:
    """The metrics of class 1 of a binary classifier, with their plain names."""
    names = [name for name in _EACH if classes[1][name] is not None]
    return {name: classes[1][name] for name in names}, {name: classes[1]["intervals"][name] for name in names}


def _averages(confusion: NDArray[Any]) -> tuple[Metrics, Intervals]:
    """Macro and weighted precision, recall and F1, with the delta method's gradient of each (see intervals.py)."""
    count = confusion.sum()
    hits = np.diag(confusion) / count
    truth = confusion.sum(axis=1) / count
    guessed = confusion.sum(axis=0) / count
    identity = np.eye(len(confusion))
    classes = len(confusion)
    values: Metrics = {}
    bounds: Intervals = {}
    # Each is hits * factor / (a * truth + b * guessed).
    for name, factor, a, b in (("precision", 1, 0, 1), ("recall", 1, 1, 0), ("f1", 2, 1, 1)):
        below = a * truth + b * guessed
        each = _ratio(factor * hits, below)
        inverse = _ratio(np.ones(classes), below)
        for kind in ("macro", "weighted"):
            weights = np.full(classes, 1 / classes) if kind == "macro" else truth
            pull = weights * each * inverse
            slope = factor * identity * (weights * inverse)[None, :] - a * pull[:, None] - b * pull[None, :]
            if kind == "weighted":
                slope = slope + each[:, None]
            value = float((weights * each).sum())
            values[f"{kind}_{name}"] = value
            bounds[f"{kind}_{name}"] = intervals.of_cells(value, confusion, slope)
    return values, bounds


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[Any]:
    ratio: NDArray[Any] = np.divide(above, below, out=np.zeros(len(above)), where=below != 0)
    return ratio
