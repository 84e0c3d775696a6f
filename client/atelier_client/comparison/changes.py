"""The examples that two versions put into different classes: the few where both were surest of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from atelier_client.comparison.pairs import Pair

KEPT = 16
KINDS = ("mended", "broken", "other")


@dataclass(frozen=True)
class Change:
    """One example: its number (from 0), its class, what each version said and how surely, its row of each input."""

    index: int
    label: int
    a: int
    b: int
    confidence_a: float
    confidence_b: float
    inputs: dict[str, Any]


class Changes:
    """Keeps the clearest changes: `mended` (only b is right), `broken` (only a is right), `other` (neither is)."""

    def __init__(self) -> None:
        self.clearest: dict[str, list[Change]] = {kind: [] for kind in KINDS}

    def add(self, pair: Pair) -> None:
        """Add a pair's elements."""
        elements = pair.elements
        labels, a, b = elements.labels, elements.answers, pair.b
        guess_a = a.argmax(axis=1)
        guess_b = b.argmax(axis=1)
        clear = a.max(axis=1) + b.max(axis=1)
        changed = guess_a != guess_b
        rows_of = {
            "mended": changed & (guess_b == labels),
            "broken": changed & (guess_a == labels),
            "other": changed & (guess_a != labels) & (guess_b != labels),
        }
        for kind, chosen in rows_of.items():
            rows = np.flatnonzero(chosen)
            kept = self.clearest[kind]
            for row in rows[np.argsort(-clear[rows], kind="stable")][:KEPT].tolist():
                kept.append(
                    Change(
                        elements.place(row)[0],
                        int(labels[row]),
                        int(guess_a[row]),
                        int(guess_b[row]),
                        float(a[row].max()),
                        float(b[row].max()),
                        elements.example(row),
                    )
                )
            kept.sort(key=lambda change: -(change.confidence_a + change.confidence_b))
            del kept[KEPT:]
