"""A user's CSV as a data set: a label column, and numbers, categories, pixels or one column of text."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from atelier_trainer.data import csv_file
from atelier_trainer.data.column_check import ColumnCheck, leaks
from atelier_trainer.data.columns import Column, identifiers, rows_of, seen_in_training, unknown_categories
from atelier_trainer.data.csv_cells import Dialect
from atelier_trainer.data.csv_file import Schema
from atelier_trainer.data.csv_shards import CsvShards
from atelier_trainer.data.dataset import DataSet, Examples, file_digest, findings
from atelier_trainer.data.held_out_file import write_test_file
from atelier_trainer.data.labels import class_ids, classes_of, hold_numbers, require_two
from atelier_trainer.errors import DataInvalid
from atelier_trainer.job import Data
from atelier_trainer.printable import printable

# The held-out rows do not depend on the job's seed: every run is measured on the same ones.
SPLIT_SEED = 0


def load(settings: Data, base: Path, cache: Path) -> DataSet:
    """Read, check and split what the job names; write the test examples for the client. Raises `DataInvalid`."""
    paths = shards(settings.csv or "", base)
    if settings.text and settings.image:
        raise DataInvalid("data: text and image exclude each other.")
    reader = _Reader(settings, paths)
    test_path = base / settings.test if settings.test else None
    train: Examples | CsvShards
    features: tuple[Column, ...] = ()
    if settings.stream:
        assert test_path is not None
        train = CsvShards(paths, reader.schema, reader.columns, settings.class_names, settings.image)
        names, features = train.class_names, train.features
        suspicious = train.warnings
        test = reader.read([test_path], names)[0]
    else:
        check = ColumnCheck(reader.schema.numbers) if reader.is_table else None
        train, names = reader.read(paths, settings.class_names, check)
        require_two(np.bincount(train.labels, minlength=len(names)), names, paths[0])
        if test_path:
            test = reader.read([test_path], names)[0]
        else:
            train, test = _split(train, settings.test_split, paths[0])
        suspicious = check.findings(paths[0]) if check else []
        if settings.by_column:
            features = _with_training(reader.columns, train.inputs)
        elif reader.is_table:
            suspicious += leaks(reader.schema.numbers, train.inputs, train.labels, len(names))
    validation = reader.read([base / settings.validation], names)[0] if settings.validation else None
    kind = "text" if settings.text else "image" if settings.image else "table"
    data = DataSet(
        name=_stem(paths[0]),
        kind=kind,  # type: ignore[arg-type]
        class_names=tuple(names),
        shape=() if settings.text else tuple(settings.image or [len(reader.columns)]),
        train=train,
        test=test,
        test_file={},
        validation=validation,
        columns=tuple(column.name for column in reader.columns) if kind == "table" else (),
        warnings=(
            *identifiers(features, len(train)),
            *findings(train, test, tuple(names)),
            *suspicious,
            *unknown_categories(features, test.inputs),
        ),
        features=features,
        source=_source(settings, features),
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


@dataclass
class _Reader:
    """Reads a job's files, all with the columns of the first."""

    settings: Data
    paths: list[Path]

    def __post_init__(self) -> None:
        settings = self.settings
        self.dialect = Dialect(
            settings.separator,
            settings.decimal,
            settings.encoding,
            tuple(cell.strip() for cell in settings.missing),
        )
        self.columns = self._columns()
        kinds = {column.name: column.kind for column in self.columns}
        self.schema = Schema(
            settings.label,
            tuple(name for name, kind in kinds.items() if kind == "number"),
            tuple(name for name, kind in kinds.items() if kind == "category"),
            settings.text,
            self.dialect,
        )

    @property
    def is_table(self) -> bool:
        """True when the inputs are neither text nor images."""
        return not (self.settings.text or self.settings.image)

    def read(
        self, paths: Sequence[Path], names: Sequence[str] | None, check: ColumnCheck | None = None
    ) -> tuple[Examples, tuple[str, ...]]:
        """The examples of the files, and the class names: those given, else those found. `check` gets the numbers."""
        inputs, cells = [], []
        for path in paths:
            self._check_header(path)
            rows, parts = 1, []
            for chunk in csv_file.chunks(path, self.schema):
                if check:
                    check.add(chunk.numbers)
                parts.append((self._inputs(path, chunk, rows), chunk.labels))
                rows += len(chunk.labels)
            inputs.append(np.concatenate([part for part, _ in parts]))
            cells.append(np.concatenate([part for _, part in parts]))
        label = self.settings.label
        found = tuple(names or classes_of(np.concatenate(cells), paths[0], label))
        labels = [class_ids(part, found, path, label) for part, path in zip(cells, paths, strict=True)]
        for part, path in zip(cells, paths, strict=True):
            say_numbers(part, found, path, label)
        return Examples(np.concatenate(inputs), np.concatenate(labels), file_digest(*paths)), found

    def _inputs(self, path: Path, chunk: csv_file.Chunk, first_row: int) -> np.ndarray:
        if self.settings.text:
            return chunk.texts
        if self.settings.image:
            pixels = csv_file.as_bytes(chunk.numbers, path, self.schema.numbers, first_row)
            return pixels.reshape(-1, *self.settings.image)
        if self.settings.by_column:
            return rows_of(self.columns, chunk.numbers, chunk.categories)
        return chunk.numbers.astype(np.float32)

    def _check_header(self, path: Path) -> None:
        header = csv_file.read_header(path, self.settings.label, self.dialect)
        if self.settings.text:
            csv_file.require(path, header, self.settings.text, self.dialect)
            return
        left_out = [name for name, kind in self.settings.columns.items() if kind == "ignore"]
        found = [name for name in header if name not in left_out]
        expected = [self.settings.label, *(column.name for column in self.columns)]
        csv_file.same_columns(path, found, expected, self.paths[0])

    def _columns(self) -> list[Column]:
        """The input columns in their order; every file must have the same."""
        settings, path = self.settings, self.paths[0]
        header = csv_file.read_header(path, settings.label, self.dialect)
        if settings.text:
            csv_file.require(path, header, settings.text, self.dialect)
            return []
        for name in settings.columns:
            csv_file.require(path, header, name, self.dialect)
        kinds = {name: settings.columns.get(name, "number") for name in header if name != settings.label}
        columns = [Column(name, kind) for name, kind in kinds.items() if kind != "ignore"]
        self.columns = columns
        if not columns:
            raise DataInvalid(f"{path}: expected columns of numbers beside {settings.label!r}, got none.")
        if settings.by_column and "self" in kinds:
            raise DataInvalid(
                f"{path}: TensorFlow takes no input called 'self': give the column another name."
            )
        for other in self.paths[1:]:
            self._check_header(other)
        if settings.image and len(columns) != math.prod(settings.image):
            raise DataInvalid(
                f"{path}: an image of {settings.image} has {math.prod(settings.image)} pixels, "
                f"the file has {len(columns)} columns beside {settings.label!r}."
            )
        return columns


