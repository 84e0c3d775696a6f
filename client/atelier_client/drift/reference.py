"""reference.json of a version: what training saw and what the model said of it, as counts (docs/contracts.md)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from atelier_client._files import read_bytes
from atelier_client._model_card import ModelCard
from atelier_client.drift.column import Column, Counts, Group, spread_of
from atelier_client.drift.estimate import Calibration
from atelier_client.drift.schema import Schema
from atelier_client.errors import DataError

NAME = "assets.extra/reference.json"
FORMAT = 1
# Four times what a trainer writes at most.
_LARGEST = 16_000_000
_AGAIN = "Publish the version again, or take the file away."


@dataclass(frozen=True)
class Reference:
    """The columns and the counts of each; how to read a request; the calibration (None of numbers); its examples."""

    schema: Schema
    columns: tuple[Column, ...]
    counts: tuple[Counts, ...]
    calibration: Calibration | None
    examples: Mapping[str, Any]
    left_out: int


def read_reference(version_folder: Path, card: ModelCard) -> Reference | None:
    """The reference beside a version, or None when it has none.

    Raises `DataError` for a damaged file, and for one that contradicts the model card.
    """
    path = version_folder / NAME
    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            raise DataError(
                f"{path} has {path.stat().st_size:,} bytes; a reference has {_LARGEST:,} at most. {_AGAIN}"
            )
        data = read_bytes(path)
    except OSError:
        return None
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise DataError(
                f"{path} has the format {document['format']!r}, and this client knows {FORMAT}: install the client "
                "of the trainer's release."
            )
        _check_belongs(path, document, data, card)
        return _parsed(document, card)
    except RecursionError:
        reason = "its values are nested too deeply"
    except KeyError as error:
        reason = f"the key {error.args[0]} is missing"
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = str(error)
    raise DataError(f"{path} is damaged: {reason}. {_AGAIN}")


def _check_belongs(path: Path, document: Mapping[str, Any], data: bytes, card: ModelCard) -> None:
    """Raises `DataError` when the reference is not that of the card's version."""
    names = tuple(str(name) for name in document["class_names"])
    differs = [
        f"{what} is {ours!r} and not {theirs!r}"
        for what, ours, theirs in (
            ("the model", document["model"], card.document.get("model")),
            ("the run", document["run_id"], card.document.get("run_id")),
        )
        if ours != theirs
    ]
    if names != card.class_names:
        differs.append(
            f"the classes are {', '.join(names[:3])}, .. and not {', '.join(card.class_names[:3])}, .."
        )
    files = card.document.get("files")
    written = files.get(NAME) if isinstance(files, dict) else None
    if (
        not differs
        and isinstance(written, dict)
        and written.get("sha256") != hashlib.sha256(data).hexdigest()
    ):
        differs.append("its SHA-256 is not the one that the card gives")
    if differs:
        raise DataError(
            f"{path} belongs to another version than the model card beside it: {differs[0]}. {_AGAIN}"
        )


def _parsed(document: Mapping[str, Any], card: ModelCard) -> Reference:
    """Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
    columns, counts = [], []
    for entry in document["columns"]:
        column, counted = _column(entry)
        columns.append(column)
        counts.append(counted)
    if len({column.key for column in columns}) < len(columns):
        raise ValueError("a column is there twice")
    background = document["background"]
    if background not in (None, "dark", "light"):
        raise ValueError(f"the background is {background!r}")
    layout = card.layout
    schema = Schema(
        layout.kind,
        layout.shape,
        layout.columns,
        layout.kinds,
        card.class_names,
        background,
        frozenset(str(word).encode() for word in document["vocabulary"]) if layout.kind == "text" else None,
    )
    return Reference(
        schema,
        tuple(columns),
        tuple(counts),
        None if document["calibration"] is None else _calibration(document["calibration"]),
        {"split": str(document["examples"]["split"]), "count": int(document["examples"]["count"])},
        int(document["left_out"]),
    )


def _column(entry: Mapping[str, Any]) -> tuple[Column, Counts]:
    name, group, kind = str(entry["name"]), entry["group"], entry["kind"]
    if group not in get_args(Group):
        raise ValueError(f"the column {name} has the group {group!r}")
    if kind == "share":
        true, examples = _whole([entry["true"], entry["examples"]], name).tolist()
        if true > examples:
            raise ValueError(f"the column {name} has {true} of {examples} examples")
        return Column(name, group, "share"), Counts(np.array([true, examples - true]))
    if kind == "category":
        categories = tuple(str(text) for text in entry["categories"])
        cells = _whole([*entry["counts"], entry["other"], entry["missing"]], name)
        if len(cells) != len(categories) + 2:
            raise ValueError(f"the column {name} has {len(cells) - 2} counts of {len(categories)} categories")
        return Column(name, group, "category", categories=categories), Counts(cells)
    if kind != "number":
        raise ValueError(f"the column {name} has the kind {kind!r}")
    edges = np.array([float(edge) for edge in entry["edges"]], np.float64)
    cells = _whole(entry["counts"], name)
    if len(cells) != len(edges) + 1 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise ValueError(f"the column {name} needs edges that rise, and one count more")
    mean, deviation = float(entry["mean"]), float(entry["deviation"])
    if not (math.isfinite(mean) and 0 <= deviation < math.inf):
        raise ValueError(f"the column {name} has the mean {mean} and the deviation {deviation}")
    column = Column(name, group, "number", edges, spread=spread_of(mean, deviation))
    below, above = (
        np.array([float(value) for value in entry[end]], np.float64) for end in ("below", "above")
    )
    if not all(end.shape == (2,) and (end >= 0).all() and np.isfinite(end).all() for end in (below, above)):
        raise ValueError(f"the column {name} needs two sums below and above its edges")
    return column, Counts(cells, below, above, mean * int(cells.sum()))


def _whole(values: Any, name: str) -> NDArray[np.int64]:
    if not all(type(value) is int and 0 <= value < 2**53 for value in values):
        raise ValueError(f"the column {name} has counts that are no whole numbers from 0")
    return np.array(values, np.int64)


def _calibration(entry: Mapping[str, Any]) -> Calibration:
    confidence, accuracy, counts = (
        np.array([float(value) for value in entry[key]], np.float64)
        for key in ("confidence", "accuracy", "counts")
    )
    valid = (
        len(confidence)
        and len(confidence) == len(accuracy) == len(counts)
        and (np.diff(confidence) > 0).all()
        and ((accuracy >= 0) & (accuracy <= 1)).all()
        and (counts > 0).all()
        and np.isfinite([*confidence, *counts]).all()
    )
    if not valid:
        raise ValueError("the calibration needs rising confidences, accuracies from 0 to 1, and counts")
    return Calibration(confidence, accuracy, counts)
