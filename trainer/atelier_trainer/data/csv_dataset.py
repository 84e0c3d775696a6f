"""A user's CSV as a data set: a label column, and numbers, categories, pixels or one column of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from atelier_trainer.data import quantities
from atelier_trainer.data.column_check import ColumnCheck, leaks
from atelier_trainer.data.columns import Column, identifiers, seen_in_training, unknown_categories
from atelier_trainer.data.csv_reader import CsvReader
from atelier_trainer.data.csv_shards import CsvShards
from atelier_trainer.data.dataset import DataSet, Examples, findings
from atelier_trainer.data.held_out_file import write_test_file
from atelier_trainer.data.labels import doubtful_names, require_two
from atelier_trainer.data_section import DataSection
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Job

# The held-out rows do not depend on the job's seed: every run is measured on the same ones.
SPLIT_SEED = 0


def load(job: Job, data_folder: Path) -> DataSet:
    """Read, check and split what the job names; write the test examples for the client. Raises `DataInvalid`."""
    section = job.data
    paths = shards(section.csv or "", job.folder)
    if section.text and section.image:
        raise DataInvalid("data: text and image exclude each other.")
    reader = CsvReader(section, paths, job.task)
    test_path = job.folder / section.test if section.test else None
    train: Examples | CsvShards
    features: tuple[Column, ...] = ()
    if section.stream:
        assert test_path is not None
        train = CsvShards(paths, reader.schema, reader.columns, section.class_names, section.image)
        names = train.class_names
        features = train.features
        suspicious = train.warnings
        test = reader.read([test_path], names)[0]
    else:
        check = ColumnCheck(reader.schema.numbers) if reader.is_table else None
        train, names = reader.read(paths, section.class_names, check)
        said = []
        if job.task == "regression":
            said = quantities.check(train.labels, paths[0], section.label)
        else:
            require_two(np.bincount(train.labels, minlength=len(names)), names, paths[0])
        if test_path:
            test = reader.read([test_path], names)[0]
        else:
            train, test = _split(train, section.test_split, paths[0])
        suspicious = said + (check.findings(paths[0]) if check else [])
        if section.by_column:
            features = _with_training(reader.columns, train.inputs)
        elif reader.is_table and job.task == "regression":
            suspicious += quantities.leaks(reader.schema.numbers, train.inputs, train.labels)
        elif reader.is_table:
            suspicious += leaks(reader.schema.numbers, train.inputs, train.labels, len(names))
    validation = reader.read([job.folder / section.validation], names)[0] if section.validation else None
    kind = "text" if section.text else "image" if section.image else "table"
    data_set = DataSet(
        name=_stem(paths[0]),
        kind=kind,  # type: ignore[arg-type]
        class_names=tuple(names),
        shape=() if section.text else tuple(section.image or [len(reader.columns)]),
        train=train,
        test=test,
        test_file={},
        validation=validation,
        columns=tuple(column.name for column in reader.columns),
        warnings=(
            *identifiers(features, len(train)),
            *findings(train, test, tuple(names)),
            *(() if section.class_names else doubtful_names(names)),
            *suspicious,
            *unknown_categories(features, test.inputs),
        ),
        features=features,
        csv_format=_csv_format(section, features),
        task=job.task,
    )
    return replace(data_set, test_file=write_test_file(data_set, data_folder))


def shards(pattern: str, folder: Path) -> list[Path]:
    """The files of a path or glob that starts from `folder`, sorted. Raises `DataInvalid` when there are none."""
    path = folder / pattern
    if path.exists():
        return [path]
    found = sorted(path.parent.glob(path.name)) if any(wildcard in pattern for wildcard in "*?[") else []
    if not found:
        raise DataInvalid(f"{path} does not exist. Paths in a job start from the job file's folder.")
    return found


def _with_training(columns: Sequence[Column], rows: np.ndarray) -> tuple[Column, ...]:
    """The columns, completed by what the training rows hold."""
    gaps = [bool(np.isnan(rows[column.name]).any()) for column in columns if column.kind == "number"]
    values = [rows[column.name] for column in columns if column.kind == "category"]
    return seen_in_training(columns, gaps, values)


def _split(examples: Examples, share: float, path: Path) -> tuple[Examples, Examples]:
    aside = round(len(examples) * share)
    if not 0 < aside < len(examples):
        raise DataInvalid(f"{path}: {len(examples)} rows are too few to set {share:.0%} aside for the test.")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(examples))
    return examples.take(np.sort(order[aside:])), examples.take(np.sort(order[:aside]))


def _csv_format(section: DataSection, features: Sequence[Column]) -> dict[str, Any]:
    """What the model card says of the user's CSV files (docs/contracts.md, section 2)."""
    entries: dict[str, Any] = {"label": section.label}
    if section.text:
        entries["text"] = section.text
    entries |= {"separator": section.separator, "decimal": section.decimal, "encoding": section.encoding}
    if features:
        entries |= {
            "missing": [cell.strip() for cell in section.missing],
            "kinds": {column.name: column.kind for column in features},
        }
    return entries


def _stem(path: Path) -> str:
    return re.sub(r"(?i)\.gz$", "", path.name).rsplit(".", 1)[0] or path.name
