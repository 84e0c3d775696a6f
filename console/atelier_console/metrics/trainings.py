"""What the trainer wrote into the cards of a model's newest versions: when, how long it took, and how good they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from atelier_client._model_card import ModelCard, read_card
from atelier_client.errors import DataError

from atelier_console.metrics.exposition import Gauge

# Of each model so many of the newest versions. An estimate is compared with the card of the version that answers.
_NEWEST = 20


def trainings(models: Path, names: Iterable[str], damaged: Callable[[str], None]) -> list[Gauge]:
    """The gauges. `damaged` is told of cards that are none. Raises `OSError`."""
    when = Gauge("atelier_training_timestamp_seconds", "When the version was made, in seconds since 1970.")
    took = Gauge("atelier_training_seconds", "How long each stage of its training took.")
    tested = Gauge("atelier_test_metric", "The trainer's metrics on the test examples.")
    for name in names:
        for version, card in _cards(models / name, damaged):
            labels = {"model_name": name, "model_version": str(version)}
            made = card.document.get("created_at")
            if isinstance(made, str):
                when.add(datetime.fromisoformat(made).timestamp(), **labels)
            for stage, seconds in _numbers(card.document.get("seconds")).items():
                took.add(seconds, **labels, stage=stage)
            for metric, value in _numbers(card.metrics).items():
                tested.add(value, **labels, metric=metric)
    return [when, took, tested]


def _cards(folder: Path, damaged: Callable[[str], None]) -> Iterator[tuple[int, ModelCard]]:
    if not folder.is_dir():
        return
    numbers = sorted((int(path.name) for path in folder.iterdir() if path.name.isdecimal()), reverse=True)
    for number in numbers[:_NEWEST]:
        version = folder / str(number)
        try:
            card = _card(version, _changed(version))
        except DataError as error:
            damaged(str(error))
            continue
        if card is not None:
            yield number, card


@lru_cache(maxsize=1000)
def _card(folder: Path, changed: int) -> ModelCard | None:
    """The card; `changed` is when its folder was: a version is published whole, and never changes after that."""
    return read_card(folder)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        # It was deleted since the folder was listed.
        return 0


def _numbers(values: Any) -> dict[str, float]:
    """The numbers among the values of a card, which may be anything."""
    if not isinstance(values, Mapping):
        return {}
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }
