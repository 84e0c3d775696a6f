"""What a tracker is told of a run: plain data, read from the run's folder and from the version that it published."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from atelier_trainer.files import read_text
from atelier_trainer.printable import say
from atelier_trainer.publishing.version_folder import CARD
from atelier_trainer.training.run import Run

# Files of a run's folder that people look at; event files and checkpoints stay where they are.
_SHOWN = ("history.png", "history.csv", "history.json", "run.json")


@dataclass(frozen=True)
class Epoch:
    """The metrics of one epoch; `step` counts from 1, `time` is when it ended, in milliseconds since 1970."""

    step: int
    time: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Split:
    """A split of the data: its name in the data set, what it is for, and the digest of docs/contracts.md."""

    name: str
    context: str
    examples: int
    sha256: str


@dataclass(frozen=True)
class Version:
    """A published version. `tags` identify it and have its digests."""

    model: str
    number: int
    folder: Path
    tags: dict[str, str]


@dataclass(frozen=True)
class Record:
    """One run. `started` and `ended` are in milliseconds since 1970."""

    id: str
    name: str
    model: str
    started: int
    ended: int
    parameters: dict[str, str]
    tags: dict[str, str]
    epochs: list[Epoch]
    results: dict[str, float]
    data_name: str
    splits: list[Split]
    files: list[Path]
    version: Version | None


def read_record(run: Run, models: Path) -> Record:
    """The record of a finished run, its version looked for under `models`. Raises `RunError` and `OSError`."""
    job = run.job
    run.results()
    rows = run.history()
    history = run.folder / "history.json"
    ended = int(1000 * (history if rows else run.folder / "run.json").stat().st_mtime)
    epochs: list[Epoch] = []
    moment = ended - sum(_milliseconds(row) for row in rows)
    started = moment
    for row in rows:
        moment += _milliseconds(row)
        epochs.append(Epoch(int(row["epoch"]), moment, {name: row[name] for name in row if name != "epoch"}))
    card, version = _version_of(run, job.model, models)
    document = run.document
    test = document.get("metrics", {}).get("test", {})
    results = {f"test_{name}": float(value) for name, value in test.items() if isinstance(value, int | float)}
    if document.get("best_epoch"):
        results["best_epoch"] = float(document["best_epoch"])
    tags = {
        "atelier.run_id": str(run.id),
        "atelier.run": run.name,
        "atelier.job_digest": document.get("job_digest"),
        "atelier.source_digest": document.get("source_digest"),
        "atelier.git_revision": card.get("git_revision"),
        "atelier.parameters": document.get("parameters"),
    }
    return Record(
        id=str(run.id),
        name=run.name,
        model=job.model,
        started=started,
        ended=ended,
        parameters=dict(_flat(job)),
        tags={name: str(value) for name, value in tags.items() if value is not None},
        epochs=epochs,
        results={name: value for name, value in results.items() if math.isfinite(value)},
        data_name=str(document.get("spec", {}).get("name") or card.get("data", {}).get("name") or job.model),
        splits=_splits(card, document),
        files=[run.folder / name for name in _SHOWN if (run.folder / name).is_file()],
        version=version,
    )


def _milliseconds(row: dict[str, Any]) -> int:
    return int(1000 * row.get("seconds", 0))


def _flat(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The job's keys as people write them after --set, and their values as JSON; what is not set is left out.

    A mapping with names of the user's (classes, columns) is one value: trackers take few signs in a name.
    """
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            yield prefix + name, value
        elif value is not None:
            yield prefix + name, json.dumps(value, default=str)


def _version_of(run: Run, model: str, models: Path) -> tuple[dict[str, Any], Version | None]:
    """The model card and the version that the run published; empty and None when it published none that is there."""
    number = run.document.get("version")
    if run.state != "published" or not isinstance(number, int):
        return {}, None
    folder = (models / model / str(number)).resolve()
    try:
        text = read_text(folder / CARD)
        card = json.loads(text)
        theirs = card["run_id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        say(
            f"{folder} cannot be registered: its model card is not readable ({type(error).__name__}: {error})."
        )
        return {}, None
    if theirs != run.id:
        say(f"{folder} cannot be registered: another run has published it, so --models is another folder's.")
        return {}, None
    tags = {
        "atelier.version": number,
        "atelier.saved_model": folder,
        "atelier.run_id": run.id,
        # The card has the digests of all files of the version; this one is also in rollouts.jsonl.
        "atelier.card_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "atelier.job_digest": card.get("job_digest"),
        "atelier.source_digest": card.get("source_digest"),
        "atelier.saved_model_sha256": card.get("files", {}).get("saved_model.pb", {}).get("sha256"),
    }
    texts = {name: str(value) for name, value in tags.items() if value is not None}
    return card, Version(model, number, folder, texts)


def _splits(card: dict[str, Any], document: dict[str, Any]) -> list[Split]:
    """Training and test data by digest. A run that published nothing knows one digest of all its sources."""
    found = []
    for name, context in (("train", "training"), ("test", "evaluation")):
        split = card.get("data", {}).get(name, {})
        if split.get("sha256"):
            found.append(Split(name, context, int(split.get("examples", 0)), str(split["sha256"])))
    if not found and document.get("source_digest"):
        return [Split("sources", "training", 0, str(document["source_digest"]))]
    return found
