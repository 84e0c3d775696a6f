"""CSV with a header: cells stay text until it is known what they are for (binding.py)."""

from __future__ import annotations

import csv
import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from atelier_client.data.table import Table, file_sha256
from atelier_client.errors import DataError

# A review may be longer than the csv module's default of 128 kB for one cell.
_LONGEST_CELL = 1 << 24


class CsvReader:
    """Columns of str, named by the header."""

    row_word = "row"
    rows: int | None = None

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._path = path

    def tables(self, rows: int) -> Iterator[Table]:
        """See `Reader`."""
        csv.field_size_limit(_LONGEST_CELL)
        done = 0
        try:
            with _opened(self._path) as handle:
                cells = csv.reader(handle, strict=True)
                header = next(cells, None)
                if not header:
                    raise DataError(f"{self._path} is empty: expected a header, then rows.")
                if len(set(header)) < len(header):
                    twice = next(name for name in header if header.count(name) > 1)
                    raise DataError(f"{self._path}: the header names {twice!r} twice.")
                while part := list(itertools.islice(cells, rows)):
                    yield self._table(header, part, done)
                    done += len(part)
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self._path}, after row {done}: {error}.") from None

    def sha256(self) -> str:
        """See `Reader`; of a gzipped file the digest of the compressed bytes."""
        return file_sha256(self._path)

    def _table(self, header: list[str], part: list[list[str]], done: int) -> Table:
        for number, row in enumerate(part, done + 1):
            if len(row) != len(header):
                raise DataError(
                    f"{self._path}, row {number}: expected {len(header)} cells as the header has, got {len(row)}."
                )
        grid = np.array(part, dtype=object).reshape(len(part), len(header))
        return {name: grid[:, index] for index, name in enumerate(header)}


def _opened(path: Path) -> IO[str]:
    # utf-8-sig: spreadsheets put a byte order mark in front.
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return open(path, encoding="utf-8-sig", newline="")
