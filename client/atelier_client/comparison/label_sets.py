"""The classes that two versions of a multi-label model gave to the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.comparison.mcnemar import PairedAccuracy
from atelier_client.comparison.paired import Difference
from atelier_client.evaluation.multi_label.metrics import THRESHOLD


class PairSets:
    """Which of the two gave a row exactly its classes."""

    def __init__(self) -> None:
        self._counts = np.zeros(4, np.int64)

    @property
    def examples(self) -> int:
        """See `PairMeasures`."""
        return int(self._counts.sum())

    def add(self, labels: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> None:
        """See `PairMeasures`; labels bool [N,C], both versions' probabilities [N,C]."""
        right_a, right_b = (((side >= THRESHOLD) == labels).all(axis=1) for side in (a, b))
        self._counts += np.bincount(2 * right_a + right_b, minlength=4)

    def paired(self) -> PairedAccuracy:
        """The test of the subset accuracy."""
        neither, only_b, only_a, both = self._counts.tolist()
        return PairedAccuracy(both, only_a, only_b, neither)

    def main(self) -> tuple[str, PairedAccuracy]:
        """See `PairMeasures`."""
        return "subset_accuracy", self.paired()

    def differences(self) -> list[Difference]:
        """See `PairMeasures`: the subset accuracy alone."""
        paired = self.paired()
        count = paired.examples
        a, b = (paired.both + paired.only_a) / count, (paired.both + paired.only_b) / count
        return [Difference("subset_accuracy", a, b, paired.interval())]
