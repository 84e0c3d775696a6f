"""The worst mistakes: the wrongly classified elements whose true class got the least probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.evaluation.elements import Elements

KEPT = 24


@dataclass(frozen=True)
class Mistake:
    """One element: its row and step (from 0; None without steps), its class, its probabilities [C], and its row of each
    input."""

    index: int
    step: int | None
    label: int
    probabilities: NDArray[Any]
    inputs: dict[str, Any]


class Mistakes:
    """Keeps the few worst mistakes of all elements added."""

    def __init__(self) -> None:
        self.worst: list[Mistake] = []

    def add(self, elements: Elements) -> None:
        """Add elements."""
        labels, probabilities = elements.labels, elements.answers
        truth = probabilities[np.arange(len(labels)), labels]
        limit = self._truth(self.worst[-1]) if len(self.worst) == KEPT else np.inf
        wrong = np.flatnonzero((probabilities.argmax(axis=1) != labels) & (truth < limit))
        for element in wrong[np.argsort(truth[wrong], kind="stable")][:KEPT].tolist():
            row, step = elements.place(element)
            self.worst.append(
                Mistake(
                    row,
                    step,
                    int(labels[element]),
                    np.copy(probabilities[element]),
                    elements.example(element),
                )
            )
        if len(wrong):
            self.worst = sorted(self.worst, key=self._truth)[:KEPT]

    def merge(self, other: Mistakes) -> None:
        """Add the worst mistakes of rows that come after those added so far."""
        self.worst = sorted(self.worst + other.worst, key=self._truth)[:KEPT]

    @staticmethod
    def _truth(mistake: Mistake) -> float:
        return float(mistake.probabilities[mistake.label])
