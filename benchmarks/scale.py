"""What several workers, evaluating processes and replicas cost, and what they give, on one machine."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import scale_evaluation, scale_queue, scale_training
from benchmarks.row import Row

NOTE = (
    "One machine of two cores holds all of it, so nothing here gets faster by being divided: what is measured is what "
    "the division costs. `docs/scale.md` says what follows for several machines."
)


def measure() -> Iterator[Row]:
    """Every row, as it is measured."""
    yield from scale_training.measure()
    yield from scale_queue.measure()
    yield from scale_evaluation.measure()
