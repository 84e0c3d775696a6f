"""What is found of a classifier: the counts, the scores of each class, the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atelier_client.evaluation.classification import metrics
from atelier_client.evaluation.classification.curves import EXACT, Scores
from atelier_client.evaluation.classification.metrics import MetricCounts
from atelier_client.evaluation.classification.mistakes import Mistakes
from atelier_client.evaluation.elements import Elements


class ClassificationFindings:
    """See `Findings`."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self.counts = MetricCounts(len(class_names))
        self.scores = Scores(len(class_names))
        self.mistakes = Mistakes()

    def add(self, elements: Elements) -> None:
        """See `Findings`."""
        self.counts.add(elements.answers, elements.labels)
        self.scores.add(elements.answers, elements.labels)
        self.mistakes.add(elements)

    def merge(self, other: ClassificationFindings) -> None:
        """See `Findings`."""
        self.counts.merge(other.counts)
        self.scores.merge(other.scores)
        self.mistakes.merge(other.mistakes)

    def compact(self, examples: int) -> None:
        """See `Findings`; the scores are counted in bins now, when those of so many examples will be."""
        if examples * self.counts.classes > EXACT:
            self.scores.count()

    def document(self) -> dict[str, Any]:
        """See `Findings`."""
        values, intervals = self.counts.metrics()
        classes = metrics.per_class(self.counts.confusion, self.class_names, self.scores.curves())
        areas, areas_intervals = metrics.areas(classes)
        values = values | areas
        intervals = intervals | areas_intervals
        if self.counts.classes == 2:
            positive, positive_intervals = metrics.of_positive_class(classes)
            values = values | positive
            intervals = intervals | positive_intervals
        return {
            "metrics": values,
            "intervals": intervals,
            "exact_areas": self.scores.exact,
            "per_class": classes,
            "confusion_matrix": self.counts.confusion.tolist(),
            "calibration": self.counts.calibration.bins(),
        }
