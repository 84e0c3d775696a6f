"""CSV files with a header: read fast by pandas, and when that fails, read again to name the row and the column."""

from __future__ import annotations

import csv
import difflib
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from atelier_trainer.errors import DataInvalid

# Rows of a table that pandas parses at once; bounds the memory of a pass over a large file.
CHUNK_ROWS = 50_000
LARGEST = float(np.finfo(np.float32).max)


def read_header(path: Path, label: str) -> list[str]:
    """The column names. Raises `DataInvalid` when there are none, one occurs twice, or the label is missing."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            header = next(csv.reader(handle), [])
    except FileNotFoundError:
        raise DataInvalid(
            f"{path} does not exist. Paths in a job start from the job file's folder."
        ) from None
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise DataInvalid(f"{path}: not readable as CSV in UTF-8: {error}.") from None
    if not any(header):
        raise DataInvalid(f"{path} is empty: expected a header with the column {label!r}, then rows.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataInvalid(f"{path}: the column {twice[0]!r} is there twice.")
    require(path, header, label)
    return header


def require(path: Path, header: Sequence[str], column: str) -> None:
    """Raises `DataInvalid` with the nearest name when the column is missing."""
    if column not in header:
        near = difflib.get_close_matches(column, header, n=1)
        shown = ", ".join(header[:8]) + (", .." if len(header) > 8 else "")
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataInvalid(f"{path}: the column {column!r} is missing; it has {shown}.{hint}")


def same_columns(path: Path, header: Sequence[str], expected: Sequence[str], reference: Path) -> None:
    """Raises `DataInvalid` when a file's columns are not those of the file before it."""
    missing = [name for name in expected if name not in header]
    extra = [name for name in header if name not in expected]
    if missing or extra:
        said = [f"lacks {', '.join(missing[:5])}"] if missing else []
        said += [f"has also {', '.join(extra[:5])}"] if extra else []
        raise DataInvalid(f"{path} {' and '.join(said)}: its columns must be those of {reference}.")


def number_chunks(path: Path, label: str, columns: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Float32 [n,columns] and label cells (str objects [n]) of each chunk of rows. Raises `DataInvalid`."""
    types = {label: str, **dict.fromkeys(columns, np.float32)}
    for frame in _frames(path, label, None, types):
        numbers = frame[list(columns)].to_numpy(np.float32)
        if not np.isfinite(numbers).all():
            _blame(path, label, None)
        yield numbers, _cells(path, label, None, frame[label])


def read_text(path: Path, label: str, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts (UTF-8 bytes objects [N]) and label cells (str objects [N]). Raises `DataInvalid`."""
    require(path, read_header(path, label), text)
    parts = [
        (_texts(path, label, text, frame[text]), _cells(path, label, text, frame[label]))
        for frame in _frames(path, label, text, {label: str, text: str})
    ]
    texts = np.array([item for part, _ in parts for item in part], dtype=object)
    return texts, np.concatenate([cells for _, cells in parts])


def as_bytes(numbers: np.ndarray, path: Path, columns: Sequence[str]) -> np.ndarray:
    """Integers from 0 to 255 as uint8 of the same shape [N,columns]. Raises `DataInvalid` with row and column."""
    wrong = (numbers < 0) | (numbers > 255) | (numbers != np.floor(numbers))
    if wrong.any():
        row, column = (int(item) for item in np.argwhere(wrong)[0])
        raise DataInvalid(
            f"{path}, row {row + 1}, column {columns[column]}: expected an integer from 0 to 255, "
            f"got {numbers[row, column]:g}."
        )
    return numbers.astype(np.uint8)


def _frames(path: Path, label: str, text: str | None, types: dict[str, type]) -> Iterator[pd.DataFrame]:
    rows = 0
    try:
        with (
            warnings.catch_warnings(),
            # Only empty cells are missing: a review that says "null" is a text.
            pd.read_csv(
                path,
                dtype=types,
                chunksize=CHUNK_ROWS,
                index_col=False,
                keep_default_na=False,
                encoding="utf-8-sig",
            ) as reader,
        ):
            warnings.simplefilter("error")
            for frame in reader:
                rows += len(frame)
                yield frame
    except (ValueError, OverflowError, Warning) as error:
        _blame(path, label, text, str(error))
    if not rows:
        raise DataInvalid(f"{path} has a header and no rows.")


def _cells(path: Path, label: str, text: str | None, column: pd.Series) -> np.ndarray:
    cells = column.to_numpy(dtype=object)
    if not all(isinstance(cell, str) and cell.strip() for cell in cells):
        _blame(path, label, text)
    return np.array([cell.strip() for cell in cells], dtype=object)


def _texts(path: Path, label: str, text: str, column: pd.Series) -> list[bytes]:
    cells = column.to_list()
    # A row that ends early leaves its last cells empty, and an empty text is no fault: only the rows can tell.
    if not all(isinstance(cell, str) and cell for cell in cells) and _fault(path, label, text):
        _blame(path, label, text)
    return [cell.encode() if isinstance(cell, str) else b"" for cell in cells]


def _blame(path: Path, label: str, text: str | None, fallback: str = "not readable as CSV") -> NoReturn:
    raise DataInvalid(_fault(path, label, text) or f"{path}: {fallback}.")


def _fault(path: Path, label: str, text: str | None) -> str | None:
    """The first wrong cell or row, found slowly and surely; row 1 is the first after the header."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, strict=True)
            header = next(reader)
            for number, row in enumerate(reader, 1):
                if row and len(row) != len(header):
                    return f"{path}, row {number}: expected {len(header)} cells, as the header has, got {len(row)}."
                for column, cell in zip(header, row, strict=False):
                    expected = _expected(cell, column, label, text)
                    if expected:
                        return f"{path}, row {number}, column {column}: expected {expected}, got {cell!r}."
    except (UnicodeDecodeError, csv.Error) as error:
        return f"{path}: not readable as CSV in UTF-8: {error}."
    return None


def _expected(cell: str, column: str, label: str, text: str | None) -> str | None:
    """What the cell should be, when it is not."""
    if column == label:
        return None if cell.strip() else "a label"
    if text is not None:
        return None
    try:
        return None if math.isfinite(float(cell)) and abs(float(cell)) <= LARGEST else "a finite number"
    except ValueError:
        return "a number"
