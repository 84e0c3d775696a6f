"""The metrics of a version with their 95 % intervals: those of its card, and of the last evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier_client._files import read_bytes
from atelier_client._model_card import ModelCard
from atelier_client.evaluation.intervals import wilson

_EXAMPLES = "examples"


@dataclass(frozen=True)
class MetricRow:
    """A metric's name and value; `low` and `high` are None where no interval is known."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measured:
    """The metrics of one measurement, and on how many examples they were found."""

    rows: tuple[MetricRow, ...]
    examples: int


def of_card(card: ModelCard) -> Measured:
    """The trainer's metrics for the test examples. Accuracy is a share, so its interval follows from their number."""
    examples = int(card.metrics.get(_EXAMPLES, 0))
    rows = []
    for name, value in card.metrics.items():
        if name == "accuracy" and examples:
            rows.append(MetricRow(name, value, *wilson(round(value * examples), examples)))
        elif name != _EXAMPLES:
            rows.append(MetricRow(name, value))
    return Measured(tuple(rows), examples)


def of_evaluation(reports: Path, model: str, version: int) -> Measured | None:
    """Those of reports/evaluation.json, when that is of this version; None without it, and for a damaged file."""
    try:
        report = json.loads(read_bytes(reports / "evaluation.json"))
        asked = report["model"]
        if (asked["name"], asked["version"]) != (model, version):
            return None
        return Measured(tuple(_rows(report)), int(report["dataset"]["examples"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _rows(report: Mapping[str, Any]) -> list[MetricRow]:
    intervals = report["intervals"]
    return [
        MetricRow(name, float(value), *map(float, intervals[name]))
        if intervals.get(name)
        else MetricRow(name, float(value))
        for name, value in report["metrics"].items()
    ]
