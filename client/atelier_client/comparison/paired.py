"""What a comparison of two versions asks of every task's counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from atelier_client.evaluation.intervals import Interval

# Two-sided: of equal versions, the second looks better in at most 2.5 of 100 comparisons.
SIGNIFICANCE = 0.05
# The 80 % point of the normal distribution: the power of the number of examples that `examples_needed` gives.
POWER_Z = 0.8416212335729143


@dataclass(frozen=True)
class Difference:
    """A metric of both versions, and that of b less that of a with its 95 % interval."""

    name: str
    a: float
    b: float
    interval: Interval


class PairedTest(Protocol):
    """Whether a (the first version) or b is better on the same examples."""

    def p_value(self) -> float:
        """The two-sided probability of so large a difference, or a larger one, when both are equally good."""

    def better(self) -> str | None:
        """`"a"` or `"b"`, None when the examples do not tell."""

    def examples_needed(self) -> int | None:
        """About how many examples would tell a difference of this size in four of five comparisons; None for none."""

    def in_words(self) -> list[str]:
        """Clauses of a sentence in which b is the candidate and a is stable: what was counted, and the p-value."""


class PairMeasures(Protocol):
    """What two versions answered to the same elements."""

    @property
    def examples(self) -> int:
        """How many elements were added."""

    def add(self, labels: NDArray[Any], a: NDArray[Any], b: NDArray[Any], /) -> None:
        """Add elements: labels, and both versions' answers."""

    def differences(self) -> list[Difference]:
        """The metrics that can be compared pair by pair."""

    def main(self) -> tuple[str, PairedTest]:
        """The metric that says which version is better, and its test."""
