"""What is found of a multi-label model: the counts, and the rows with the most wrong classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.multi_label.metrics import THRESHOLD, LabelCounts

KEPT = 24


@dataclass(frozen=True)
class WrongSet:
    """One row: its number and step (from 0; None without steps), labels bool [C], probabilities [C], its inputs."""

    index: int
    step: int | None
    labels: NDArray[Any]
    probabilities: NDArray[Any]
    inputs: dict[str, Any]

    @property
    def wrong(self) -> int:
        """How many classes are wrong."""
        return int(np.count_nonzero((self.probabilities >= THRESHOLD) != self.labels))


class MultiLabelFindings:
    """See `Findings`; `worst` are the rows with the most wrong classes first."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self.counts = LabelCounts(len(class_names))
        self.worst: list[WrongSet] = []

    def add(self, elements: Elements) -> None:
        """See `Findings`."""
        self.counts.add(elements.answers, elements.labels)
        wrong = ((elements.answers >= THRESHOLD) != elements.labels).sum(axis=1)
        limit = self.worst[-1].wrong if len(self.worst) == KEPT else 0
        many = np.flatnonzero(wrong > limit)
        for element in many[np.argsort(-wrong[many], kind="stable")][:KEPT].tolist():
            row, step = elements.place(element)
            self.worst.append(
                WrongSet(
                    row,
                    step,
                    np.copy(elements.labels[element]),
                    np.copy(elements.answers[element]),
                    elements.example(element),
                )
            )
        self.worst = sorted(self.worst, key=lambda item: -item.wrong)[:KEPT]

    def merge(self, other: MultiLabelFindings) -> None:
        """See `Findings`."""
        self.counts.merge(other.counts)
        self.worst = sorted(self.worst + other.worst, key=lambda item: -item.wrong)[:KEPT]

    def compact(self, examples: int) -> None:
        """See `Findings`; nothing is held that is not needed."""

    def document(self) -> dict[str, Any]:
        """See `Findings`."""
        values, bounds = self.counts.metrics()
        return {
            "metrics": values,
            "intervals": bounds,
            "threshold": THRESHOLD,
            "per_class": self.counts.per_class(self.class_names),
        }
