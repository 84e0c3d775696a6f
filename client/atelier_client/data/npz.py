"""NumPy files: an .npz is a zip of .npy members, which are read row by row without unpacking the whole."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._files import require_file
from atelier_client._layout import LabelKind
from atelier_client.data.table import Table, file_sha256
from atelier_client.errors import DataError

# A header is a Python literal: NumPy's reader of old ones uses Python's tokenizer.
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    SyntaxError,
    TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
# Keras's own data sets are an .npz of these.
_TRAIN_SPLIT = ("x_train", "y_train")


class NumpyReader:
    """The arrays of the file that have as many rows as the others; `x_train` and `y_train` are left alone."""

    row_word = "row"
    label_kind: LabelKind | None = None

    def __init__(self, path: Path, members: dict[str, str]) -> None:
        """`members`: the name of each array, and of its file in the zip (empty: `path` is an .npy itself)."""
        self.name = path.stem
        self._path = path
        self._members = members
        lengths = {}
        for name, member in members.items():
            with ExitStack() as stack:
                _, shape, _ = _start(path, self._open(stack, member))
                lengths[name] = shape[0] if shape else 0
        if len(set(lengths.values())) != 1 or not all(lengths.values()):
            told = ", ".join(f"{name} has {count}" for name, count in lengths.items()) or "no array"
            raise DataError(f"{path}: expected arrays with equally many rows, and not none; {told}.")
        self.rows: int | None = next(iter(lengths.values()))

    def tables(self, rows: int) -> Iterator[Table]:
        """See `Reader`."""
        assert self.rows is not None
        with ExitStack() as stack:
            streams: dict[str, tuple[IO[bytes], Any, tuple[int, ...]]] = {}
            whole: dict[str, NDArray[Any]] = {}
            for name, member in self._members.items():
                handle = self._open(stack, member)
                dtype, shape, columns_first = _start(self._path, handle)
                streams[name] = (handle, dtype, shape)
                if columns_first:
                    # In Fortran order, the values of a row are spread over the whole file.
                    array = self._rows(name, self.rows, handle, dtype, shape)
                    whole[name] = array.reshape(-1).reshape(shape, order="F")
            for first in range(0, self.rows, rows):
                count = min(rows, self.rows - first)
                yield {
                    name: whole[name][first : first + count]
                    if name in whole
                    else self._rows(name, count, *stream)
                    for name, stream in streams.items()
                }

    def sha256(self) -> str:
        """See `Reader`."""
        return file_sha256(self._path)

    def _open(self, stack: ExitStack, member: str) -> IO[bytes]:
        if not member:
            return stack.enter_context(open(self._path, "rb"))
        archive = stack.enter_context(zipfile.ZipFile(self._path))
        return stack.enter_context(archive.open(member))

    def _rows(
        self, name: str, count: int, handle: IO[bytes], dtype: Any, shape: tuple[int, ...]
    ) -> NDArray[Any]:
        size = count * math.prod(shape[1:]) * dtype.itemsize
        if not size:
            # There is nothing to read. Items of an array of empty texts have the size 0.
            return np.zeros([count, *shape[1:]], dtype)
        try:
            block = handle.read(size)
        except (*_DAMAGED, MemoryError) as error:
            raise DataError(f"{self._path}, array {name}: {error}.") from None
        if len(block) < size:
            raise DataError(f"{self._path}, array {name}: it ends early.")
        return np.frombuffer(block, dtype).reshape(count, *shape[1:])


def open_numpy(path: Path) -> NumpyReader:
    """The reader of an .npy or .npz. Raises `DataError`."""
    require_file(path)
    if path.suffix == ".npy":
        return NumpyReader(path, {"array": ""})
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.removesuffix(".npy"): member for member in archive.namelist()}
    except _DAMAGED as error:
        raise DataError(f"{path} cannot be read as an .npz of arrays: {error}.") from None
    if len(members) > len(_TRAIN_SPLIT):
        members = {name: member for name, member in members.items() if name not in _TRAIN_SPLIT}
    return NumpyReader(path, members)


def _start(path: Path, handle: IO[bytes]) -> tuple[Any, tuple[int, ...], bool]:
    """Dtype, shape, and whether several dimensions are in Fortran order. Raises `DataError`.

    The handle then stands at the first row.
    """
    try:
        version = np.lib.format.read_magic(handle)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, columns_first, dtype = read(handle)
    except _DAMAGED as error:
        raise DataError(f"{path} cannot be read as a NumPy file: {error}.") from None
    if dtype.hasobject:
        raise DataError(f"{path}: it holds pickled Python objects, which are not read. Save numbers or text.")
    return dtype, shape, columns_first and len(shape) > 1
