"""Parts of a source: runs of rows that can be read by themselves, by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeGuard, runtime_checkable

from atelier_client.data.table import Reader, Table
from atelier_client.errors import DataError

# So many rows make a part of a format that has no parts of its own (Parquet has row groups): some seconds of asking.
ROWS = 1 << 16


@dataclass(frozen=True)
class Part:
    """The part `block` of the file number `file` of a source.

    Its `rows` come after `first` others of the source, of which `before` are in the same file. `at` is the reader's
    own: where in the file it finds the part.
    """

    file: int
    block: int
    first: int
    before: int
    rows: int
    at: int

    @property
    def key(self) -> str:
        """A name that no other part of the source has; by their names parts sort as they follow each other."""
        return f"{self.file:05}-{self.block:06}"


@runtime_checkable
class PartsReader(Reader, Protocol):
    """A reader whose source has parts."""

    files: list[Path]
    """The files, in order."""

    def parts(self, rows: int) -> list[Part]:
        """All parts in order, at most `rows` rows each where the format allows it. Raises `DataError`."""

    def tables_of(self, part: Part, rows: int) -> Iterator[Table]:
        """As `Reader.tables`, of one part."""


def has_parts(reader: Reader) -> TypeGuard[PartsReader]:
    """True when several processes can read the source together."""
    return isinstance(reader, PartsReader)


def require_parts(reader: Reader, path: Path) -> PartsReader:
    """The reader of a source in parts. Raises `DataError`."""
    if not has_parts(reader):
        raise DataError(
            f"{path} is read as a whole. --engine ray reads Parquet, CSV, TFRecord (a file, or a folder of them) or a "
            "folder of images by class; leave the option out for another format."
        )
    return reader
