"""What an evaluation finds: the same questions to every task."""

from __future__ import annotations

from typing import Any, Protocol, Self

from numpy.typing import NDArray

from atelier_client.evaluation.elements import Elements
from atelier_client.evaluation.intervals import Interval

Metrics = dict[str, float]
Intervals = dict[str, Interval]


class Measures(Protocol):
    """Counts for the metrics of some examples: of all of them, or of a slice."""

    @property
    def examples(self) -> int:
        """How many elements were added."""

    def add(self, answers: NDArray[Any], labels: NDArray[Any], /) -> None:
        """Add elements (elements.py)."""

    def merge(self, other: Self, /) -> None:
        """Add the elements of another one of the same kind, which come after those added so far."""

    def metrics(self) -> tuple[Metrics, Intervals]:
        """The metrics of what was added, and their 95 % intervals; for at least one element."""


class Findings(Protocol):
    """Everything that is found of all examples of one evaluation."""

    @property
    def counts(self) -> Measures:
        """The counts that slices have too."""

    def add(self, elements: Elements) -> None:
        """Add elements."""

    def merge(self, other: Self, /) -> None:
        """Add what was found of elements that come after those added so far; the result is that of adding them."""

    def compact(self, examples: int) -> None:
        """Hold no more than is needed when this is merged into the findings of so many examples."""

    def document(self) -> dict[str, Any]:
        """The task's part of evaluation.json: `metrics` and `intervals`, and what belongs to the task alone."""
