"""The examples of a regression whose error changed most from one version to the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from atelier_client.comparison.pairs import Pair

KEPT = 16
KINDS = ("closer", "further")


@dataclass(frozen=True)
class Move:
    """One number: its row (from 0), what is true, what each version said, the row's inputs."""

    index: int
    label: float
    a: float
    b: float
    inputs: dict[str, Any]

    @property
    def change(self) -> float:
        """The absolute error of b less that of a."""
        return abs(self.b - self.label) - abs(self.a - self.label)


class Moves:
    """Keeps the largest: `closer`, where b errs less, and `further`, where it errs more."""

    def __init__(self) -> None:
        self.largest: dict[str, list[Move]] = {kind: [] for kind in KINDS}

    def add(self, pair: Pair) -> None:
        """Add a pair's elements."""
        elements = pair.elements
        labels, a, b = elements.labels, elements.answers, pair.b
        change = np.abs(b - labels) - np.abs(a - labels)
        for kind, sign in zip(KINDS, (-1, 1), strict=True):
            kept = self.largest[kind]
            rows = np.flatnonzero(sign * change > 0)
            for row in rows[np.argsort(-sign * change[rows], kind="stable")][:KEPT].tolist():
                kept.append(
                    Move(
                        elements.place(row)[0],
                        float(labels[row]),
                        float(a[row]),
                        float(b[row]),
                        elements.example(row),
                    )
                )
            kept.sort(key=lambda move: -abs(move.change))
            del kept[KEPT:]
