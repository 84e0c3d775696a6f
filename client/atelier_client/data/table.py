"""What every format offers: a reader of examples in tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from atelier_client._layout import LabelKind

# Columns of equal length: numbers, str, bytes (an encoded image among them), or one array a row.
Table = dict[str, NDArray[Any]]

_BLOCK = 1 << 20


class Reader(Protocol):
    """A file or folder of examples, read from the beginning each time."""

    name: str
    """For people: what the report says was read."""
    rows: int | None
    """How many examples; None when only reading will tell."""
    row_word: str
    """What a row is called in a message: row, record, image."""
    label_kind: LabelKind | None
    """What labels of the format are (labels.py); None when the format does not say."""

    def tables(self, rows: int) -> Iterator[Table]:
        """The examples in order, at most `rows` at a time. Raises `DataError` with the place."""

    def sha256(self) -> str:
        """Digest of the files' bytes, uncompressed where the format is a compressed stream."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
