"""Parquet, row group by row group. Needs pyarrow, which weighs more than all of the client: an extra to install."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import UNKNOWN, LabelKind, Layout
from atelier_client.data.parts import Part
from atelier_client.data.table import Table, file_sha256
from atelier_client.errors import DataError


class ParquetReader:
    """Columns by name; a column of equally long lists is an array [N,k], one of structs with `bytes` the bytes.

    An empty cell is an error, but for the columns of a model that takes missing values: there it is NaN, or None.
    """

    row_word = "row"
    label_kind: LabelKind | None = None

    def __init__(self, path: Path, layout: Layout = UNKNOWN) -> None:
        try:
            from pyarrow import lib, parquet
        except ImportError:
            raise DataError(
                f"{path}: reading Parquet needs pyarrow (about 170 MB), which is not installed: "
                "pip install 'atelier-client[parquet]'."
            ) from None
        self.name = path.stem
        self.files = [path]
        self._path = path
        self._may_be_empty = layout.kinds
        try:
            self._file: Any = parquet.ParquetFile(path)
        except (OSError, lib.ArrowException) as error:
            raise DataError(f"{path} cannot be read as Parquet: {error}") from None
        self._errors = (OSError, lib.ArrowException)
        self.rows: int | None = self._file.metadata.num_rows

    def tables(self, rows: int) -> Iterator[Table]:
        """See `Reader`."""
        yield from self._tables(rows, range(self._file.num_row_groups), 0)

    def parts(self, rows: int) -> list[Part]:
        """See `PartsReader`: the row groups, whatever their size."""
        found: list[Part] = []
        first = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if count:
                found.append(Part(0, group, first, first, count, group))
            first += count
        return found

    def tables_of(self, part: Part, rows: int) -> Iterator[Table]:
        """See `PartsReader`."""
        yield from self._tables(rows, [part.at], part.before)

    def columns(self) -> list[str]:
        """The names of the columns, in their order."""
        return list(self._file.schema_arrow.names)

    def _tables(self, rows: int, groups: Sequence[int], done: int) -> Iterator[Table]:
        try:
            for batch in self._file.iter_batches(batch_size=rows, row_groups=list(groups)):
                yield {
                    name: self._column(name, column, done)
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                }
                done += len(batch)
        except self._errors as error:
            raise DataError(f"{self._path}, after row {done}: {error}") from None

    def sha256(self) -> str:
        """See `Reader`."""
        return file_sha256(self._path)

    def _column(self, name: str, column: Any, done: int) -> NDArray[Any]:
        if column.null_count and name not in self._may_be_empty:
            row = done + 1 + column.is_null().to_pylist().index(True)
            raise DataError(f"{self._path}, row {row}, column {name}: the cell is empty.")
        values = column.to_numpy(zero_copy_only=False)
        if values.dtype != object:
            return np.asarray(values)
        if column.null_count:
            return np.asarray(values)
        if isinstance(values[0], dict):
            # How image data sets are often stored: {"bytes": .., "path": ..}.
            if "bytes" not in values[0]:
                return np.asarray(values)
            images = np.empty(len(values), object)
            images[:] = [value["bytes"] for value in values]
            return images
        if isinstance(values[0], np.ndarray):
            if all(value.dtype == object for value in values):
                # Lists of texts, such as the classes of a row, may differ in length.
                return np.asarray(values)
            try:
                return np.array([np.array(value.tolist()) for value in values])
            except ValueError:
                raise DataError(
                    f"{self._path}, column {name}, rows {done + 1} to {done + len(values)}: lists differ in length."
                ) from None
        return np.asarray(values)
