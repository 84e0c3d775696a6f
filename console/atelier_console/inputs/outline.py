"""Fills closed outlines: what a pen drew as a line becomes the solid thing that it means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Each round reaches along all rows, then all columns; a spiral needs many, a garment three or four.
_ROUNDS = 200


def filled(ink: NDArray[Any]) -> NDArray[Any]:
    """bool [H,W] with everything True that the border cannot reach without crossing ink."""
    free = np.pad(~ink, 1, constant_values=True)
    reached = np.zeros_like(free)
    reached[0] = reached[-1] = True
    reached[:, 0] = reached[:, -1] = True
    for _ in range(_ROUNDS):
        before = int(reached.sum())
        reached = _along_rows(_along_rows(reached, free).T, free.T).T
        if int(reached.sum()) == before:
            break
    return ~reached[1:-1, 1:-1]


def _along_rows(reached: NDArray[Any], free: NDArray[Any]) -> NDArray[Any]:
    """Reach every free point of a run within a row of which one point is reached."""
    starts = ~free
    starts[:, 0] = True
    run = np.cumsum(starts.reshape(-1)) - 1
    touched = np.bincount(run, weights=(reached & free).reshape(-1)) > 0
    found: NDArray[Any] = free & touched[run].reshape(free.shape)
    return found
