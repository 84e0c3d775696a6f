"""How far two samples of a column are apart, with 95 % intervals in closed form.

Every estimate is freed of what chance alone adds to it, so that it does not fall when a window has more examples:

- Jensen-Shannon distance (base 2, 0 to 1; Lin 1991, Endres and Schindelin 2003): bias and variance of the divergence by
  its Taylor expansion to the second order in the shares of the cells (Miller 1955 for entropies);
- Wasserstein distance of order 1, with the values within the edges at the upper edge of their cell: |D| at each edge is
  replaced by sqrt(max(D^2 - half its variance, 0)) (simulated: all of the variance makes distances at the threshold too
  small by a sixth); the variance of the sum by the delta method;
- difference of two rates: Newcombe 1998 ("Interval estimation for the difference between independent proportions"),
  method 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.drift.column import Column, Counts
from atelier_client.evaluation.intervals import Interval, Z, wilson

# A cell expected to have fewer examples than this is put together with others before the chi-square test.
_FEWEST_EXPECTED = 5
_BITS = 1 / math.log(2)


@dataclass(frozen=True)
class Distance:
    """`value` and its 95 % interval; `resolution`: a smaller one cannot be told from chance with so many examples.

    `chance` is the probability of such a difference when nothing has changed: verdict.py compares those of all columns.
    """

    value: float
    interval: Interval
    resolution: float
    chance: float


def distance(column: Column, reference: Counts, window: Counts) -> Distance:
    """The distance of two samples by the column's measure. Both need one example at least."""
    if column.measure == "rate":
        return rates(reference, window)
    if column.measure == "wasserstein":
        return wasserstein(column, reference, window)
    return jensen_shannon(reference.cells, window.cells)


def jensen_shannon(reference: NDArray[np.int64], window: NDArray[np.int64]) -> Distance:
    """Of counts [K] each: the square root of the divergence in bits."""
    filled = (reference + window) > 0
    counts = np.stack([reference[filled], window[filled]]).astype(np.float64)
    sizes = counts.sum(axis=1, keepdims=True)
    shares = counts / sizes
    middle = shares.mean(axis=0)
    present = shares > 0
    ratio = np.where(present, shares / middle, 1.0)
    slopes = np.log2(ratio) / 2
    divergence = float((shares * slopes).sum())
    curvature = np.where(present, (1 - shares) * (1 - ratio / 2), 0.0)
    bias = _BITS / 4 * float((curvature.sum(axis=1) / sizes[:, 0]).sum())
    means = (shares * slopes).sum(axis=1)
    first = float((((shares * slopes**2).sum(axis=1) - means**2) / sizes[:, 0]).sum())
    # Of equal distributions the divergence is a chi-square over 8 ln 2 times the harmonic size.
    second = 2 * (len(middle) - 1) * (_BITS / 8 * float((1 / sizes).sum())) ** 2
    estimate = divergence - bias
    half = Z * math.sqrt(first + second)

    def scaled(value: float) -> float:
        return math.sqrt(min(max(value, 0.0), 1.0))

    return Distance(
        scaled(estimate),
        (scaled(estimate - half), scaled(estimate + half)),
        scaled(Z * math.sqrt(second)),
        homogeneity(counts),
    )


