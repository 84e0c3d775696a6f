"""IDX files of unsigned bytes (the format of MNIST and its successors), gzipped or not."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from atelier_client._files import require_file
from atelier_client._layout import LabelKind
from atelier_client.data.table import Table
from atelier_client.errors import DataError

_UNSIGNED_BYTES = 0x08
IMAGES = "t10k-images-idx3-ubyte"
LABELS = "t10k-labels-idx1-ubyte"


class IdxReader:
    """Images uint8 [N,...] under `images`, and their classes under `label` when there is a file of them."""

    row_word = "image"
    label_kind: LabelKind | None = "integers"

    def __init__(self, images: Path, labels: Path | None) -> None:
        for path in (images, labels):
            if path:
                require_file(path)
        self.name = images.parent.name
        self._images = images
        self._labels_path = labels
        self._labels = read_idx(labels) if labels else None
        with _opened(images) as handle:
            shape, _ = _header(images, handle)
        self.rows: int | None = shape[0]
        if labels and self._labels is not None and (len(self._labels) != shape[0] or not shape[0]):
            raise DataError(
                f"{images}: {shape[0]} images but {len(self._labels)} labels; they must be as many, and not none."
            )
        self._digest: str | None = None

    def tables(self, rows: int) -> Iterator[Table]:
        """See `Reader`."""
        digest = hashlib.sha256()
        for first, images in _pieces(self._images, rows, digest):
            table: Table = {"images": images}
            if self._labels is not None:
                table["label"] = self._labels[first : first + len(images)]
            yield table
        if self._labels_path:
            with _opened(self._labels_path) as handle:
                digest.update(handle.read())
        self._digest = digest.hexdigest()

    def sha256(self) -> str:
        """The digest of the images file followed by the labels file, both uncompressed."""
        if self._digest is None:
            for _ in self.tables(1 << 12):
                pass
        assert self._digest is not None
        return self._digest


def open_idx(path: Path) -> IdxReader:
    """A folder of the two test files, or an images file with its labels file beside it. Raises `DataError`."""
    if path.is_dir():
        return open_test_files(path)
    labels = path.with_name(path.name.replace("images-idx3", "labels-idx1"))
    has_labels = labels != path and labels.exists()
    return IdxReader(path, labels if has_labels else None)


def open_test_files(folder: Path) -> IdxReader:
    """The two test files of a folder. Raises `DataError`."""
    return IdxReader(_present(folder / IMAGES), _present(folder / LABELS))


def read_idx(path: Path) -> NDArray[Any]:
    """The whole array (uint8, shape of the header). Raises `DataError`."""
    parts = [part for _, part in _pieces(path, 1 << 30, hashlib.sha256())]
    return parts[0]


def _pieces(path: Path, rows: int, digest: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    """Row number and rows, one after the other; the file's bytes go into the digest."""
    with _opened(path) as handle:
        shape, header = _header(path, handle)
        digest.update(header)
        each = math.prod(shape[1:])
        for first in range(0, max(shape[0], 1), rows):
            count = min(rows, shape[0] - first)
            block = _read(path, handle, count * each)
            if len(block) < count * each:
                raise DataError(
                    f"{path}: its header promises {math.prod(shape)} bytes, it has {first * each + len(block)}."
                )
            digest.update(block)
            yield first, np.frombuffer(block, np.uint8).reshape(count, *shape[1:])
        if _read(path, handle, 1):
            raise DataError(f"{path}: its header promises {math.prod(shape)} bytes, it has more.")


def _header(path: Path, handle: IO[bytes]) -> tuple[tuple[int, ...], bytes]:
    start = _read(path, handle, 4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != _UNSIGNED_BYTES or not start[3]:
        raise DataError(
            f"{path}: expected an IDX file of unsigned bytes, got one that starts with {start!r}."
        )
    sizes = _read(path, handle, 4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"{path}: expected an IDX file of unsigned bytes; it ends within its header.")
    return tuple(int(size) for size in np.frombuffer(sizes, ">u4")), start + sizes


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else open(path, "rb")


def _read(path: Path, handle: IO[bytes], count: int) -> bytes:
    try:
        return handle.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None


def _present(path: Path) -> Path:
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.exists():
            return candidate
    raise DataError(
        f"{path} is missing. `make up` writes it, or: atelier-trainer data fetch {path.parent.name}."
    )
