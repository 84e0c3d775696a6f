"""The numbers for the report's SVG charts. Positions are in the units of each chart's viewBox."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.evaluation.metric_names import limits

_CELLS = 440.0
CONFUSED = 10


def confusion(matrix: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
    """Cells of the confusion matrix. A cell's share of its true class sets its shade; misses have their own scale."""
    rows = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shares = matrix / rows
    largest = float((shares * (1 - np.eye(len(matrix)))).max()) or 1.0
    size = _CELLS / len(matrix)
    longest = max(len(name) for name in names)
    left = min(max(longest * 6.2, 30), 150) + 10
    return {
        "size": size,
        "left": left,
        "width": left + _CELLS + 60,
        "height": _CELLS + 16 + min(longest * 4.6, 110),
        "font": max(6.0, min(12.0, size * 0.34)),
        "names": [name if len(name) <= 24 else name[:23] + "…" for name in names],
        "cells": [
            {
                "true": true,
                "guess": guess,
                "count": int(matrix[true, guess]),
                "share": float(shares[true, guess]),
                "shade": float(shares[true, guess] if true == guess else shares[true, guess] / largest),
            }
            for true in range(len(matrix))
            for guess in range(len(matrix))
        ],
    }


def most_confused(matrix: NDArray[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """The pairs of a true and a predicted class with the most mistakes."""
    misses = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    order = np.argsort(-misses, axis=None, kind="stable")[:CONFUSED]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    return [
        {
            "true": names[true],
            "guess": names[guess],
            "count": int(misses[true, guess]),
            "share": float(misses[true, guess] / max(matrix[true].sum(), 1)),
        }
        for true, guess in pairs
        if misses[true, guess]
    ]


def class_bars(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A bar for each class: F1 with its interval, precision and recall as marks. The axis starts at 0."""
    return {"start": 0.0, "rows": rows, "ticks": _ticks(0.0, 1.0)}


def calibration(bins: Sequence[Mapping[str, float]], examples: int) -> list[dict[str, float]]:
    """Each bin with its share of the examples, and the gap: positive when the model is too confident."""
    return [
        {**one, "share": one["examples"] / examples, "gap": one["confidence"] - one["accuracy"]}
        for one in bins
    ]


def latency(histogram: Mapping[str, Sequence[float]], percentiles: Mapping[str, float]) -> dict[str, Any]:
    """A histogram with a logarithmic axis of milliseconds, in a viewBox of 520 by 180."""
    edges = np.array(histogram["edges_ms"])
    counts = np.array(histogram["counts"])
    low = math.log(max(edges[0], 1e-4))
    high = math.log(max(edges[-1], 2e-4))

    def across(value: float) -> float:
        return 520 * (math.log(max(value, 1e-4)) - low) / max(high - low, 1e-9)

    tallest = max(int(counts.max()), 1)
    bars = [
        {
            "x": across(edges[index]),
            "width": max(across(edges[index + 1]) - across(edges[index]) - 1, 0.5),
            "height": 150 * int(count) / tallest,
            "count": int(count),
            "low": float(edges[index]),
            "high": float(edges[index + 1]),
        }
        for index, count in enumerate(counts)
    ]
    ticks = [value * 10.0**power for power in range(-4, 6) for value in (1, 2, 5)]
    return {
        "bars": bars,
        "ticks": [
            {"x": across(tick), "text": f"{tick:g}"} for tick in ticks if edges[0] <= tick <= edges[-1]
        ],
        "marks": [
            {"x": min(max(across(value), 0), 520), "text": name} for name, value in percentiles.items()
        ],
    }


def slice_rows(
    rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, float], main: str, names: Sequence[str]
) -> dict[str, Any]:
    """The axis that slices are drawn on by their `main` metric, with that of all examples, and the metrics shown."""
    overall = metrics[main]
    ends = [end for row in rows if row["examples"] for end in row["intervals"][main]]
    if limits(main) == (0.0, 1.0):
        start, end = max(0.0, math.floor(min([*ends, overall]) * 10) / 10), 1.0
    else:
        start, end = 0.0, max([*ends, overall]) or 1.0
    return {"overall": overall, "start": start, "end": end, "main": main, "shown": list(names)}


def points(given: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Predicted over true numbers, both axes on one scale, in a square of 360 by 360."""
    pairs = list(zip(given["label"], given["predicted"], strict=True))
    low = min(min(pair) for pair in pairs)
    high = max(max(pair) for pair in pairs)
    spread = (high - low) or 1.0

    def across(value: float) -> float:
        return 360 * (value - low) / spread

    return {
        "points": [
            {"x": across(label), "y": 360 - across(predicted), "label": label, "predicted": predicted}
            for label, predicted in pairs
        ],
        "ticks": [
            {"x": across(value), "y": 360 - across(value), "text": f"{value:g}"}
            for value in _round_values(low, high)
        ],
    }


def residuals(given: Mapping[str, Any]) -> dict[str, Any]:
    """A histogram with a linear axis, in a viewBox of 520 by 180; `zero` is the place of no error, None outside."""
    edges, counts = given["edges"], given["counts"]
    low, high = float(edges[0]), float(edges[-1])
    tallest = max(*counts, 1)

    def across(value: float) -> float:
        return 520 * (value - low) / ((high - low) or 1.0)

    return {
        "bars": [
            {
                "x": across(edges[index]),
                "width": max(across(edges[index + 1]) - across(edges[index]) - 1, 0.5),
                "height": 150 * count / tallest,
                "count": count,
                "low": edges[index],
                "high": edges[index + 1],
            }
            for index, count in enumerate(counts)
        ],
        "zero": across(0.0) if low <= 0 <= high else None,
        "ticks": [{"x": across(value), "text": f"{value:g}"} for value in _round_values(low, high)],
    }


def _round_values(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    if not low < high:
        return [low]
    rough = (high - low) / 5
    power = math.pow(10.0, math.floor(math.log10(rough)))
    step: float = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _ticks(start: float, end: float) -> list[float]:
    step = 0.1 if end - start <= 0.55 else 0.2
    return [round(value, 1) for value in np.arange(start, end + 1e-9, step)]
