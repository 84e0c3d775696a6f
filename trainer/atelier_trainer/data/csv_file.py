"""CSV files with a header: read fast by pandas, and when that fails, read again to name the row and the column.

The dialect is that of docs/contracts.md, section 2; a job may name another separator, decimal sign and encoding, and
the cells that stand for a missing value.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from atelier_trainer.data import csv_cells, csv_header
from atelier_trainer.data.csv_cells import PLAIN, Dialect
from atelier_trainer.errors import DataInvalid

# pandas parses at most this much at once, which bounds the memory that a large file takes.
CHUNK_ROWS = 50_000
CHUNK_CELLS = 8_000_000
_BLOCK = 1 << 20
_CUT_SHORT = (
    "When its writer was stopped within this last row, take the row away; a file of feedback is mended too when the "
    "console saves the next example."
)


@dataclass(frozen=True)
class Schema:
    """The columns that are read: the label, and columns of numbers, categories, or one of text."""

    label: str
    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    text: str | None = None
    dialect: Dialect = PLAIN


@dataclass(frozen=True)
class Chunk:
    """Rows of a file: numbers float64 [n,numbers] (NaN is missing), categories str objects [n,categories] (`""` is
    missing), texts UTF-8 bytes objects [n], labels str objects [n]. `plain`: all numbers are written with digits."""

    numbers: np.ndarray
    categories: np.ndarray
    texts: np.ndarray
    labels: np.ndarray
    plain: bool


def chunks(path: Path, schema: Schema) -> Iterator[Chunk]:
    """The rows of a file in their order, some thousands at a time. Raises `DataInvalid` with row and column."""
    _require_rows(path, schema)
    done = 0
    # pandas parses plain numbers fast. True and False, missing values and wrong cells are read cell by cell below.
    if not schema.dialect.missing:
        try:
            for frame in _frames(path, schema, np.float64):
                numbers = frame[list(schema.numbers)].to_numpy(np.float64)
                if not (np.abs(numbers) <= csv_cells.LARGEST).all():
                    break
                yield _chunk(path, schema, frame, numbers, plain=True)
                done += len(frame)
            else:
                if not done:
                    raise DataInvalid(f"{path} has a header and no rows.")
                return
        except csv_header.UNREADABLE:
            pass
    first_row = 1
    try:
        for frame in _frames(path, schema, object):
            if first_row > done:
                yield _chunk(path, schema, frame, _numbers(path, schema, frame), plain=False)
            first_row += len(frame)
    except csv_header.UNREADABLE as error:
        _blame(path, schema, str(error))
    if first_row == 1:
        raise DataInvalid(f"{path} has a header and no rows.")


def read_text(path: Path, label: str, text: str, dialect: Dialect = PLAIN) -> tuple[np.ndarray, np.ndarray]:
    """Texts (UTF-8 bytes objects [N]) and label cells (str objects [N]). Raises `DataInvalid`."""
    csv_header.require(path, csv_header.read(path, label, dialect), text)
    parts = list(chunks(path, Schema(label, text=text, dialect=dialect)))
    return np.concatenate([part.texts for part in parts]), np.concatenate([part.labels for part in parts])


def as_bytes(numbers: np.ndarray, path: Path, columns: Sequence[str], first_row: int = 1) -> np.ndarray:
    """Integers from 0 to 255 as uint8 of the same shape [N,columns]. Raises `DataInvalid` with row and column."""
    right = (numbers >= 0) & (numbers <= 255) & (numbers == np.floor(numbers))
    if not right.all():
        row, column = (int(item) for item in np.argwhere(~right)[0])
        scaled = " Pixels from 0 to 1 times 255, rounded, are such integers." * bool(
            numbers.min() >= 0 and numbers.max() <= 1
        )
        raise DataInvalid(
            f"{path}, row {first_row + row}, column {columns[column]}: expected an integer from 0 to 255, "
            f"got {numbers[row, column]:g}.{scaled}"
        )
    return numbers.astype(np.uint8)


def _frames(path: Path, schema: Schema, numbers: type) -> Iterator[pd.DataFrame]:
    dialect = schema.dialect
    texts = [schema.label, *schema.categories, *([schema.text] if schema.text else [])]
    types: dict[str, type] = {**dict.fromkeys(texts, object), **dict.fromkeys(schema.numbers, numbers)}
    with (
        warnings.catch_warnings(),
        # Only the cells that the job names are missing values: a review that says "null" is a text.
        pd.read_csv(
            path,
            dtype=types,
            chunksize=max(1000, min(CHUNK_ROWS, CHUNK_CELLS // (len(types) or 1))),
            index_col=False,
            keep_default_na=False,
            sep=dialect.separator,
            decimal=dialect.decimal,
            encoding=dialect.codec,
            compression="gzip" if path.suffix.lower() == ".gz" else None,
        ) as reader,
    ):
        warnings.simplefilter("error")
        yield from reader


def _chunk(path: Path, schema: Schema, frame: pd.DataFrame, numbers: np.ndarray, *, plain: bool) -> Chunk:
    labels = frame[schema.label].to_numpy(dtype=object)
    if not all(isinstance(cell, str) and cell.strip() for cell in labels):
        _blame(path, schema)
    labels = np.array([cell.strip() for cell in labels], dtype=object)
    if schema.dialect.missing and any(csv_cells.is_missing(cell, schema.dialect) for cell in set(labels)):
        _blame(path, schema)
    categories = np.empty((len(frame), len(schema.categories)), object)
    for index, name in enumerate(schema.categories):
        cells = frame[name].to_numpy(dtype=object)
        codes, distinct = pd.factorize(cells, use_na_sentinel=False)
        found = [csv_cells.category(cell, schema.dialect) for cell in distinct]
        if None in found:
            _blame(path, schema)
        categories[:, index] = np.array(found, object)[codes]
    texts = np.empty(len(frame), object)
    if schema.text:
        texts[:] = [cell.encode() if isinstance(cell, str) else b"" for cell in frame[schema.text]]
    return Chunk(numbers, categories, texts, labels, plain)


def _numbers(path: Path, schema: Schema, frame: pd.DataFrame) -> np.ndarray:
    numbers = np.empty((len(frame), len(schema.numbers)), np.float64)
    for index, name in enumerate(schema.numbers):
        codes, distinct = pd.factorize(frame[name].to_numpy(dtype=object), use_na_sentinel=False)
        found = [csv_cells.number(cell, schema.dialect) for cell in distinct]
        if None in found:
            _blame(path, schema)
        numbers[:, index] = np.array(found, np.float64)[codes]
    return numbers


def _blame(path: Path, schema: Schema, fallback: str = "not readable as CSV") -> NoReturn:
    raise DataInvalid(_fault(path, schema) or f"{path}: {fallback}.")


def _fault(path: Path, schema: Schema) -> str | None:
    """The message about the first wrong cell or row, None when all are right. It reads cell by cell, which is slow.

    Row 1 is the first after the header.
    """
    number = 0
    try:
        with csv_header.open_csv(path, schema.dialect) as handle:
            rows = csv_header.rows(handle, schema.dialect)
            header = next(rows)
            for number, row in enumerate(rows, 1):
                if len(row) != len(header):
                    last = len(row) < len(header) and next(rows, None) is None
                    return _ragged(path, number, header, row) + (f" {_CUT_SHORT}" if last else "")
                for column, cell in zip(header, row, strict=True):
                    wrong = _expected(cell, column, schema)
                    if wrong:
                        return f"{path}, row {number}, column {column}: expected {wrong}"
    except csv.Error as error:
        # The csv module's words for a quote that is still open at the end.
        remedy = f" {_CUT_SHORT}" if str(error) == "unexpected end of data" else ""
        return f"{path}, row {number + 1}: it is no CSV: {error}.{remedy}"
    except csv_header.UNREADABLE as error:
        return csv_header.unreadable(path, schema.dialect, error)
    return None


def _require_rows(path: Path, schema: Schema) -> None:
    """Raises `DataInvalid` for two faults that pandas does not report: a row that is too short, which pandas fills up
    with empty cells, and a quoted cell with text after its closing quote."""
    dialect = schema.dialect
    last = csv_header.read(path, schema.label, dialect)[-1]
    # Where the last column may not be empty, the empty cell of a short row is an error already.
    may_be_empty = last not in (schema.label, *schema.numbers, *schema.categories) or "" in dialect.missing
    try:
        if not may_be_empty and not _has_quotes(path, dialect):
            return
        with csv_header.open_csv(path, dialect) as handle:
            rows = csv_header.rows(handle, dialect)
            cells = len(next(rows))
            if all(len(row) == cells for row in rows):
                return
    except csv_header.UNREADABLE:
        pass
    _blame(path, schema)


def _has_quotes(path: Path, dialect: Dialect) -> bool:
    with csv_header.open_csv(path, dialect) as handle:
        return any('"' in block for block in iter(lambda: handle.read(_BLOCK), ""))


def _ragged(path: Path, number: int, header: Sequence[str], row: Sequence[str]) -> str:
    hint = ""
    if len(row) == len(header) + 1:
        hint = (
            " A comma at the end of each line makes one cell more."
            if not row[-1].strip()
            else " A row's first cell may be an index without a name: write the file with index=False."
        )
    return f"{path}, row {number}: expected {len(header)} cells, as the header has, got {len(row)}.{hint}"


def _expected(cell: str, column: str, schema: Schema) -> str | None:
    """None for a right cell; for a wrong one what was expected, what came and what to do."""
    if column == schema.label:
        if not cell.strip() or csv_cells.is_missing(cell.strip(), schema.dialect):
            return f"a label, got {cell!r}; a row without one teaches nothing: remove it."
    elif column in schema.numbers and csv_cells.number(cell, schema.dialect) is None:
        return csv_cells.advice(cell, column, schema.dialect)
    elif column in schema.categories and csv_cells.category(cell, schema.dialect) is None:
        return f"a category, got {cell!r}; data.missing: [{cell.strip()!r}] takes such cells for a missing value."
    return None
