"""Accuracy without labels: confidence-based performance estimation (CBPE).

The confidence of each answer gives, by the reference's calibration map, the probability that it is right; their mean is
the accuracy to expect. The same confidence is taken to be right as often as at training: so it sees a change of what is
asked (covariate shift), and not one of what is right (concept drift), nor a model that errs with confidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.evaluation.intervals import Interval, Z


@dataclass
class Confidences:
    """What the estimate needs of answers: how many, and the sums of p, of p (1 - p), and of each bin's weight [B]."""

    examples: int = 0
    expected: float = 0.0
    variance: float = 0.0
    weights: NDArray[Any] | float = 0.0


@dataclass(frozen=True)
class Calibration:
    """The mean confidence, the accuracy and the number of examples of each bin [B] of a reference, by confidence.

    Between the means of two bins the accuracy is interpolated; beyond them it is that of the last one.
    """

    confidence: NDArray[Any]
    accuracy: NDArray[Any]
    counts: NDArray[Any]

    def add(self, answers: Confidences, probabilities: NDArray[Any]) -> None:
        """Count answers float [N,C]."""
        bins = len(self.confidence)
        at = np.interp(probabilities.max(axis=1).astype(np.float64), self.confidence, np.arange(bins))
        lower = np.minimum(at.astype(np.int64), max(bins - 2, 0))
        upper = np.minimum(lower + 1, bins - 1)
        share = at - lower
        right = (1 - share) * self.accuracy[lower] + share * self.accuracy[upper]
        answers.examples += len(right)
        answers.expected += float(right.sum())
        answers.variance += float((right * (1 - right)).sum())
        answers.weights = (
            answers.weights + np.bincount(lower, 1 - share, bins) + np.bincount(upper, share, bins)
        )

    def estimate(self, answers: Confidences) -> tuple[float, Interval]:
        """The accuracy to expect of these very answers, and the band that it lies in with 95 %.

        The band has the chance in the answers themselves, and that in the accuracy of each bin of the reference (by
        Agresti and Coull 1998: a bin that was always right need not always be).
        """
        size = answers.examples
        share = (self.accuracy * self.counts + 2) / (self.counts + 4)
        of_reference = (np.asarray(answers.weights) / size) ** 2 * share * (1 - share) / (self.counts + 4)
        value = answers.expected / size
        half = Z * math.sqrt(answers.variance / size**2 + float(of_reference.sum()))
        return value, (max(value - half, 0.0), min(value + half, 1.0))
