"""Predictions as columns of Parquet: the row's number, its label, and every output under its own name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.data.table import Table
from atelier_client.errors import InputError
from atelier_client.responses import Prediction

_LABEL = "label"


@dataclass(frozen=True)
class PredictionTable:
    """`outputs` are the names of the signature's; `class_names` and `measured` are as in `readable_rows`.

    Raises `InputError` for an output with the name of another column.
    """

    outputs: tuple[str, ...]
    class_names: tuple[str, ...]
    measured: str | None

    def __post_init__(self) -> None:
        for name in ("row", "file"):
            if name in self.outputs:
                raise InputError(
                    f"The model has an output named {name!r}, which is the name of another column of its predictions: "
                    "they cannot be written as a table. `predict --json` prints them."
                )

    def of(self, prediction: Prediction, first: int, table: Table) -> Any:
        """A `pyarrow.Table` of the rows of `table`, of which the first has the number `first` (from 0).

        `row` int64; of a folder of images `file`; `label` as text, of a classifier; an output of one value a row as its
        own type, of several as lists, of texts as text. An output that is no row's own is in every row.
        """
        import pyarrow

        rows = len(next(iter(table.values())))
        columns = {"row": pyarrow.array(np.arange(first, first + rows, dtype=np.int64))}
        if "file" in table and "image" in table:
            columns["file"] = pyarrow.array([str(name) for name in table["file"]], pyarrow.string())
        labels = self._labels(prediction, rows)
        if labels is not None:
            columns[_LABEL] = pyarrow.array(labels, pyarrow.string())
        for name, array in prediction.items():
            own = array.ndim and len(array) == rows
            columns[name] = _column(array if own else np.broadcast_to(array, (rows, *array.shape)))
        return pyarrow.table(columns)

    def _labels(self, prediction: Mapping[str, NDArray[Any]], rows: int) -> list[str] | None:
        """The most probable class of each row; None where the model names it itself, or has no probabilities."""
        chosen = self.measured if self.measured is not None and self.class_names else "probabilities"
        values = prediction.get(chosen)
        if _LABEL in prediction or values is None or values.dtype.kind != "f" or values.shape[:1] != (rows,):
            return None
        if values.ndim == 2 and values.shape[1] == 1 and len(self.class_names) == 2:
            values = values[:, 0]
        if values.ndim == 1:
            second = values.astype(np.float64)
            values = np.stack([1 - second, second], axis=1)
        if values.ndim != 2:
            return None
        named = len(self.class_names) == values.shape[1]
        return [
            self.class_names[number] if named else str(number) for number in values.argmax(axis=1).tolist()
        ]


def _column(array: NDArray[Any]) -> Any:
    """An array [N,...] as N values, or as N lists of lists."""
    import pyarrow

    if array.dtype.kind in "OSU":
        flat = [
            cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
            for cell in array.ravel().tolist()
        ]
        column = pyarrow.array(flat, pyarrow.string())
    else:
        column = pyarrow.array(array.ravel())
    # From the innermost axis outwards.
    for axis in range(array.ndim - 1, 0, -1):
        lists, each = int(np.prod(array.shape[:axis])), array.shape[axis]
        column = pyarrow.ListArray.from_arrays(np.arange(lists + 1, dtype=np.int32) * each, column)
    return column
