"""The page of a comparison of two versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atelier_client.comparison.changes import Change
from atelier_client.comparison.compare import ComparisonResult
from atelier_client.comparison.moves import Move
from atelier_client.evaluation.metric_names import limits
from atelier_client.report.example import shown
from atelier_client.report.template import render

_TITLES = {
    "accuracy": "accuracy",
    "loss": "loss",
    "macro_precision": "precision, mean of the classes",
    "macro_recall": "recall, mean of the classes",
    "macro_f1": "F1, mean of the classes",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
    "subset_accuracy": "subset accuracy",
}


def as_html(document: Mapping[str, Any], result: ComparisonResult) -> str:
    """The page: the verdict and the metrics.

    Of classes also those that moved most and the examples that changed class, of numbers those whose error changed
    most.
    """
    names = result.class_names
    rows = document.get("classes", ())
    largest = max((max(map(abs, row["interval"])) for row in rows), default=0.0)
    return render(
        "comparison.html.j2",
        document=document,
        titles=_TITLES,
        in_percent={name for name in _TITLES if name != "loss" and limits(name) == (0.0, 1.0)},
        positive=names[1] if len(names) == 2 else None,
        reach=max(largest, 0.001),
        changes={
            kind: [_example(change, names) for change in kept]
            for kind, kept in result.changes.clearest.items()
        },
        moves={kind: [_move(move) for move in kept] for kind, kept in result.moves.largest.items()},
    )


def _move(move: Move) -> dict[str, Any]:
    return {
        "index": move.index,
        **shown(move.inputs),
        "label": move.label,
        "a": move.a,
        "b": move.b,
        "change": move.change,
    }


def _example(change: Change, names: Sequence[str]) -> dict[str, Any]:
    return {
        "index": change.index,
        **shown(change.inputs),
        "true": names[change.label],
        "a": names[change.a],
        "b": names[change.b],
        "confidence_a": change.confidence_a,
        "confidence_b": change.confidence_b,
    }