def say_numbers(cells: np.ndarray, names: Sequence[str], path: Path, column: str) -> None:
    """Say on stderr when a file's labels were taken for the numbers of classes that have names."""
    if hold_numbers(cells, names):
        shown = ", ".join(f"{number} for {name}" for number, name in enumerate(names[:3]))
        said = f"data: {path.name}: the column {column} holds class numbers: {shown}"
        print(printable(said), file=sys.stderr, flush=True)


def _with_training(columns: Sequence[Column], rows: np.ndarray) -> tuple[Column, ...]:
    """The columns with what the training rows hold."""
    gaps = [bool(np.isnan(rows[column.name]).any()) for column in columns if column.kind == "number"]
    values = [rows[column.name] for column in columns if column.kind == "category"]
    return seen_in_training(columns, gaps, values)


def _split(examples: Examples, share: float, path: Path) -> tuple[Examples, Examples]:
    aside = round(len(examples) * share)
    if not 0 < aside < len(examples):
        raise DataInvalid(f"{path}: {len(examples)} rows are too few to set {share:.0%} aside for the test.")
    order = np.random.default_rng(SPLIT_SEED).permutation(len(examples))
    return examples.take(np.sort(order[aside:])), examples.take(np.sort(order[:aside]))


def _source(settings: Data, features: Sequence[Column]) -> dict[str, Any]:
    """What the model card says of the file (docs/contracts.md, section 2)."""
    said: dict[str, Any] = {"label": settings.label}
    if settings.text:
        said["text"] = settings.text
    said |= {"separator": settings.separator, "decimal": settings.decimal, "encoding": settings.encoding}
    if features:
        said |= {
            "missing": [cell.strip() for cell in settings.missing],
            "kinds": {column.name: column.kind for column in features},
        }
    return said


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name
