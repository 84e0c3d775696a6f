"""A user's CSV as a data set: a label column, and numbers, pixels or one column of text."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from atelier_trainer.data import csv_file
from atelier_trainer.data.csv_shards import CsvShards
from atelier_trainer.data.dataset import DataSet, Examples, findings
from atelier_trainer.data.held_out_file import write_test_file
from atelier_trainer.data.labels import class_ids, classes_of
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Data

# The held-out rows do not depend on the job's seed: every run is measured on the same ones.
SPLIT_SEED = 0


def load(settings: Data, base: Path, cache: Path) -> DataSet:
    """Read, check and split what the job names; write the test examples for the client. Raises `DataInvalid`."""
    paths = shards(settings.csv or "", base)
    if settings.text and settings.image:
        raise DataInvalid("data: text and image exclude each other.")
    columns = _columns(settings, paths)
    test_path = base / settings.test if settings.test else None
    train: Examples | CsvShards
    if settings.stream:
        assert test_path is not None
        train = CsvShards(paths, settings.label, columns, settings.class_names)
        names = train.class_names
        test = _read([test_path], settings, columns, names)[0]
    else:
        train, names = _read(paths, settings, columns, settings.class_names)
        if test_path:
            test = _read([test_path], settings, columns, names)[0]
        else:
            train, test = _split(train, settings.test_split, paths[0])
    validation = (
        _read([base / settings.validation], settings, columns, names)[0] if settings.validation else None
    )
    kind = "text" if settings.text else "image" if settings.image else "table"
    data = DataSet(
        name=paths[0].stem,
        kind=kind,  # type: ignore[arg-type]
        class_names=tuple(settings.class_names or names),
        shape=() if settings.text else tuple(settings.image or [len(columns)]),
        train=train,
        test=test,
        test_file={},
        validation=validation,
        columns=() if kind != "table" else tuple(columns),
        warnings=findings(train, test, names),
    )
    return replace(data, test_file=write_test_file(data, cache))


def shards(pattern: str, base: Path) -> list[Path]:
    """The files of a path or glob, sorted. Raises `DataInvalid` when there are none."""
    path = base / pattern
    if path.exists():
        return [path]
    found = sorted(path.parent.glob(path.name)) if any(sign in pattern for sign in "*?[") else []
    if not found:
        raise DataInvalid(f"{path} does not exist. Paths in a job start from the job file's folder.")
    return found


def digest(paths: list[Path]) -> str:
    """SHA-256 over the files, one after the other."""
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as handle:
            while block := handle.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def _columns(settings: Data, paths: list[Path]) -> list[str]:
    """The number columns in their order; every file must have the same."""
    header = csv_file.read_header(paths[0], settings.label)
    if settings.text:
        csv_file.require(paths[0], header, settings.text)
        return []
    for path in paths[1:]:
        csv_file.same_columns(path, csv_file.read_header(path, settings.label), header, paths[0])
    columns = [name for name in header if name != settings.label]
    if not columns:
        raise DataInvalid(f"{paths[0]}: expected columns of numbers beside {settings.label!r}, got none.")
    if settings.image and len(columns) != math.prod(settings.image):
        raise DataInvalid(
            f"{paths[0]}: an image of {settings.image} has {math.prod(settings.image)} pixels, "
            f"the file has {len(columns)} columns beside {settings.label!r}."
        )
    return columns


def _read(
    paths: list[Path], settings: Data, columns: list[str], names: list[str] | tuple[str, ...] | None
) -> tuple[Examples, tuple[str, ...]]:
    """The examples of the files, and the class names: those given, else those found."""
    inputs, cells = [], []
    for path in paths:
        if settings.text:
            texts, part = csv_file.read_text(path, settings.label, settings.text)
            inputs.append(texts)
            cells.append(part)
            continue
        header = csv_file.read_header(path, settings.label)
        csv_file.same_columns(path, header, [settings.label, *columns], paths[0])
        chunks = list(csv_file.number_chunks(path, settings.label, columns))
        numbers = np.concatenate([chunk for chunk, _ in chunks])
        if settings.image:
            numbers = csv_file.as_bytes(numbers, path, columns).reshape(-1, *settings.image)
        inputs.append(numbers)
        cells.append(np.concatenate([part for _, part in chunks]))
    found = tuple(names or classes_of(np.concatenate(cells), paths[0]))
    labels = [class_ids(part, found, path, settings.label) for part, path in zip(cells, paths, strict=True)]
    return Examples(np.concatenate(inputs), np.concatenate(labels), digest(paths)), found


def _split(examples: Examples, share: float, path: Path) -> tuple[Examples, Examples]:
    aside = round(len(examples) * share)
    if not 0 < aside < len(examples):
        raise DataInvalid(f"{path}: {len(examples)} rows are too few to set {share:.0%} aside for the test.")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(examples))
    return examples.take(np.sort(order[aside:])), examples.take(np.sort(order[:aside]))
