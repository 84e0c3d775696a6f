"""The errors of two versions of a regression, example by example."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.comparison.paired import POWER_Z, SIGNIFICANCE, Difference
from atelier_client.evaluation.intervals import Interval, Z
from atelier_client.evaluation.regression.metrics import r2, r2_influence


@dataclass(frozen=True)
class PairedErrors:
    """The mean and the standard deviation, over the examples, of b's absolute error less a's.

    `closer_a` and `closer_b` are how many examples each was closer to. The test takes the mean as normal, which it is
    from some tens of examples on.
    """

    examples: int
    difference: float
    deviation: float
    closer_a: int
    closer_b: int

    def p_value(self) -> float:
        """See `PairedTest`."""
        if not self.difference:
            return 1.0
        error = self.deviation / math.sqrt(self.examples)
        return math.erfc(abs(self.difference) / error / math.sqrt(2)) if error else 0.0

    def better(self) -> str | None:
        """See `PairedTest`; one example tells nothing."""
        if self.examples < 2 or self.p_value() >= SIGNIFICANCE:
            return None
        return "b" if self.difference < 0 else "a"

    def interval(self) -> Interval:
        """The 95 % interval of `difference`."""
        half = Z * self.deviation / math.sqrt(self.examples)
        return self.difference - half, self.difference + half

    def examples_needed(self) -> int | None:
        """See `PairedTest`."""
        if not self.difference:
            return None
        return max(2, math.ceil(((Z + POWER_Z) * self.deviation / self.difference) ** 2))

    def in_words(self) -> list[str]:
        """See `PairedTest`."""
        return [
            f"{self.closer_b:,} examples closer now, {self.closer_a:,} in stable",
            f"paired test of the absolute errors: p = {self.p_value():.2g}",
        ]


class PairErrors:
    """Predicted and true numbers of both versions. 24 bytes an example are kept."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []

    @property
    def examples(self) -> int:
        """See `PairMeasures`."""
        return sum(len(labels) for labels, _, _ in self._parts)

    def add(self, labels: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> None:
        """See `PairMeasures`."""
        self._parts.append((labels, a, b))

    def paired(self) -> PairedErrors:
        """The test of the absolute errors."""
        labels, a, b = self._arrays()
        more = np.abs(b - labels) - np.abs(a - labels)
        return PairedErrors(
            len(more),
            float(more.mean()),
            _deviation(more),
            int(np.count_nonzero(more > 0)),
            int(np.count_nonzero(more < 0)),
        )

    def main(self) -> tuple[str, PairedErrors]:
        """See `PairMeasures`."""
        return "mae", self.paired()

    def differences(self) -> list[Difference]:
        """MAE by the mean of the examples' differences; RMSE and R2 by the delta method on the same pairs. The median
        absolute error is not among them."""
        labels, a, b = self._arrays()
        squares_a, squares_b = (a - labels) ** 2, (b - labels) ** 2
        sizes_a, sizes_b = np.abs(a - labels), np.abs(b - labels)
        found = [
            _difference("mae", float(sizes_a.mean()), float(sizes_b.mean()), sizes_b - sizes_a),
            _difference(
                "rmse",
                math.sqrt(squares_a.mean()),
                math.sqrt(squares_b.mean()),
                _root_influence(squares_b) - _root_influence(squares_a),
            ),
        ]
        r2_a, r2_b = r2(squares_a, labels), r2(squares_b, labels)
        if r2_a is not None and r2_b is not None:
            pulls = r2_influence(squares_b, labels) - r2_influence(squares_a, labels)
            found.append(_difference("r2", r2_a, r2_b, pulls))
        return found

    def _arrays(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        labels, a, b = (np.concatenate(side) for side in zip(*self._parts, strict=True))
        return labels, a, b


def _difference(name: str, a: float, b: float, pulls: NDArray[Any]) -> Difference:
    """`pulls` is how much each example pulls at the difference; their mean's error is that of the difference."""
    half = Z * _deviation(pulls) / math.sqrt(len(pulls))
    return Difference(name, a, b, (b - a - half, b - a + half))


def _root_influence(squares: NDArray[Any]) -> NDArray[Any]:
    """How much each example pulls at the root of the mean of [N]."""
    mean = squares.mean()
    pulls: NDArray[Any] = (squares - mean) / (2 * math.sqrt(mean)) if mean else np.zeros(len(squares))
    return pulls


def _deviation(values: NDArray[Any]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
