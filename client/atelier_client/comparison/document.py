"""The comparison as plain data: the content of diff.json. The page and the table are made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from atelier_client.comparison.compare import ComparisonResult
from atelier_client.comparison.counts import PairCounts
from atelier_client.comparison.errors import PairErrors
from atelier_client.comparison.label_sets import PairSets
from atelier_client.comparison.mcnemar import PairedAccuracy
from atelier_client.comparison.paired import PairedTest
from atelier_client.data.table import Reader
from atelier_client.evaluation.metric_names import ERRORS

_MOVEMENTS = 20


def document_of(
    reader: Reader, result: ComparisonResult, *, model: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """The whole comparison. `model` says which versions were compared (`name`, `target`, `a`, `b`)."""
    counts = result.counts
    a, b = model["a"]["version"], model["b"]["version"]
    _, test = counts.main()
    elements = {"elements": counts.examples} if counts.examples != result.examples else {}
    return {
        "model": dict(model),
        "task": result.task,
        "dataset": {
            "name": reader.name,
            "examples": result.examples,
            **elements,
            "sha256": reader.sha256(),
        },
        "better": test.better(),
        **(_of_errors(counts, a, b) if isinstance(counts, PairErrors) else {}),
        **(_of_sets(counts, a, b) if isinstance(counts, PairSets) else {}),
        **(_of_classes(counts, result.class_names, a, b) if isinstance(counts, PairCounts) else {}),
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
        "environment": dict(environment),
    }


def _of_classes(counts: PairCounts, names: Sequence[str], a: int, b: int) -> dict[str, Any]:
    paired = counts.accuracy()
    return {
        "verdict": verdict(paired, a, b),
        "paired": _paired(paired),
        "changed": counts.changed(),
        "classes": _classes(counts, names),
        "movements": _movements(counts, names),
    }


def _of_sets(counts: PairSets, a: int, b: int) -> dict[str, Any]:
    paired = counts.paired()
    return {"verdict": verdict(paired, a, b, "subset accuracy"), "paired": _paired(paired)}


def _of_errors(counts: PairErrors, a: int, b: int) -> dict[str, Any]:
    paired = counts.paired()
    return {
        "verdict": verdict_on_errors(counts, a, b),
        "paired": {
            "closer_in_a": paired.closer_a,
            "closer_in_b": paired.closer_b,
            "equal": paired.examples - paired.closer_a - paired.closer_b,
            "p_value": paired.p_value(),
            "test": "paired difference of the absolute errors, normal",
            "examples_needed": None if paired.better() else paired.examples_needed(),
        },
    }


def _paired(paired: PairedAccuracy) -> dict[str, Any]:
    return {
        "both_right": paired.both,
        "only_a_right": paired.only_a,
        "only_b_right": paired.only_b,
        "neither_right": paired.neither,
        "p_value": paired.p_value(),
        "test": "McNemar, exact" if paired.exact else "McNemar, continuity correction",
        "examples_needed": None if paired.better() else paired.examples_needed(),
    }


def verdict_on_errors(counts: PairErrors, a: int, b: int) -> str:
    """One sentence: which version errs less, or that the examples do not tell, with the numbers behind it."""
    paired = counts.paired()
    mae = counts.differences()[0]
    low, high = mae.interval
    return _sentence(
        paired,
        a,
        b,
        f"mean absolute error {mae.a:.4g} and {mae.b:.4g}, difference {paired.difference:+.4g} "
        f"(95 %: {low:+.4g} to {high:+.4g}); of {paired.examples:,} numbers {paired.closer_a:,} were closer in version "
        f"{a} and {paired.closer_b:,} in version {b} (paired test: p = {paired.p_value():.2g})",
    )


def verdict(paired: PairedAccuracy, a: int, b: int, metric: str = "accuracy") -> str:
    """One sentence: which version is better, or that the examples do not tell, with the numbers behind it."""
    low, high = (100 * end for end in paired.interval())
    share_a = 100 * (paired.both + paired.only_a) / paired.examples
    share_b = 100 * (paired.both + paired.only_b) / paired.examples
    numbers = (
        f"{metric} {share_a:.2f} % and {share_b:.2f} %, difference {100 * paired.difference:+.2f} points "
        f"(95 %: {low:+.2f} to {high:+.2f}); of {paired.examples:,} examples {paired.only_a:,} were right only in "
        f"version {a} and {paired.only_b:,} only in version {b} (McNemar: p = {paired.p_value():.2g})"
    )
    return _sentence(paired, a, b, numbers)


def _sentence(paired: PairedTest, a: int, b: int, numbers: str) -> str:
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
