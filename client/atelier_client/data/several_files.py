"""A folder of CSV or Parquet files with the same columns: one source, in the order of the files' names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from atelier_client._layout import LabelKind
from atelier_client.data.columns import name_list
from atelier_client.data.parts import Part
from atelier_client.data.table import Table, file_sha256
from atelier_client.errors import DataError

if TYPE_CHECKING:
    from atelier_client.data.csv_file import CsvReader
    from atelier_client.data.parquet import ParquetReader


class SeveralFilesReader:
    """The rows of the first file, then those of the next; one file is open at a time."""

    row_word = "row"
    label_kind: LabelKind | None = None

    def __init__(
        self, name: str, files: Sequence[Path], opened: Callable[[Path], CsvReader | ParquetReader]
    ) -> None:
        """Raises `DataError` when a file has other columns than the first."""
        self.name = name
        self.files = list(files)
        self.rows: int | None = 0
        self._opened = opened
        expected: list[str] = []
        for file in self.files:
            reader = opened(file)
            found = reader.columns()
            expected = expected or found
            if sorted(found) != sorted(expected):
                raise DataError(
                    f"{file} has the columns {name_list(found)}, and {self.files[0].name} has {name_list(expected)}: "
                    "expected the same columns in every file of the folder."
                )
            self.rows = None if self.rows is None or reader.rows is None else self.rows + reader.rows

    def tables(self, rows: int) -> Iterator[Table]:
        """See `Reader`."""
        for file in self.files:
            yield from self._opened(file).tables(rows)

    def parts(self, rows: int) -> list[Part]:
        """See `PartsReader`."""
        found: list[Part] = []
        for number, file in enumerate(self.files):
            before = found[-1].first + found[-1].rows if found else 0
            found += [
                replace(part, file=number, first=before + part.first)
                for part in self._opened(file).parts(rows)
            ]
        return found

    def tables_of(self, part: Part, rows: int) -> Iterator[Table]:
        """See `PartsReader`."""
        yield from self._opened(self.files[part.file]).tables_of(part, rows)

    def sha256(self) -> str:
        """The digest of the files' digests in a row."""
        return hashlib.sha256("".join(map(file_sha256, self.files)).encode()).hexdigest()
