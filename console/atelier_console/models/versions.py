"""All versions of a model: those on disk and those that the server has seen, with labels and cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from atelier_client import Signature, State, VersionStatus
from atelier_client._model_card import ModelCard
from atelier_client.errors import ClientError, InputError
from atelier_client.release.repository import Repository

from atelier_console.models import history, metrics
from atelier_console.models.served_model import ServedModel
from atelier_console.settings import Settings


@dataclass(frozen=True)
class VersionRow:
    """What is known of a version. `state` is None when the server has not seen it, or is away."""

    number: int
    labels: tuple[str, ...]
    state: str | None
    error: str
    published: bool
    card: ModelCard | None
    damaged: str | None
    of_card: metrics.Measured | None
    of_evaluation: metrics.Measured | None
    plots: tuple[history.Plot, ...]
    signatures: Mapping[str, Signature]


@dataclass(frozen=True)
class Overview:
    """A model's versions, the newest first; `problem` says why the server could not be asked."""

    rows: tuple[VersionRow, ...]
    problem: str | None

    def row(self, number: int) -> VersionRow | None:
        """The row of a version."""
        return next((row for row in self.rows if row.number == number), None)


def overview(settings: Settings, model: ServedModel) -> Overview:
    """Everything about the versions. A server that is away leaves out what only it knows. Raises `DataError`."""
    statuses, problem = _statuses(model)
    published, labels = _on_disk(settings.models, model.name)
    numbers = sorted({*published, *statuses}, reverse=True)
    rows = [
        _row(settings, model, number, statuses.get(number), number in published, labels.get(number, ()))
        for number in numbers
    ]
    return Overview(tuple(rows), problem)


def _statuses(model: ServedModel) -> tuple[dict[int, VersionStatus], str | None]:
    try:
        return {entry.version: entry for entry in model.client.status()}, None
    except ClientError as error:
        return {}, str(error)


def _on_disk(models: Path, name: str) -> tuple[set[int], dict[int, tuple[str, ...]]]:
    """The published versions, and the labels by version."""
    repository = Repository(models, name)
    labels: dict[int, tuple[str, ...]] = {}
    for label, version in sorted(repository.served().labels.items()):
        labels[version] = (*labels.get(version, ()), label)
    try:
        return set(repository.versions()), labels
    except InputError:
        return set(), labels


def _row(
    settings: Settings,
    model: ServedModel,
    number: int,
    status: VersionStatus | None,
    published: bool,
    labels: tuple[str, ...],
) -> VersionRow:
    card, damaged, signatures = None, None, {}
    try:
        card = model.card(number)
        if status and status.state == State.AVAILABLE:
            signatures = dict(model.signatures(number))
    except ClientError as error:
        damaged = str(error)
    return VersionRow(
        number,
        labels,
        status.state.name if status else None,
        status.error if status else "",
        published,
        card,
        damaged,
        metrics.of_card(card) if card else None,
        metrics.of_evaluation(settings.reports, model.name, number),
        tuple(history.plots(settings.runs, card)) if card else (),
        signatures,
    )
