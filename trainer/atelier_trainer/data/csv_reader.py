"""The CSV files of one job: which columns they must have, and their rows as examples."""

from __future__ import annotations

import codecs
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from atelier_trainer.data import csv_file, csv_header, quantities
from atelier_trainer.data.column_check import ColumnCheck
from atelier_trainer.data.columns import Column, rows_of
from atelier_trainer.data.csv_cells import Dialect
from atelier_trainer.data.csv_file import Schema
from atelier_trainer.data.dataset import Examples, file_digest
from atelier_trainer.data.labels import class_ids, classes_of, hold_numbers
from atelier_trainer.data_section import DataSection
from atelier_trainer.errors import DataInvalid
from atelier_trainer.printable import printable
from atelier_trainer.task import Task


class CsvReader:
    """Reads a job's files. All of them must have the columns of the first one."""

    def __init__(self, section: DataSection, paths: Sequence[Path], task: Task = "classification") -> None:
        """Raises `DataInvalid` when the header of a file does not fit the job or the first file."""
        self._section = section
        self._task = task
        self._paths = list(paths)
        self._dialect = Dialect(
            section.separator,
            section.decimal,
            # utf-8-sig writes a mark, which would stand before each label that a stream looks up; utf-8 reads both.
            "utf-8" if codecs.lookup(section.encoding).name == "utf-8-sig" else section.encoding,
            tuple(cell.strip() for cell in section.missing),
        )
        self.columns = self._input_columns()
        for other in self._paths[1:]:
            self._check_header(other)
        kinds = {column.name: column.kind for column in self.columns}
        self.schema = Schema(
            section.label,
            tuple(name for name, kind in kinds.items() if kind == "number"),
            tuple(name for name, kind in kinds.items() if kind == "category"),
            section.text,
            self._dialect,
        )

    @property
    def is_table(self) -> bool:
        """True when the inputs are neither text nor images."""
        return not (self._section.text or self._section.image)

    def read(
        self, paths: Sequence[Path], names: Sequence[str] | None, check: ColumnCheck | None = None
    ) -> tuple[Examples, tuple[str, ...]]:
        """The examples of the files, and the class names: `names`, or those found where it is None; none of a
        regression.

        `check` is given the columns of numbers. Raises `DataInvalid` with row and column.
        """
        inputs = []
        cells = []
        for path in paths:
            self._check_header(path)
            rows = 1
            parts = []
            for chunk in csv_file.chunks(path, self.schema):
                if check:
                    check.add(chunk.numbers)
                parts.append((self._inputs(path, chunk, rows), chunk.labels))
                rows += len(chunk.labels)
            inputs.append(np.concatenate([part for part, _ in parts]))
            cells.append(np.concatenate([part for _, part in parts]))
        label = self._section.label
        if self._task == "regression":
            values = [
                quantities.of_cells(part, path, label, self._dialect)
                for part, path in zip(cells, paths, strict=True)
            ]
            return Examples(np.concatenate(inputs), np.concatenate(values), file_digest(*paths)), ()
        found = tuple(names or classes_of(np.concatenate(cells), paths[0], label))
        labels = [class_ids(part, found, path, label) for part, path in zip(cells, paths, strict=True)]
        for part, path in zip(cells, paths, strict=True):
            _say_numbers(part, found, path, label)
        return Examples(np.concatenate(inputs), np.concatenate(labels), file_digest(*paths)), found

    def _inputs(self, path: Path, chunk: csv_file.Chunk, first_row: int) -> np.ndarray:
        if self._section.text:
            return chunk.texts
        if self._section.image:
            pixels = csv_file.as_bytes(chunk.numbers, path, self.schema.numbers, first_row)
            return pixels.reshape(-1, *self._section.image)
        if self._section.by_column:
            return rows_of(self.columns, chunk.numbers, chunk.categories)
        return chunk.numbers.astype(np.float32)

    def _check_header(self, path: Path) -> None:
        header = csv_header.read(path, self._section.label, self._dialect)
        if self._section.text:
            csv_header.require(path, header, self._section.text, self._dialect)
            return
        left_out = [name for name, kind in self._section.columns.items() if kind == "ignore"]
        found = [name for name in header if name not in left_out]
        expected = [self._section.label, *(column.name for column in self.columns)]
        csv_header.same_columns(path, found, expected, self._paths[0])

    def _input_columns(self) -> list[Column]:
        """The input columns of the first file, in its order; none of text."""
        section = self._section
        path = self._paths[0]
        header = csv_header.read(path, section.label, self._dialect)
        if section.text:
            csv_header.require(path, header, section.text, self._dialect)
            return []
        for name in section.columns:
            csv_header.require(path, header, name, self._dialect)
        kinds = {name: section.columns.get(name, "number") for name in header if name != section.label}
        columns = [Column(name, kind) for name, kind in kinds.items() if kind != "ignore"]
        if not columns:
            raise DataInvalid(f"{path}: expected columns of numbers beside {section.label!r}, got none.")
        if section.by_column and "self" in kinds:
            raise DataInvalid(
                f"{path}: TensorFlow takes no input called 'self': give the column another name."
            )
        if section.by_column:
            _require_different_inputs(path, columns)
        if section.image and len(columns) != math.prod(section.image):
            raise DataInvalid(
                f"{path}: an image of {section.image} has {math.prod(section.image)} pixels, "
                f"the file has {len(columns)} columns beside {section.label!r}."
            )
        return columns


def _say_numbers(cells: np.ndarray, names: Sequence[str], path: Path, column: str) -> None:
    """Say on stderr when a file's labels were taken for the numbers of classes that have names."""
    if hold_numbers(cells, names):
        shown = ", ".join(f"{number} for {name}" for number, name in enumerate(names[:3]))
        said = f"data: {path.name}: the column {column} holds class numbers: {shown}"
        print(printable(said), file=sys.stderr, flush=True)


def _require_different_inputs(path: Path, columns: Sequence[Column]) -> None:
    """Raises `DataInvalid` for two columns that TensorFlow gives one name: it has letters, digits and _ only."""
    names: dict[str, str] = {}
    for column in columns:
        plain = "".join(character if character.isalnum() else "_" for character in column.name)
        other = names.setdefault(plain if plain[0].isalpha() else f"arg_{plain}", column.name)
        if other != column.name:
            raise DataInvalid(
                f"{path}: TensorFlow gives the columns {other!r} and {column.name!r} one name, {plain!r}: rename one."
            )
