"""What two versions answered on the same examples, counted by true class and both predicted classes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.comparison.mcnemar import PairedAccuracy
from atelier_client.comparison.paired import Difference
from atelier_client.evaluation import intervals
from atelier_client.evaluation.classification.metrics import EPSILON

_DRAWS = 1000
_SEED = 0
_PERCENTILES = (2.5, 97.5)


class PairCounts:
    """The counts of both versions' predictions. Memory grows with the pairs of classes, not with the examples."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._cells: Counter[int] = Counter()
        self._losses = np.zeros(2)
        self._loss_difference = self._loss_difference_squares = 0.0

    def add(self, labels: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> None:
        """Add examples: labels int64 [N], both versions' probabilities [N,C]."""
        guess_a = a.argmax(axis=1)
        guess_b = b.argmax(axis=1)
        cells, counts = np.unique(
            (labels * self.classes + guess_a) * self.classes + guess_b, return_counts=True
        )
        self._cells.update(dict(zip(cells.tolist(), counts.tolist(), strict=True)))
        rows = np.arange(len(labels))
        losses = [
            -np.log(np.clip(side[rows, labels].astype(np.float64), EPSILON, 1 - EPSILON)) for side in (a, b)
        ]
        self._losses += [losses[0].sum(), losses[1].sum()]
        difference = losses[1] - losses[0]
        self._loss_difference += float(difference.sum())
        self._loss_difference_squares += float((difference**2).sum())

    @property
    def examples(self) -> int:
        """The number of examples that were added."""
        return self._cells.total()

    def cells(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """True class, a's and b's class, and the number of examples, int64 [K] each, of the combinations that occur."""
        keys = np.array(sorted(self._cells), np.int64)
        counts = np.array([self._cells[int(key)] for key in keys], np.int64)
        rest, guess_b = np.divmod(keys, self.classes)
        truth, guess_a = np.divmod(rest, self.classes)
        return truth, guess_a, guess_b, counts

    def accuracies(self) -> list[PairedAccuracy]:
        """Which of the two was right, of the examples of each class in turn."""
        truth, guess_a, guess_b, counts = self.cells()
        right_a = guess_a == truth
        right_b = guess_b == truth

        def by_class(cells: NDArray[Any]) -> list[int]:
            # Whole numbers up to 2**53 are exact as the weights, which are floats.
            return [int(count) for count in np.bincount(truth[cells], counts[cells], self.classes)]

        kinds = (right_a & right_b, right_a & ~right_b, ~right_a & right_b, ~right_a & ~right_b)
        return [PairedAccuracy(*row) for row in zip(*map(by_class, kinds), strict=True)]

    def accuracy(self) -> PairedAccuracy:
        """Which of the two was right, of all examples."""
        classes = self.accuracies()
        return PairedAccuracy(
            sum(one.both for one in classes),
            sum(one.only_a for one in classes),
            sum(one.only_b for one in classes),
            sum(one.neither for one in classes),
        )

    def main(self) -> tuple[str, PairedAccuracy]:
        """See `PairMeasures`."""
        return "accuracy", self.accuracy()

    def changed(self) -> int:
        """How many examples the two put into different classes."""
        _, guess_a, guess_b, counts = self.cells()
        return int(counts[guess_a != guess_b].sum())

    def differences(self) -> list[Difference]:
        """The metrics that can be compared pair by pair.

        Accuracy by the paired counts, the loss by the mean of the examples' differences; precision, recall and F1 by a
        bootstrap of the examples with a fixed seed. The areas under curves are not among them.
        """
        count = self.examples
        paired = self.accuracy()
        return [
            Difference(
                "accuracy",
                (paired.both + paired.only_a) / count,
                (paired.both + paired.only_b) / count,
                paired.interval(),
            ),
            Difference(
                "loss",
                float(self._losses[0]) / count,
                float(self._losses[1]) / count,
                intervals.mean(self._loss_difference, self._loss_difference_squares, count),
            ),
            *self._resampled(),
        ]

    def _resampled(self) -> list[Difference]:
        truth, guess_a, guess_b, counts = self.cells()
        random = np.random.default_rng(_SEED)
        drawn = []
        # Drawing examples with replacement is drawing the counts of their combinations.
        for draw in random.multinomial(self.examples, counts / counts.sum(), size=_DRAWS):
            drawn.append(
                self._averages(truth, guess_b, draw) - self._averages(truth, guess_a, draw),
            )
        ends = np.percentile(np.array(drawn), _PERCENTILES, axis=0)
        a = self._averages(truth, guess_a, counts)
        b = self._averages(truth, guess_b, counts)
        return [
            Difference(name, float(a[index]), float(b[index]), (float(ends[0][index]), float(ends[1][index])))
            for index, name in enumerate(self._names())
        ]

    def _names(self) -> tuple[str, ...]:
        names = ("macro_precision", "macro_recall", "macro_f1")
        return (*names, "precision", "recall", "f1") if self.classes == 2 else names

    def _averages(self, truth: NDArray[Any], guess: NDArray[Any], counts: NDArray[Any]) -> NDArray[Any]:
        """The metrics of `_names`: means over the classes, and those of class 1 when there are two."""
        right = guess == truth
        hits = np.bincount(truth[right], counts[right], self.classes)
        of_class = np.bincount(truth, counts, self.classes)
        guessed = np.bincount(guess, counts, self.classes)
        each = [
            np.divide(above, below, out=np.zeros(self.classes), where=below != 0)
            for above, below in ((hits, guessed), (hits, of_class), (2 * hits, of_class + guessed))
        ]
        means = [values.mean() for values in each]
        positive = [values[1] for values in each] if self.classes == 2 else []
        return np.array([*means, *positive])
