"""Measures a candidate, beside the stable version when there is one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from atelier_client.client import Client
from atelier_client.comparison.counts import PairCounts
from atelier_client.comparison.pairs import Pairs
from atelier_client.data.table import Reader
from atelier_client.errors import DataError, InputError
from atelier_client.evaluation.classification import Classification, Settings
from atelier_client.evaluation.evaluate import evaluate
from atelier_client.evaluation.metrics import MetricCounts
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.slices import Slice, SliceMasks
from atelier_client.gate.latency import DECIDING, OBSERVED, measure_latency
from atelier_client.gate.measured import Change, Measured, Measurement, Part, part_of
from atelier_client.gate.rules import Rules

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Side:
    """One of the two versions: how it is asked, and its folder when that is on this machine."""

    settings: Settings
    folder: Path | None


def measure(
    client: Client,
    reader: Reader | None,
    candidate: Side,
    stable: Side | None,
    rules: Rules,
    progress: Progress,
) -> Measured:
    """Send the examples of `reader` to both versions and measure what `rules` ask for.

    What cannot be measured (there are no examples, the classes differ, the model is no classifier) is missing in the
    result, which says why. Raises `ClientError` when the server fails.
    """
    measured = Measured(
        candidate.settings.version, stable.settings.version if stable else None, size=_size(candidate, stable)
    )
    if reader is None:
        return dataclasses.replace(measured, reason="there are no labelled examples")
    settings = dataclasses.replace(candidate.settings, slices=rules.slices)
    measured = dataclasses.replace(measured, dataset={"name": reader.name})
    try:
        table = next(iter(reader.tables(64)), None)
        if table is None:
            raise InputError(f"{reader.name} holds no examples.")
        latency, requests = measure_latency(
            client,
            table,
            Classification(client, reader, settings, progress.say),
            Classification(client, reader, stable.settings, progress.say) if stable else None,
            OBSERVED if rules.latency.observe else DECIDING,
        )
        measured = dataclasses.replace(measured, latency=latency, requests=requests)
        if stable:
            whole, slices = _compared(client, reader, settings, stable.settings, progress)
        else:
            whole, slices = _alone(client, reader, settings, progress)
        dataset = {"name": reader.name, "sha256": reader.sha256()}
    except (InputError, DataError) as error:
        return dataclasses.replace(measured, reason=str(error).rstrip("."))
    return dataclasses.replace(measured, whole=whole, slices=_by_text(rules.slices, slices), dataset=dataset)


def _compared(
    client: Client, reader: Reader, candidate: Settings, stable: Settings, progress: Progress
) -> tuple[Part, dict[Slice, Part]]:
    pairs = Pairs(client, reader, stable, candidate, progress)
    names = pairs.class_names
    masks = SliceMasks(candidate.slices)
    whole = (MetricCounts(len(names)), PairCounts(len(names)))
    slices: dict[Slice, tuple[MetricCounts, PairCounts]] = {}
    for pair in pairs:
        whole[0].add(pair.b, pair.labels)
        whole[1].add(pair.labels, pair.a, pair.b)
        # The rules name no column of answers, so it is all one whose probabilities are given here.
        for part, mask in masks.of(pair.table, pair.labels, pair.b, pair.first, names):
            single, paired = slices.setdefault(part, (MetricCounts(len(names)), PairCounts(len(names))))
            if mask.any():
                single.add(pair.b[mask], pair.labels[mask])
                paired.add(pair.labels[mask], pair.a[mask], pair.b[mask])
    return part_of(None, *whole), {part: part_of(part.name, *counts) for part, counts in slices.items()}


def _alone(
    client: Client, reader: Reader, candidate: Settings, progress: Progress
) -> tuple[Part, dict[Slice, Part]]:
    result = evaluate(client, reader, candidate, progress)
    if result.stopped:
        raise result.stopped
    return part_of(None, result.counts, None), {
        part: part_of(part.name, counts, None) for part, counts in result.slices.counts.items()
    }


def _by_text(texts: tuple[str, ...], slices: Mapping[Slice, Part]) -> dict[str, tuple[Part, ...]]:
    return {text: tuple(part for key, part in slices.items() if key.text == text) for text in texts}


def _size(candidate: Side, stable: Side | None) -> Measurement | None:
    size = _megabytes(candidate.folder)
    if size is None:
        return None
    base = _megabytes(stable.folder) if stable else None
    if base is None:
        return Measurement(size, (size, size))
    change = size - base
    return Measurement(size, (size, size), Change.of(base, change, (change, change)))


def _megabytes(folder: Path | None) -> float | None:
    """The bytes of all files of a folder, in megabytes; None when there is no such folder to read."""
    if folder is None or not folder.is_dir():
        return None
    try:
        files = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
        return sum(file.lstat().st_size for file in files) / _MEGABYTE
    except OSError:
        return None
