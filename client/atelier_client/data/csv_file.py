"""CSV with a header. Cells stay text; binding.py converts them when it knows the input that they are for.

The dialect is that of docs/contracts.md, section 2; a model card may name another separator and encoding.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from atelier_client._layout import UNKNOWN, LabelKind, Layout
from atelier_client.data.parts import Part
from atelier_client.data.table import Table, file_sha256
from atelier_client.errors import DataError

# A review may be longer than the csv module's default of 128 kB for one cell.
_LONGEST_CELL = 1 << 24
_CUT_SHORT = (
    "When its writer was stopped within this last row, take the row away; a file of feedback is mended too when the "
    "console saves the next example."
)
SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")


@dataclass
class _Text:
    """An open file, of which so many rows were taken."""

    handle: IO[str]
    rows: int

    def lines(self) -> Iterator[str]:
        """The lines. `tell` works between them, as it does not when the file itself is the iterator."""
        return iter(self.handle.readline, "")

    def tell(self) -> int:
        """Where the next line begins, for `seek`."""
        return self.handle.tell()


class CsvReader:
    """Columns of str, named by the header."""

    row_word = "row"
    label_kind: LabelKind | None = None
    rows: int | None = None

    def __init__(self, path: Path, layout: Layout = UNKNOWN) -> None:
        self.name = path.stem
        self.files = [path]
        self._path = path
        self._layout = layout
        by_tabs = layout == UNKNOWN and path.suffix.lower() in (".tsv", ".tab")
        self._separator = "\t" if by_tabs else layout.separator

    def tables(self, rows: int) -> Iterator[Table]:
        """See `Reader`."""
        with self._reading() as (handle, found):
            header = self._header(next(found, None))
            while part := list(itertools.islice(found, rows)):
                yield self._table(header, part, handle.rows, found)
                handle.rows += len(part)

    def parts(self, rows: int) -> list[Part]:
        """See `PartsReader`; a quoted cell may hold line ends, so all is read for it. A gzipped file is one part."""
        most = None if self._path.suffix.lower() == ".gz" else rows
        found: list[Part] = []
        with self._reading() as (handle, all_rows):
            self._header(next(all_rows, None))
            while True:
                at = handle.tell()
                count = sum(1 for _ in itertools.islice(all_rows, most))
                if not count:
                    return found
                found.append(Part(0, len(found), handle.rows, handle.rows, count, at))
                handle.rows += count

    def tables_of(self, part: Part, rows: int) -> Iterator[Table]:
        """See `PartsReader`."""
        header = self.columns()
        with self._reading(part) as (handle, found):
            end = part.before + part.rows
            while cells := list(itertools.islice(found, min(rows, end - handle.rows))):
                yield self._table(header, cells, handle.rows, found)
                handle.rows += len(cells)

    def columns(self) -> list[str]:
        """The names of the columns, in their order. Raises `DataError`."""
        with self._reading() as (_, found):
            return self._header(next(found, None))

    @contextlib.contextmanager
    def _reading(self, part: Part | None = None) -> Iterator[tuple[_Text, Iterator[list[str]]]]:
        """The open file and its rows, the header among them; or those from the beginning of a part.

        Who takes rows counts them in the file's `rows`, by which an error is placed.
        """
        csv.field_size_limit(_LONGEST_CELL)
        text: _Text | None = None
        try:
            with self._opened() as handle:
                text = _Text(handle, part.before if part else 0)
                if part:
                    handle.seek(part.at)
                yield text, self._rows(text, part.before + 1 if part else 0)
        except UnicodeError as error:
            raise DataError(
                f"{self._path}, after row {text.rows if text else 0}: it is no {self._layout.encoding} text ({error}). "
                "Save it as UTF-8, or name its encoding in the job the model is trained with (data: encoding)."
            ) from None
        except (OSError, EOFError, zlib.error, LookupError) as error:
            raise DataError(f"{self._path}, after row {text.rows if text else 0}: {error}.") from None

    def sha256(self) -> str:
        """See `Reader`; of a gzipped file the digest of the compressed bytes."""
        return file_sha256(self._path)

    def _header(self, header: list[str] | None) -> list[str]:
        if not header:
            raise DataError(f"{self._path} is empty: expected a header, then rows.")
        for number, name in enumerate(header, 1):
            if not name.strip():
                last = number == len(header) > 1
                cause = (
                    "the header ends with a separator" if last else "pandas writes its index so: index=False"
                )
                raise DataError(f"{self._path}: column {number} of {len(header)} has no name ({cause}).")
        other = next((sign for sign in ";\t|," if sign in header[0]), None) if len(header) == 1 else None
        if other:
            raise DataError(
                f"{self._path}: its header is one column, {header[0]!r}, which looks separated by {other!r}; expected "
                f"{self._separator!r}. A model card tells another one, from the job (data: separator)."
            )
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise DataError(f"{self._path}: the header names {twice!r} twice.")
        return header

    def _table(
        self, header: list[str], part: list[list[str]], done: int, following: Iterator[list[str]]
    ) -> Table:
        for number, row in enumerate(part, done + 1):
            if len(row) != len(header):
                last = number == done + len(part) and next(following, None) is None
                raise DataError(
                    f"{self._path}, row {number}: expected {len(header)} cells as the header has, got {len(row)}."
                    + (f" {_CUT_SHORT}" if last and len(row) < len(header) else "")
                )
        grid = np.empty([len(part), len(header)], object)
        grid[:] = part
        return {name: grid[:, index] for index, name in enumerate(header)}

    def _rows(self, text: _Text, count: int) -> Iterator[list[str]]:
        """The header and the rows, without lines that are empty or have only spaces. Raises `DataError`.

        `count` is the number of the first, that of the header 0.
        """
        try:
            for row in csv.reader(text.lines(), delimiter=self._separator, strict=True):
                # A line of two quotes is a row: an empty text.
                if row and (len(row) > 1 or not row[0] or row[0].strip(" \t")):
                    yield row
                    count += 1
        except csv.Error as error:
            where = f"row {count}" if count else "the header"
            # The csv module's words for a quote that is still open at the end.
            remedy = f" {_CUT_SHORT}" if count and str(error) == "unexpected end of data" else ""
            raise DataError(f"{self._path}, {where}: it is no CSV: {error}.{remedy}") from None

    def _opened(self) -> IO[str]:
        encoding = self._layout.encoding
        if codecs.lookup(encoding).name == "utf-8":
            # Spreadsheets write a byte order mark at the start of the file.
            encoding = "utf-8-sig"
        if self._path.suffix.lower() == ".gz":
            return cast(IO[str], gzip.open(self._path, "rt", encoding=encoding, newline=""))
        return open(self._path, encoding=encoding, newline="")
