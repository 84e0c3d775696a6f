"""The history of the run that made a version, as lines to plot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from atelier_client._files import read_bytes
from atelier_client._model_card import ModelCard
from atelier_client.errors import DataError

WIDTH, HEIGHT = 320, 120
_PAIRS = (("accuracy", "val_accuracy"), ("mae", "val_mae"), ("loss", "val_loss"))


@dataclass(frozen=True)
class Line:
    """One column of the history: its values, and the points of an SVG polyline."""

    name: str
    values: tuple[float, ...]
    points: str


@dataclass(frozen=True)
class Plot:
    """Lines on one scale, from `low` to `high`."""

    name: str
    lines: tuple[Line, ...]
    low: float
    high: float
    epochs: int


def plots(runs: Path, card: ModelCard) -> list[Plot]:
    """Accuracy or mean absolute error, and loss, over the epochs, of training and validation.

    None where the run is not there or damaged.
    """
    rows = _rows(runs, card)
    found = []
    for pair in _PAIRS:
        columns = {name: _column(rows, name) for name in pair}
        columns = {name: values for name, values in columns.items() if len(values) == len(rows) > 0}
        if columns:
            low = min(min(values) for values in columns.values())
            high = max(max(values) for values in columns.values())
            lines = tuple(Line(name, values, _points(values, low, high)) for name, values in columns.items())
            found.append(Plot(pair[0], lines, low, high, len(rows)))
    return found


def _rows(runs: Path, card: ModelCard) -> list[dict[str, float]]:
    run = PurePosixPath(str(card.document.get("run") or ""))
    if not run.parts or run.is_absolute() or ".." in run.parts:
        return []
    try:
        rows = json.loads(read_bytes(runs / run / "history.json"))
    except (OSError, ValueError, RecursionError, DataError):
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _column(rows: list[dict[str, float]], name: str) -> tuple[float, ...]:
    values = (row.get(name) for row in rows)
    return tuple(float(value) for value in values if isinstance(value, (int, float)) and abs(value) < 1e9)


def _points(values: tuple[float, ...], low: float, high: float) -> str:
    step = WIDTH / max(1, len(values) - 1)
    span = (high - low) or 1.0
    return " ".join(
        f"{index * step:.1f},{HEIGHT - HEIGHT * (value - low) / span:.1f}"
        for index, value in enumerate(values)
    )
