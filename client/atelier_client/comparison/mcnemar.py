"""The paired test of two classifiers' accuracy, and the interval of the difference.

On the same examples only those count that exactly one of the two classifies rightly (McNemar 1947). When the two are
equally good, each of them is as likely to be one's as the other's: a binomial distribution with the share 1/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from atelier_client.comparison.paired import POWER_Z, SIGNIFICANCE
from atelier_client.evaluation.intervals import Interval, Z, wilson

# Up to so many discordant pairs the binomial distribution is summed. Beyond, the normal one with the correction for
# continuity differs from it by less than 0.001.
EXACT_PAIRS = 1000


@dataclass(frozen=True)
class PairedAccuracy:
    """How many examples both, only the first (a), only the second (b) and neither classified rightly."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def examples(self) -> int:
        """The number of examples."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def discordant(self) -> int:
        """The number of examples that exactly one classified rightly."""
        return self.only_a + self.only_b

    @property
    def difference(self) -> float:
        """The accuracy of b less that of a."""
        return (self.only_b - self.only_a) / self.examples

    @property
    def exact(self) -> bool:
        """True when `p_value` sums the binomial distribution."""
        return self.discordant <= EXACT_PAIRS

    def p_value(self) -> float:
        """The two-sided probability of so large a difference, or a larger one, when both are equally good."""
        pairs = self.discordant
        fewer = min(self.only_a, self.only_b)
        if self.exact:
            # Each binomial coefficient from the one before it: anew they cost 78 times as much.
            below = term = 1
            for count in range(fewer):
                term = term * (pairs - count) // (count + 1)
                below += term
            # Whole numbers are divided exactly, whatever their size.
            share: float = below / 2**pairs
            return min(1.0, 2 * share)
        z = max(0, abs(self.only_b - self.only_a) - 1) / math.sqrt(pairs)
        return math.erfc(z / math.sqrt(2))

    def better(self) -> str | None:
        """`"a"` or `"b"`, None when the examples do not tell."""
        if self.p_value() >= SIGNIFICANCE:
            return None
        return "b" if self.only_b > self.only_a else "a"

    def interval(self) -> Interval:
        """The 95 % interval of `difference` (Newcombe 1998, "Improved confidence intervals for the difference
        between binomial proportions based on paired data", method 10)."""
        count = self.examples
        right_a = self.both + self.only_a
        right_b = self.both + self.only_b
        low_a, high_a = wilson(right_a, count)
        low_b, high_b = wilson(right_b, count)
        share_a = right_a / count
        share_b = right_b / count
        product = self.both * self.neither - self.only_a * self.only_b
        if product > 0:
            product = max(product - count // 2, 0)
        spread = right_a * right_b * (count - right_a) * (count - right_b)
        correlation = product / math.sqrt(spread) if spread else 0.0

        def half(one: float, other: float) -> float:
            return math.sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))

        low = self.difference - half(share_b - low_b, high_a - share_a)
        high = self.difference + half(high_b - share_b, share_a - low_a)
        return max(-1.0, low), min(1.0, high)

    def examples_needed(self) -> int | None:
        """About how many examples would tell a difference of this size in four of five comparisons (Connor 1987).

        None when there is no difference.
        """
        if self.only_a == self.only_b:
            return None
        changed = self.discordant / self.examples
        spread = Z * math.sqrt(changed) + POWER_Z * math.sqrt(changed - self.difference**2)
        return math.ceil((spread / self.difference) ** 2)

    def in_words(self) -> list[str]:
        """See `PairedTest`."""
        return [
            f"{self.only_b:,} examples right only now, {self.only_a:,} only in stable",
            f"McNemar: p = {self.p_value():.2g}",
        ]
