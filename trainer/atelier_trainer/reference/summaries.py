"""Samples as counts: the edges that numbers are counted between, the categories, the truth values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Closer at both ends, where a bin of equal share would be wide. Their number bounds the size of the file.
INPUT_QUANTILES = np.array([0.5, 1, 2.5, *range(5, 100, 5), 97.5, 99, 99.5]) / 100
OUTPUT_QUANTILES = np.arange(1, 10) / 10
MOST_CATEGORIES = 50
# A longer text is no name of a category that people would read, and would make the file large.
LONGEST_CATEGORY = 100


def number(name: str, group: str, values: np.ndarray) -> dict[str, Any]:
    """Of float [N], NaN for missing: `edges` [K] that rise, `counts` [K+1] of the values up to each edge, and above.

    `below` and `above` say how far the values beyond the edges lie from them: the sum, and the sum of the squares.
    """
    known = values[np.isfinite(values)].astype(np.float64)
    quantiles = OUTPUT_QUANTILES if group == "output" else INPUT_QUANTILES
    # Values that are there, so that the few values of a column of whole numbers are told apart.
    edges = np.unique(np.quantile(known, quantiles, method="inverted_cdf")) if len(known) else np.empty(0)
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    low, high = (edges[0], edges[-1]) if len(edges) else (0.0, 0.0)
    below, above = np.maximum(low - known, 0.0), np.maximum(known - high, 0.0)
    return {
        "name": name,
        "group": group,
        "kind": "number",
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "below": [float(below.sum()), float((below**2).sum())],
        "above": [float(above.sum()), float((above**2).sum())],
        "mean": float(known.mean()) if len(known) else 0.0,
        "deviation": float(known.std()) if len(known) else 0.0,
    }


def category(name: str, group: str, counts: Mapping[str, int], missing: int = 0) -> dict[str, Any]:
    """`categories` and their `counts`, the most frequent first; `other` are the examples of all others."""
    named = Counter({text: count for text, count in counts.items() if len(text) <= LONGEST_CATEGORY})
    most = named.most_common(MOST_CATEGORIES)
    return {
        "name": name,
        "group": group,
        "kind": "category",
        "categories": [text for text, _ in most],
        "counts": [int(count) for _, count in most],
        "other": int(sum(counts.values()) - sum(count for _, count in most)),
        "missing": int(missing),
    }


def classes(name: str, names: Sequence[str], numbers: np.ndarray) -> dict[str, Any]:
    """Class numbers int64 [N] as a column of categories, all classes in their order."""
    counts = np.bincount(numbers, minlength=len(names))
    return {
        "name": name,
        "group": "output",
        "kind": "category",
        "categories": list(names),
        "counts": counts.tolist(),
        "other": 0,
        "missing": 0,
    }


def share(name: str, group: str, values: np.ndarray) -> dict[str, Any]:
    """Of bool [N]: how many of them are `true`, of all `examples`."""
    return {
        "name": name,
        "group": group,
        "kind": "share",
        "true": int(np.count_nonzero(values)),
        "examples": len(values),
    }
