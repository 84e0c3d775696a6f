"""The worst mistakes: the wrongly classified examples whose true class got the least probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT = 24


@dataclass(frozen=True)
class Mistake:
    """One example: its number (from 0), its class, its probabilities [C], and its row of each input."""

    index: int
    label: int
    probabilities: NDArray[Any]
    inputs: dict[str, Any]


def example_at(inputs: Mapping[str, NDArray[Any]], row: int) -> dict[str, Any]:
    """One row of each input, copied: a view would keep the whole batch in memory."""
    return {name: np.copy(array[row]) if array.ndim > 1 else array[row] for name, array in inputs.items()}


class Mistakes:
    """Keeps the few worst mistakes of all examples added."""

    def __init__(self) -> None:
        self.worst: list[Mistake] = []

    def add(
        self, inputs: dict[str, NDArray[Any]], labels: NDArray[Any], probabilities: NDArray[Any], first: int
    ) -> None:
        """Add examples. `first` is the number of the first one."""
        truth = probabilities[np.arange(len(labels)), labels]
        limit = self._truth(self.worst[-1]) if len(self.worst) == KEPT else np.inf
        wrong = np.flatnonzero((probabilities.argmax(axis=1) != labels) & (truth < limit))
        for row in wrong[np.argsort(truth[wrong], kind="stable")][:KEPT]:
            example = example_at(inputs, int(row))
            self.worst.append(
                Mistake(first + int(row), int(labels[row]), np.copy(probabilities[row]), example)
            )
        if len(wrong):
            self.worst = sorted(self.worst, key=self._truth)[:KEPT]

    @staticmethod
    def _truth(mistake: Mistake) -> float:
        return float(mistake.probabilities[mistake.label])