def wasserstein(column: Column, reference: Counts, window: Counts) -> Distance:
    """Divided by the column's spread."""
    if not len(column.edges):
        return Distance(0.0, (0.0, 0.0), math.inf, 1.0)
    widths = np.append(np.diff(column.edges), 0.0)
    sides = (reference, window)
    sizes = np.array([side.examples for side in sides], np.float64)
    shares = np.stack([side.cells / side.examples for side in sides])
    # [2,K]: the share of values that are no greater than each edge.
    levels = np.cumsum(shares, axis=1)[:, :-1]
    difference = levels[0] - levels[1]
    noise = (levels * (1 - levels) / sizes[:, None]).sum(axis=0)
    below, above = (
        np.array([getattr(side, end)[0] / side.examples for side in sides]) for end in ("below", "above")
    )
    beyond = abs(below[0] - below[1]) + abs(above[0] - above[1])
    value = float((np.sqrt(np.maximum(difference**2 - noise / 2, 0.0)) * widths).sum()) + beyond
    ends = (math.copysign(1.0, below[0] - below[1]), math.copysign(1.0, above[0] - above[1]))
    # Where chance decides the signs they cancel each other, which the difference of the means does not.
    directions = ((widths * np.where(difference < 0, -1.0, 1.0), ends), (widths, (1.0, -1.0)))

    def error_of(sides: tuple[Counts, Counts]) -> float:
        return math.sqrt(
            max(
                sum(_variance(side, *direction) / size for side, size in zip(sides, sizes, strict=True))
                for direction in directions
            )
        )

    error = error_of(sides)
    scale = column.spread
    # When nothing has changed both samples have the variance that they have together. Alone a small one may lack the
    # few large values, and then seems to vary less than it does.
    both = reference + window
    together = max(error, error_of((both, both)))
    chance = math.erfc(value / together / math.sqrt(2)) if together else float(value == 0)
    interval = (max(value - Z * error, 0.0) / scale, (value + Z * error) / scale)
    return Distance(value / scale, interval, Z * error / scale, chance)


def _variance(side: Counts, weights: NDArray[Any], ends: tuple[float, float]) -> float:
    """The variance of one value's part in the sum over the edges of `weights` [K] times the level, and of the distances
    beyond both ends times `ends`."""
    # A value in a cell counts towards the level at every edge from its own on.
    moved = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    share = side.cells / side.examples
    below_mean, below_square = side.below / side.examples
    above_mean, above_square = side.above / side.examples
    # Those below lie in the first cell, those above in the last one, where `moved` is 0.
    mean = float((share * moved).sum()) + ends[0] * below_mean + ends[1] * above_mean
    square = (
        float((share * moved**2).sum()) + 2 * ends[0] * below_mean * moved[0] + below_square + above_square
    )
    return float(max(square - mean**2, 0.0))


def rates(reference: Counts, window: Counts) -> Distance:
    """The window's rate less the reference's."""
    (first, count), (second, size) = ((int(side.cells[0]), side.examples) for side in (reference, window))
    before, now = first / count, second / size
    low, high = wilson(first, count)
    low_now, high_now = wilson(second, size)
    value = now - before
    interval = (
        value - math.hypot(now - low_now, high - before),
        value + math.hypot(high_now - now, before - low),
    )
    pooled = (first + second) / (count + size)
    error = math.sqrt(pooled * (1 - pooled) * (1 / count + 1 / size))
    chance = math.erfc(abs(value) / error / math.sqrt(2)) if error else 1.0
    return Distance(value, interval, (interval[1] - interval[0]) / 2, chance)


def homogeneity(counts: NDArray[np.float64]) -> float:
    """The p-value of Pearson's test that two rows of counts [2,K] have the same distribution.

    Cells expected to have too few examples for it are put together, the rarest first. The larger sample alone says
    which: by both, cells that have few examples by chance would be put together, and others stand out more.
    """
    sizes = counts.sum(axis=1)
    share = counts[sizes.argmax()] / sizes.max()
    order = np.argsort(share, kind="stable")
    counts, share = counts[:, order], share[order]
    rare = int(np.searchsorted(share * sizes.min(), _FEWEST_EXPECTED))
    if rare:
        counts = np.column_stack([counts[:, :rare].sum(axis=1), counts[:, rare:]])
    expected = np.outer(sizes, counts.sum(axis=0)) / counts.sum()
    if counts.shape[1] < 2:
        return 1.0
    return chi_square_tail(float(((counts - expected) ** 2 / expected).sum()), counts.shape[1] - 1)


def chi_square_tail(value: float, freedom: int) -> float:
    """The probability of `value` or more, by the finite sums for whole degrees of freedom (Abramowitz and Stegun 26.4.4
    and 26.4.5)."""
    half = value / 2
    if half <= 0:
        return 1.0
    odd = freedom % 2 == 1
    exponents = np.arange(freedom // 2) + (0.5 if odd else 0.0)
    logs = exponents * math.log(half) - half - np.array([math.lgamma(one + 1) for one in exponents])
    return min(1.0, float(np.exp(logs).sum()) + (math.erfc(math.sqrt(half)) if odd else 0.0))
