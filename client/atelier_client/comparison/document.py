"""The comparison as plain data: the content of diff.json. The page and the table are made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atelier_client.comparison.compare import ComparisonResult
from atelier_client.comparison.counts import PairCounts
from atelier_client.comparison.mcnemar import PairedAccuracy
from atelier_client.data.table import Reader
from atelier_client.evaluation.metrics import ERRORS

_MOVEMENTS = 20


def document_of(
    reader: Reader, result: ComparisonResult, *, model: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """The whole comparison. `model` says which versions were compared (`name`, `target`, `a`, `b`)."""
    counts = result.counts
    paired = counts.accuracy()
    return {
        "model": dict(model),
        "dataset": {"name": reader.name, "examples": counts.examples, "sha256": reader.sha256()},
        "better": paired.better(),
        "verdict": verdict(paired, model["a"]["version"], model["b"]["version"]),
        "paired": {
            "both_right": paired.both,
            "only_a_right": paired.only_a,
            "only_b_right": paired.only_b,
            "neither_right": paired.neither,
            "p_value": paired.p_value(),
            "test": "McNemar, exact" if paired.exact else "McNemar, continuity correction",
            "examples_needed": None if paired.better() else paired.examples_needed(),
        },
        "changed": counts.changed(),
        "metrics": [
            {
                "name": one.name,
                "a": one.a,
                "b": one.b,
                "difference": one.b - one.a,
                "interval": one.interval,
                "better": _better(one.name, one.interval),
            }
            for one in counts.differences()
        ],
        "classes": _classes(counts, result.class_names),
        "movements": _movements(counts, result.class_names),
        "environment": dict(environment),
    }


def verdict(paired: PairedAccuracy, a: int, b: int) -> str:
    """One sentence: which version is better, or that the examples do not tell, with the numbers behind it."""
    low, high = (100 * end for end in paired.interval())
    share_a = 100 * (paired.both + paired.only_a) / paired.examples
    share_b = 100 * (paired.both + paired.only_b) / paired.examples
    numbers = (
        f"accuracy {share_a:.2f} % and {share_b:.2f} %, difference {100 * paired.difference:+.2f} points "
        f"(95 %: {low:+.2f} to {high:+.2f}); of {paired.examples:,} examples {paired.only_a:,} were right only in "
        f"version {a} and {paired.only_b:,} only in version {b} (McNemar: p = {paired.p_value():.2g})"
    )
    better = paired.better()
    if better:
        return f"Version {b if better == 'b' else a} is better: {numbers}."
    needed = paired.examples_needed()
    more = f" About {needed:,} examples would tell a difference of this size." if needed else ""
    return f"These examples do not tell which version is better: {numbers}.{more}"


def _better(name: str, interval: tuple[float, float]) -> str | None:
    """The version for which the whole interval speaks, else None."""
    low, high = interval
    if low <= 0 <= high:
        return None
    return "b" if (low > 0) != (name in ERRORS) else "a"


def _classes(counts: PairCounts, names: Sequence[str]) -> list[dict[str, Any]]:
    """The share of each class's examples that each version classified rightly; the biggest movers first."""
    rows = []
    for name, paired in zip(names, counts.accuracies(), strict=True):
        if not paired.examples:
            continue
        rows.append(
            {
                "label": name,
                "examples": paired.examples,
                "a": (paired.both + paired.only_a) / paired.examples,
                "b": (paired.both + paired.only_b) / paired.examples,
                "difference": paired.difference,
                "interval": paired.interval(),
                "only_a_right": paired.only_a,
                "only_b_right": paired.only_b,
                "better": paired.better(),
            }
        )
    return sorted(rows, key=lambda row: -abs(row["difference"]))


def _movements(counts: PairCounts, names: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent changes of the predicted class: what it is, what a said, what b says, how often."""
    truth, guess_a, guess_b, examples = counts.cells()
    changed = np.flatnonzero(guess_a != guess_b)
    order = changed[np.argsort(-examples[changed], kind="stable")][:_MOVEMENTS]
    return [
        {
            "label": names[truth[place]],
            "a": names[guess_a[place]],
            "b": names[guess_b[place]],
            "examples": int(examples[place]),
        }
        for place in order.tolist()
    ]
