"""What every format offers, and which file is of which format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from atelier_client.errors import DataError

# Columns of equal length: numbers, str, bytes (an encoded image among them), or one array a row.
Table = dict[str, NDArray[Any]]

_BLOCK = 1 << 20
EXPECTED = (
    "an IDX file or a folder of two (t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte), .csv, .npz, .npy, .tfrecord, "
    ".parquet, or a folder with one folder of PNG or JPEG files a class"
)


class Reader(Protocol):
    """A file or folder of examples, read from the beginning each time."""

    name: str
    """For people: what the report says was read."""
    rows: int | None
    """How many examples; None when only reading will tell."""
    row_word: str
    """What a row is called in a message: row, record, image."""

    def tables(self, rows: int) -> Iterator[Table]:
        """The examples in order, at most `rows` at a time. Raises `DataError` with the place."""

    def sha256(self) -> str:
        """Digest of the files' bytes, uncompressed where the format is a compressed stream."""


def open_reader(path: Path) -> Reader:
    """The reader of a file's format, told by its name. Raises `DataError`."""
    if not path.exists():
        raise DataError(f"{path} does not exist. Expected {EXPECTED}.")
    if path.is_dir():
        return _open_folder(path)
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    kind = suffixes[-1] if suffixes else ""
    if kind == ".csv":
        from atelier_client.sources.csv_file import CsvReader

        return CsvReader(path)
    if kind in (".npz", ".npy"):
        from atelier_client.sources.npz import open_numpy

        return open_numpy(path)
    if "tfrecord" in kind or ".tfrecord" in path.name:
        from atelier_client.sources.tfrecord import TfrecordReader

        return TfrecordReader([path])
    if kind in (".parquet", ".pq"):
        from atelier_client.sources.parquet import ParquetReader

        return ParquetReader(path)
    if "idx" in path.name and "ubyte" in path.name:
        from atelier_client.sources.idx import open_idx

        return open_idx(path)
    raise DataError(f"{path} is of no format known by its name. Expected {EXPECTED}.")


def _open_folder(path: Path) -> Reader:
    names = [item.name for item in path.iterdir()]
    if any("idx3-ubyte" in name for name in names):
        from atelier_client.sources.idx import open_idx

        return open_idx(path)
    shards = sorted(item for item in path.iterdir() if ".tfrecord" in item.name)
    if shards:
        from atelier_client.sources.tfrecord import TfrecordReader

        return TfrecordReader(shards, path.name)
    from atelier_client.sources.image_folder import ImageFolderReader

    return ImageFolderReader(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
