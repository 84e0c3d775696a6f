"""Which file is of which format."""

from __future__ import annotations

from pathlib import Path

from atelier_client._files import require_file
from atelier_client._layout import UNKNOWN, Layout
from atelier_client.data.csv_file import SUFFIXES, CsvReader
from atelier_client.data.table import Reader
from atelier_client.errors import DataError

EXPECTED = (
    "an IDX file or a folder of two (t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte), .csv, .tsv, .npz, .npy, "
    ".tfrecord, .parquet, or a folder with one folder of PNG or JPEG files a class"
)


def open_reader(path: Path, layout: Layout = UNKNOWN) -> Reader:
    """The reader of a file's format, told by its name; `layout` is of a table. Raises `DataError`."""
    if not path.exists():
        raise DataError(f"{path} does not exist. Expected {EXPECTED}.")
    if path.is_dir():
        return _open_folder(path)
    require_file(path)
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    kind = suffixes[-1] if suffixes else ""
    if kind in SUFFIXES:
        return CsvReader(path, layout)
    if kind in (".npz", ".npy"):
        from atelier_client.data.npz import open_numpy

        return open_numpy(path)
    if "tfrecord" in kind or ".tfrecord" in path.name:
        from atelier_client.data.tfrecord import TfrecordReader

        return TfrecordReader([path])
    if kind in (".parquet", ".pq"):
        from atelier_client.data.parquet import ParquetReader

        return ParquetReader(path, layout)
    if "idx" in path.name and "ubyte" in path.name:
        from atelier_client.data.idx import open_idx

        return open_idx(path)
    raise DataError(f"{path} is of no format known by its name. Expected {EXPECTED}.")


def _open_folder(path: Path) -> Reader:
    names = [item.name for item in path.iterdir()]
    if any("idx3-ubyte" in name for name in names):
        from atelier_client.data.idx import open_idx

        return open_idx(path)
    shards = sorted(item for item in path.iterdir() if ".tfrecord" in item.name)
    if shards:
        from atelier_client.data.tfrecord import TfrecordReader

        return TfrecordReader(shards, path.name)
    from atelier_client.data.image_folder import ImageFolderReader

    return ImageFolderReader(path)
