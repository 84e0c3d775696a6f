"""Writes a request log as a table: CSV, JSON lines or Parquet, a row an example."""

from __future__ import annotations

import csv
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from atelier_client import _files
from atelier_client.errors import DataError, SettingsError
from atelier_client.request_log.reader import read
from atelier_client.request_log.remarks import Remarks
from atelier_client.request_log.table import BINARY, FIXED, MIXED, TEXT, Columns, Row, plain, rows

SUFFIXES = (".parquet", ".csv", ".jsonl")
# Rows of Parquet that are in memory at a time: fewer when they are large.
_GROUP_ROWS = 5_000
_GROUP_BYTES = 8 * 2**20


class _Writer(Protocol):
    def write(self, row: Row) -> None:
        """Append a row."""

    def close(self) -> None:
        """Write what is left."""


def check_target(path: Path) -> None:
    """Raises `SettingsError` for a file that cannot be written as a table."""
    if path.suffix not in SUFFIXES:
        raise SettingsError(f"--to {path}: expected a name that ends in {', '.join(SUFFIXES)}.")
    _files.check_target("--to", path)
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise SettingsError(
                f"--to {path}: writing Parquet needs pyarrow (about 170 MB), which is not installed: "
                "pip install 'atelier-client[parquet]', or write .csv or .jsonl."
            ) from None


def export(
    folder: Path, model: str | None, path: Path, remarks: Remarks, done: Callable[[int], None]
) -> tuple[int, int, list[str]]:
    """Write the log of a model (of all, when None); returns requests, rows and the columns' names.

    The log is read twice but for JSON lines, because the columns stand before the rows; in memory is a part of it.
    `done` is called with the examples of each request that was written. The file appears whole or not at all. Raises
    `DataError` for a log without requests, and `OSError`.
    """
    columns = Columns()
    if path.suffix != ".jsonl":
        for request in read(folder, model, remarks=Remarks()):
            columns.add(request)
    requests = written = 0
    with _whole(path) as temporary:
        writer = _writer(path.suffix, temporary, columns)
        for request in read(folder, model, remarks=remarks):
            requests += 1
            for row in rows(request):
                writer.write(row)
                written += 1
            done(request.examples)
            if path.suffix == ".jsonl":
                columns.add(request)
        writer.close()
        if not requests:
            of_model = f" of model {model}" if model else ""
            raise DataError(f"{folder} has no requests{of_model} that can be read.")
    return requests, written, [*FIXED, *columns.names()]


def _writer(suffix: str, path: Path, columns: Columns) -> _Writer:
    if suffix == ".csv":
        return _CsvWriter(path, columns)
    return _JsonLinesWriter(path) if suffix == ".jsonl" else _ParquetWriter(path, columns)


class _CsvWriter:
    """Lists are JSON in their cell, nothing is an empty one."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._columns = columns
        self._names = [*FIXED, *columns.names()]
        self._file = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(self._names)

    def write(self, row: Row) -> None:
        self._columns.check(row)
        self._csv.writerow([self._cell(row.get(name)) for name in self._names])

    def close(self) -> None:
        self._file.close()

    def _cell(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return _iso(value)
        value = plain(value)
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


class _JsonLinesWriter:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, row: Row) -> None:
        document = {name: _iso(value) if name == "time" else plain(value) for name, value in row.items()}
        self._file.write(json.dumps(document, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _ParquetWriter:
    """Numbers and text in their types, lists as lists; a column whose cells differ in kind as JSON text."""

    def __init__(self, path: Path, columns: Columns) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._columns = columns
        fixed = [
            ("time", pa.timestamp("us", "UTC")),
            ("model", pa.string()),
            ("version", pa.int64()),
            ("label", pa.string()),
            ("trace_id", pa.string()),
            ("ms", pa.float64()),
            ("transport", pa.string()),
        ]
        kinds = columns.kinds
        types = [(name, _arrow_type(pa, *kinds[name])) for name in columns.names()]
        self._schema = pa.schema(fixed + types)
        self._table = pa.Table
        self._writer = parquet.ParquetWriter(path, self._schema)
        self._rows: list[Row] = []
        self._bytes = 0

    def write(self, row: Row) -> None:
        self._columns.check(row)
        cells: Row = {name: row.get(name) for name in FIXED}
        for name, (kind, _) in self._columns.kinds.items():
            cells[name] = _arrow_cell(row.get(name), kind)
            self._bytes += getattr(row.get(name), "nbytes", 64)
        self._rows.append(cells)
        if len(self._rows) >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table.from_pylist(self._rows, schema=self._schema))
        self._rows = []
        self._bytes = 0


def _arrow_type(pa: Any, kind: str, rank: int) -> Any:
    if kind in (MIXED, TEXT):
        made = pa.string()
    else:
        made = pa.binary() if kind == BINARY else pa.from_numpy_dtype(np.dtype(kind))
    for _ in range(rank):
        made = pa.list_(made)
    return made


def _arrow_cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == MIXED:
        return json.dumps(plain(value), ensure_ascii=False)
    if kind not in (TEXT, BINARY) and isinstance(value, np.ndarray) and value.ndim == 1:
        # pyarrow takes it as it is, many times as fast as a list.
        return value
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return _texts(value) if kind == TEXT else value


def _texts(value: Any) -> Any:
    return [_texts(item) for item in value] if isinstance(value, list) else value.decode()


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name beside the file, which gets the file's when the block ends well."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None:
            raise
        # An error while writing (a full disk) does not name the file.
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
