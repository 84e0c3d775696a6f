"""ROC and precision-recall curves of each class against the rest, from any number of examples in bounded memory.

Up to `EXACT` scores are kept, and the areas are exact. With more scores, the scores are counted in bins. The width of a
bin is 1/256 (more for many classes) of its distance to 0 or to 1, whichever is nearer, because most probabilities are
near 0 or 1. Then the areas differ from the exact ones by less than 0.0001.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.evaluation.intervals import Interval, logit, normal

EXACT = 4_000_000
# Scores are counted together in such portions, because each portion needs a pass over all bins.
_COUNTED_TOGETHER = 500_000
_BIN_BYTES = 64_000_000
# All distances below 2**-40 fall into one bin.
_SMALLEST_EXPONENT = 40


@dataclass(frozen=True)
class Curve:
    """One class against the rest: the number of positives and of negatives at each score, highest score first."""

    positives: NDArray[Any]
    negatives: NDArray[Any]
    binned: bool = False

    @property
    def defined(self) -> bool:
        """False when there is no positive or no negative example."""
        return bool(self.positives.sum() and self.negatives.sum())

    def roc_auc(self) -> float:
        """The probability that a positive scores higher than a negative; a tie counts half (Hanley and McNeil 1982)."""
        below = self.negatives.sum() - np.cumsum(self.negatives) + self.negatives / 2
        return float((self.positives * below).sum() / self.positives.sum() / self.negatives.sum())

    def roc_interval(self) -> Interval:
        """The 95 % interval, from the variance of DeLong et al. 1988."""
        area = self.roc_auc()
        positives = self.positives.sum()
        negatives = self.negatives.sum()
        won = (negatives - np.cumsum(self.negatives) + self.negatives / 2) / negatives
        lost = (np.cumsum(self.positives) - self.positives / 2) / positives
        variance = sum(
            float((counts * (parts - area) ** 2).sum()) / max(total - 1, 1) / total
            for counts, parts, total in (
                (self.positives, won, positives),
                (self.negatives, lost, negatives),
            )
        )
        return normal(area, variance)

    def pr_auc(self) -> float:
        """Average precision: the mean over the positives of the precision at their score, without interpolation.

        Without bins, the scores of one level are equal. With bins, they are spread over the bin: then half of the other
        scores in the bin count as lower than a positive.
        """
        found = np.cumsum(self.positives)
        guessed = np.cumsum(self.positives + self.negatives)
        if self.binned:
            later = np.maximum(self.positives - 1, 0) / 2
            found = found - later
            guessed = guessed - later - self.negatives / 2
        precision = np.divide(found, guessed, out=np.zeros(len(found)), where=guessed > 0)
        return float((self.positives * precision).sum() / self.positives.sum())

    def pr_interval(self) -> Interval:
        """The 95 % logit interval of Boyd et al. 2013. The number of trials is the number of positives."""
        return logit(self.pr_auc(), int(self.positives.sum()))


class Scores:
    """The probabilities added so far, float32 [N,C]; or their counts in bins, when there are too many to keep."""

    def __init__(self, classes: int, exact: int = EXACT) -> None:
        self._classes = classes
        self._exact = exact
        self._kept: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self._kept_scores = 0
        self._counts: NDArray[Any] | None = None
        bits = math.floor(math.log2(_BIN_BYTES / (16 * classes * 2 * _SMALLEST_EXPONENT)))
        self._bits = min(max(bits, 2), 8)

    @property
    def exact(self) -> bool:
        """True as long as every score is kept."""
        return self._counts is None

    def add(self, probabilities: NDArray[Any], labels: NDArray[Any]) -> None:
        """Add examples: probabilities float32 [N,C], labels int64 [N]."""
        self._kept.append((probabilities, labels))
        self._kept_scores += probabilities.size
        if self._kept_scores > (self._exact if self._counts is None else _COUNTED_TOGETHER):
            self.count()

    def merge(self, other: Scores) -> None:
        """Add the scores that another one of the same classes holds."""
        self._kept += other._kept
        self._kept_scores += other._kept_scores
        if other._counts is not None:
            self.count()
            assert self._counts is not None
            self._counts += other._counts
        if self._kept_scores > self._exact:
            self.count()

    def curves(self) -> list[Curve]:
        """One curve for each class."""
        if self._counts is not None:
            self.count()
            levels = self._counts[:, :, ::-1]
            return [
                Curve(levels[number, 1], levels[number, 0], binned=True) for number in range(self._classes)
            ]
        probabilities, labels = self._taken()
        return [_exact_curve(probabilities[:, number], labels == number) for number in range(self._classes)]

    def count(self) -> None:
        """Count the kept scores in bins and forget them."""
        if self._counts is None:
            half = (_SMALLEST_EXPONENT - 1) << self._bits
            self._counts = np.zeros([self._classes, 2, 2 * half + 2], np.int64)
        if not self._kept:
            return
        probabilities, labels = self._taken()
        self._kept = []
        self._kept_scores = 0
        size = self._counts.shape[2]
        levels = self._levels(probabilities.astype(np.float32, copy=False))
        for number in range(self._classes):
            cells = levels[:, number] + size * (labels == number)
            self._counts[number] += np.bincount(cells, minlength=2 * size).reshape(2, size)

    def _taken(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return np.concatenate([part for part, _ in self._kept]), np.concatenate(
            [part for _, part in self._kept]
        )

    def _levels(self, scores: NDArray[Any]) -> NDArray[Any]:
        """The bin of each score: a higher score has a higher bin. A bin is the exponent and the leading digits of the
        distance to 0 or to 1.
        """
        near = np.ascontiguousarray(np.minimum(scores, 1 - scores))
        half = (_SMALLEST_EXPONENT - 1) << self._bits
        lowest = (127 - _SMALLEST_EXPONENT) << self._bits
        # A float32 that is not negative has its exponent in the high bits and 23 digits in the low bits. So its bits,
        # read as an integer, grow with its value, also when low bits are cut off.
        digits = (near.view(np.uint32) >> (23 - self._bits)).astype(np.int64) - lowest
        distance = np.clip(digits, 0, half)
        return np.where(scores < 0.5, distance, 2 * half + 1 - distance)


def _exact_curve(scores: NDArray[Any], positive: NDArray[Any]) -> Curve:
    order = np.argsort(scores)[::-1]
    scores = scores[order]
    positive = positive[order]
    ends = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    found = np.cumsum(positive)[ends]
    positives = np.diff(found, prepend=0)
    return Curve(positives, np.diff(ends + 1, prepend=0) - positives)
