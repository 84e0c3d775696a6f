"""Compares the time of one-row requests to two versions, which are sent in turn so that both meet the same moments."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.client import Client
from atelier_client.data.table import Table
from atelier_client.evaluation.intervals import Interval
from atelier_client.evaluation.question import Question
from atelier_client.gate.measured import Change, Measurement

# The p99 of 1,000 requests has ten above it. Where it decides nothing, fewer show what it is about.
DECIDING = 1000
OBSERVED = 200
_WARM_UP = 20
_MOST_SECONDS = 60.0
_ROWS = 64
_DRAWS = 1000
_SEED = 0
_ENDS = (2.5, 97.5)


def measure_latency(
    client: Client,
    table: Table,
    candidate: Question,
    stable: Question | None,
    requests: int,
) -> tuple[Measurement, int]:
    """The p99 in milliseconds with a bootstrap interval, and how many requests each version got. Raises `ClientError`.

    The requests are the first rows of `table`, one each, again and again; a slow model gets fewer than `requests`.
    """
    sides = [stable, candidate] if stable else [candidate]
    rows = [_rows(side, table) for side in sides]
    times: list[list[float]] = []
    ends_at = time.monotonic() + _MOST_SECONDS
    for number in range(_WARM_UP + requests):
        order = range(len(sides)) if number % 2 else range(len(sides))[::-1]
        taken = [0.0] * len(sides)
        for side in order:
            taken[side] = _seconds(client, sides[side], rows[side][number % len(rows[side])])
        if number >= _WARM_UP:
            times.append(taken)
        if times and time.monotonic() > ends_at:
            break
    return p99(np.array(times)[:, -1] * 1000, np.array(times)[:, 0] * 1000 if stable else None), len(times)


def p99(candidate: NDArray[Any], stable: NDArray[Any] | None) -> Measurement:
    """The p99 of the candidate's times [N], and its change against stable's of the same moments [N].

    Resampled are the moments, so that a pause of the machine is in both or in none.
    """
    random = np.random.default_rng(_SEED)
    drawn = random.integers(0, len(candidate), [_DRAWS, len(candidate)])
    value = float(np.percentile(candidate, 99))
    of_candidate = np.percentile(candidate[drawn], 99, axis=1)
    if stable is None:
        return Measurement(value, _ends(of_candidate))
    base = float(np.percentile(stable, 99))
    of_stable = np.percentile(stable[drawn], 99, axis=1)
    difference = of_candidate - of_stable
    change = Change(base, value - base, _ends(difference), _ends(difference / of_stable))
    return Measurement(value, _ends(of_candidate), change)


def _ends(values: NDArray[Any]) -> Interval:
    low, high = np.percentile(values, _ENDS)
    return float(low), float(high)


def _rows(side: Question, table: Table) -> Sequence[dict[str, NDArray[Any]]]:
    inputs = side.inputs({name: column[:_ROWS] for name, column in table.items()}, 0)
    count = len(next(iter(inputs.values())))
    return [{name: array[row : row + 1] for name, array in inputs.items()} for row in range(count)]


def _seconds(client: Client, side: Question, inputs: dict[str, NDArray[Any]]) -> float:
    asked = side.request
    started = time.perf_counter()
    client.predict(inputs, signature=asked.signature, outputs=asked.outputs, version=asked.version)
    return time.perf_counter() - started
