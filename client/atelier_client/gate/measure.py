"""Measures a candidate, beside the stable version when there is one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from atelier_client.client import Client
from atelier_client.comparison.measures import pair_measures
from atelier_client.comparison.paired import PairMeasures
from atelier_client.comparison.pairs import Pairs
from atelier_client.data.table import Reader
from atelier_client.errors import DataError, InputError
from atelier_client.evaluation.findings import Measures
from atelier_client.evaluation.passes.ask import ask
from atelier_client.evaluation.passes.evaluate import evaluate
from atelier_client.evaluation.progress import Progress
from atelier_client.evaluation.settings import Settings
from atelier_client.evaluation.slices import Slice, SliceMasks
from atelier_client.gate.latency import DECIDING, OBSERVED, measure_latency
from atelier_client.gate.measured import Change, Measured, Measurement, Part, part_of
from atelier_client.gate.rules import Rules

_MEGABYTE = 1_000_000
_NO_EXAMPLES = (
    "there are no labelled examples; name a file of them in gate.yaml (examples: FILE), publish the version again with "
    "some (--examples of atelier-trainer import, EXAMPLES= of make up), or release it unmeasured (--force --reason "
    "TEXT)"
)


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

    What cannot be measured (there are no examples, the classes or the tasks differ, the output holds something else) is
    missing in the result, which says why. Raises `ClientError` when the server fails.
    """
    measured = Measured(
        candidate.settings.version,
        stable.settings.version if stable else None,
        size=_size(candidate, stable),
        task=candidate.settings.task,
    )
    if reader is None:
        return dataclasses.replace(measured, reason=_NO_EXAMPLES)
    settings = dataclasses.replace(candidate.settings, slices=rules.slices)
    measured = dataclasses.replace(measured, dataset={"name": reader.name})
    try:
        table = next(iter(reader.tables(64)), None)
        if table is None:
            raise InputError(f"{reader.name} holds no examples.")
        latency, requests = measure_latency(
            client,
            table,
            ask(client, reader, settings, progress.say),
            ask(client, reader, stable.settings, progress.say) if stable else None,
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
    masks = SliceMasks(candidate.slices)
    whole = (pairs.b.counts(), pair_measures(pairs.b))
    slices: dict[Slice, tuple[Measures, PairMeasures]] = {}
    for pair in pairs:
        labels, of_stable = pair.elements.labels, pair.elements.answers
        whole[0].add(pair.b, labels)
        whole[1].add(labels, of_stable, pair.b)
        # The rules name no column of answers, so it is all one whose answers are in these columns.
        for part, mask in masks.of(pairs.a.columns(pair.elements)) if candidate.slices else ():
            single, paired = slices.setdefault(part, (pairs.b.counts(), pair_measures(pairs.b)))
            if mask.any():
                single.add(pair.b[mask], labels[mask])
                paired.add(labels[mask], of_stable[mask], pair.b[mask])
    return part_of(None, *whole), {part: part_of(part.name, *counts) for part, counts in slices.items()}


def _alone(
    client: Client, reader: Reader, candidate: Settings, progress: Progress
) -> tuple[Part, dict[Slice, Part]]:
    result = evaluate(client, reader, candidate, progress)
    if result.stopped:
        raise result.stopped
    return part_of(None, result.findings.counts, None), {
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
