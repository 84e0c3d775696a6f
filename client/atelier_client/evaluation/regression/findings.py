"""What is found of a regression: the errors, and the examples with the largest ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.regression.metrics import Errors

KEPT = 24
_BINS = 30
# More points make a picture no clearer, and the page large.
_POINTS = 500
_SEED = 0


@dataclass(frozen=True)
class Miss:
    """One number: its row and step (from 0; None without steps), what is true, what was predicted, the row's inputs."""

    index: int
    step: int | None
    label: float
    predicted: float
    inputs: dict[str, Any]

    @property
    def error(self) -> float:
        """How far the prediction is above the label."""
        return self.predicted - self.label


class RegressionFindings:
    """See `Findings`; `worst` are the largest errors first."""

    def __init__(self) -> None:
        self.counts = Errors()
        self.worst: list[Miss] = []

    def add(self, elements: Elements) -> None:
        """See `Findings`."""
        self.counts.add(elements.answers, elements.labels)
        sizes = np.abs(elements.answers - elements.labels)
        limit = abs(self.worst[-1].error) if len(self.worst) == KEPT else 0.0
        large = np.flatnonzero(sizes > limit)
        for element in large[np.argsort(-sizes[large], kind="stable")][:KEPT].tolist():
            row, step = elements.place(element)
            label, predicted = float(elements.labels[element]), float(elements.answers[element])
            self.worst.append(Miss(row, step, label, predicted, elements.example(element)))
        self.worst = sorted(self.worst, key=lambda miss: -abs(miss.error))[:KEPT]

    def merge(self, other: RegressionFindings) -> None:
        """See `Findings`."""
        self.counts.merge(other.counts)
        self.worst = sorted(self.worst + other.worst, key=lambda miss: -abs(miss.error))[:KEPT]

    def compact(self, examples: int) -> None:
        """See `Findings`; nothing is held that is not needed."""

    def document(self) -> dict[str, Any]:
        """See `Findings`; also the residuals (predicted less true) as counts, and some examples to draw."""
        values, bounds = self.counts.metrics()
        predicted, truth = self.counts.arrays()
        residuals = predicted - truth
        counts, edges = np.histogram(residuals, _BINS)
        chosen = np.arange(len(truth))
        if len(truth) > _POINTS:
            chosen = np.sort(np.random.default_rng(_SEED).choice(len(truth), _POINTS, replace=False))
        return {
            "metrics": values,
            "intervals": bounds,
            "residuals": {
                "mean": float(residuals.mean()),
                "deviation": float(residuals.std()),
                "edges": edges.tolist(),
                "counts": counts.tolist(),
            },
            "points": {"label": truth[chosen].tolist(), "predicted": predicted[chosen].tolist()},
            "worst": [
                {"row": miss.index + 1, "label": miss.label, "predicted": miss.predicted}
                | ({} if miss.step is None else {"step": miss.step + 1})
                for miss in self.worst
            ],
        }
