"""Compares two answers to the same inputs, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Two numbers are the same up to so much, of numbers above 1 up to so much of the number: batches of another size and
# kernels of another machine round otherwise. The golden examples are held to the same (evaluation/skew.py).
TOLERANCE = 1e-4

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Difference:
    """One output: which rows differ [N] (bool), the largest distance of two numbers, and why they cannot be compared.

    `largest` is None for what are no floats. `reason` is None for outputs of the same form; else every row differs.
    """

    differing: NDArray[Any]
    largest: float | None = None
    reason: str | None = None


def compare(ours: Outputs, theirs: Outputs) -> dict[str, Difference]:
    """Each output of either answer. An output without a batch is one row."""
    return {name: _compare(ours.get(name), theirs.get(name)) for name in sorted({*ours, *theirs})}


def differing_rows(differences: Mapping[str, Difference]) -> NDArray[Any]:
    """The rows in which any output differs [N] (bool). Outputs of different lengths make one row of the request."""
    masks = [difference.differing for difference in differences.values()]
    if len({len(mask) for mask in masks}) > 1:
        return np.array([any(mask.any() for mask in masks)])
    return np.asarray(np.any(masks, axis=0)) if masks else np.zeros(1, bool)


def _compare(ours: NDArray[Any] | None, theirs: NDArray[Any] | None) -> Difference:
    if ours is None or theirs is None:
        present = ours if ours is not None else theirs
        assert present is not None
        return Difference(np.ones(_rows(present), bool), reason="only one of the two answers has it")
    if ours.shape != theirs.shape or ours.dtype.kind != theirs.dtype.kind:
        reason = f"{_form(ours)} and {_form(theirs)}"
        return Difference(np.ones(_rows(ours), bool), reason=reason)
    if ours.dtype.kind != "f":
        return Difference(_any_in_row(np.asarray(ours != theirs, bool)))
    one, two = ours.astype(np.float64), theirs.astype(np.float64)
    both = np.isfinite(one) & np.isfinite(two)
    distance = np.abs(np.subtract(one, two, where=both, out=np.zeros(one.shape)))
    allowed = TOLERANCE * np.maximum(1.0, np.abs(one, where=both, out=np.zeros(one.shape)))
    same = np.where(both, distance <= allowed, (one == two) | (np.isnan(one) & np.isnan(two)))
    return Difference(_any_in_row(~same), float(distance.max(initial=0.0)))


def _rows(array: NDArray[Any]) -> int:
    return len(array) if array.ndim else 1


def _any_in_row(differing: NDArray[Any]) -> NDArray[Any]:
    if not differing.size:
        return np.zeros(_rows(differing), bool)
    return np.asarray(differing.reshape(_rows(differing), -1).any(axis=1))


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype}{list(array.shape)}"
