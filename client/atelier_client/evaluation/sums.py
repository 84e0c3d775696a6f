"""Sums of floats that are the same whatever the order and the grouping of what is added.

Values are counted in whole units of 2**-40, and whole numbers add exactly. So the parts of a data set that several
processes measured add up to the sum that one process has, to the last bit. A value is changed by at most 5e-13, which
is less than the rounding of a float32 probability.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_UNITS = 1 << 40
# Units are summed in two halves, which cannot overflow 64 bits.
_HALF = 20


def units(values: NDArray[np.float64]) -> int:
    """The sum of values [N] below 2**20, in units."""
    high, low = _halves(values)
    return (int(high.sum()) << _HALF) + int(low.sum())


def units_by_bin(values: NDArray[np.float64], at: NDArray[np.int64], bins: int) -> NDArray[np.object_]:
    """The sums of values [N] in [0,1] of each bin, in units: whole numbers of Python, object [bins]; `at` names the
    bin of each value.
    """
    # As weights they are float64, which holds whole numbers up to 2**53.
    high, low = (
        np.bincount(at, weights=half, minlength=bins).astype(np.int64).astype(object)
        for half in _halves(values)
    )
    sums: NDArray[np.object_] = high * (1 << _HALF) + low
    return sums


def as_float(total: int) -> float:
    """A sum in units as the nearest float."""
    return total / _UNITS


def _halves(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    whole = np.rint(values * _UNITS).astype(np.int64)
    return whole >> _HALF, whole & ((1 << _HALF) - 1)
