"""Which file is of which format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atelier_client._files import require_file
from atelier_client._layout import UNKNOWN, Layout
from atelier_client.data.csv_file import SUFFIXES, CsvReader
from atelier_client.data.table import Reader
from atelier_client.errors import DataError

if TYPE_CHECKING:
    from atelier_client.data.parquet import ParquetReader

EXPECTED = (
    "an IDX file or a folder of two (t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte), .csv, .tsv, .npz, .npy, "
    ".tfrecord, .parquet, a folder of .csv or .parquet files with the same columns, or a folder with one folder of PNG "
    "or JPEG files a class"
)
PARQUET = (".parquet", ".pq")


def open_reader(path: Path, layout: Layout = UNKNOWN) -> Reader:
    """The reader of a file's format, told by its name; `layout` is of a table. Raises `DataError`."""
    if not path.exists():
        raise DataError(f"{path} does not exist. Expected {EXPECTED}.")
    if path.is_dir():
        return _open_folder(path, layout)
    require_file(path)
    kind = _kind(path)
    if kind in (*SUFFIXES, *PARQUET):
        return _open_table(path, layout)
    if kind in (".npz", ".npy"):
        from atelier_client.data.npz import open_numpy

        return open_numpy(path)
    if "tfrecord" in kind or ".tfrecord" in path.name:
        from atelier_client.data.tfrecord import TfrecordReader

        return TfrecordReader([path])
    if "idx" in path.name and "ubyte" in path.name:
        from atelier_client.data.idx import open_idx

        return open_idx(path)
    raise DataError(f"{path} is of no format known by its name. Expected {EXPECTED}.")


def _kind(path: Path) -> str:
    """What the name ends with, before a `.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _open_table(path: Path, layout: Layout) -> CsvReader | ParquetReader:
    if _kind(path) in PARQUET:
        from atelier_client.data.parquet import ParquetReader

        return ParquetReader(path, layout)
    return CsvReader(path, layout)


def _open_folder(path: Path, layout: Layout) -> Reader:
    names = [item.name for item in path.iterdir()]
    if any("idx3-ubyte" in name for name in names):
        from atelier_client.data.idx import open_idx

        return open_idx(path)
    shards = sorted(item for item in path.iterdir() if ".tfrecord" in item.name)
    if shards:
        from atelier_client.data.tfrecord import TfrecordReader

        return TfrecordReader(shards, path.name)
    files = [item for item in sorted(path.iterdir()) if item.name[0] not in "._"]
    for kinds in (PARQUET, (".csv", ".tsv")):
        several = [item for item in files if _kind(item) in kinds]
        # A table beside folders of pictures says something of them.
        if several and not any(item.is_dir() for item in files):
            from atelier_client.data.several_files import SeveralFilesReader

            return SeveralFilesReader(path.name, several, lambda file: _open_table(file, layout))
    from atelier_client.data.image_folder import ImageFolderReader

    return ImageFolderReader(path)
