"""Which column of a table is the label, which become the model's inputs, and how."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._tensors import DTYPES, NAMES, STRING
from atelier_client.data import image_file
from atelier_client.data.table import Table
from atelier_client.errors import DataError
from atelier_client.signature import Signature, TensorSpec

# What a label column is usually called; the last is Keras's data sets and TensorFlow's image records.
LABEL_COLUMNS = ("label", "labels", "class", "y_test", "y", "image/class/label")


class Binding:
    """Fits tables of one source to one signature; what it finds in the first table holds for the rest."""

    def __init__(
        self,
        signature: Signature,
        source: str,
        *,
        row_word: str = "row",
        columns: Sequence[str] = (),
        label_column: str | None = None,
        dark: bool | None = None,
    ) -> None:
        """`columns`: those the model was trained on, in their order. `dark`: see image_file.decode."""
        self._signature = signature
        self._source = source
        self._row_word = row_word
        self._trained_on = tuple(columns)
        self._label_column = label_column
        self._dark = dark
        self._inputs: dict[str, tuple[str, ...]] = {}
        self.steps: tuple[str, ...] = ()

    def label_column(self, table: Table) -> str | None:
        """The label's column, or None when there is none. Raises `DataError` for one asked for and absent."""
        if self._label_column is None:
            return next((name for name in LABEL_COLUMNS if name in table), None)
        if self._label_column in table:
            return self._label_column
        near = difflib.get_close_matches(self._label_column, table, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{self._source} has no column {self._label_column!r}.{hint} It has: {_some(table)}.")

    def labels(self, table: Table, first: int, names: Sequence[str] | None, classes: int) -> NDArray[Any]:
        """Class numbers int64 [N] of a table whose first row has the number `first` (from 0). Raises `DataError`."""
        column = self.label_column(table)
        if column is None:
            raise DataError(
                f"{self._source} has no label: expected a column named {', '.join(LABEL_COLUMNS[:-1])} or "
                f"{LABEL_COLUMNS[-1]}, or --label-column NAME. It has: {_some(table)}."
            )
        cells = table[column]
        if cells.ndim == 2 and cells.shape[1] == 1:
            # Keras's own data sets have labels [N,1].
            cells = cells[:, 0]
        if cells.ndim != 1:
            raise DataError(
                f"{self._source}, column {column}: expected one label a row, got {list(cells.shape)}."
            )
        if cells.dtype.kind in "OSU":
            known = _known_labels(names or (), classes)
            labels = np.array([known.get(_text(cell), -1) for cell in cells.tolist()], np.int64)
        else:
            labels = cells.astype(np.int64)
            labels[(labels != cells) | (labels < 0) | (labels >= classes)] = -1
        if (labels < 0).any():
            row = int(np.argmax(labels < 0))
            cell = cells[row]
            shown = _text(cell) if isinstance(cell, (str, bytes)) else cell
            classes_are = f"one of {_some(names)}, or " if names else ""
            raise DataError(
                f"{self._source}, {self._row_word} {first + row + 1}, column {column}: the label {shown!r} is out of "
                f"range: expected {classes_are}a number from 0 to {classes - 1}. "
                "If that should fit, the data set and the model do not belong together."
            )
        return labels

    def inputs(self, table: Table, first: int) -> dict[str, NDArray[Any]]:
        """The model's inputs by name, each of its signature's dtype and shape. Raises `DataError`."""
        if not self._inputs:
            self._inputs = self._choose(table)
        return {
            name: self._input(self._signature.inputs[name], columns, table, first)
            for name, columns in self._inputs.items()
        }

    def _choose(self, table: Table) -> dict[str, tuple[str, ...]]:
        specs = self._signature.inputs
        if all(name in table or name in self._signature.optional for name in specs):
            return {name: (name,) for name in specs if name in table}
        required = [name for name in specs if name not in self._signature.optional]
        if len(required) != 1:
            missing = next(name for name in required if name not in table)
            raise DataError(
                f"{self._source} has no column for the input {specs[missing]}. It has: {_some(table)}; the model takes "
                f"{_some([str(spec) for spec in specs.values()])}."
            )
        spec = specs[required[0]]
        free = [name for name in table if name != self.label_column(table)]
        columns = self._columns_of_text(table, free) if spec.dtype == NAMES[STRING] else None
        columns = columns or self._columns_of_numbers(spec, table, free)
        if columns is None:
            values = "one text" if spec.dtype == NAMES[STRING] else f"{math.prod(_row_shape(spec))} numbers"
            raise DataError(
                f"{self._source} does not fit the input {spec}: it takes {values} a {self._row_word}, the columns are "
                f"{_some(free)}."
            )
        return {spec.name: columns}

    def _columns_of_text(self, table: Table, free: Sequence[str]) -> tuple[str, ...] | None:
        texts = [name for name in free if table[name].dtype.kind in "OSU" and table[name].ndim == 1]
        return (texts[0],) if len(texts) == 1 else None

    def _columns_of_numbers(
        self, spec: TensorSpec, table: Table, free: Sequence[str]
    ) -> tuple[str, ...] | None:
        size = math.prod(_row_shape(spec))
        whole = [
            name
            for name in free
            if image_file.is_image(table[name][0])
            or (table[name].ndim > 1 and (size < 0 or math.prod(table[name].shape[1:]) == size))
        ]
        if len(whole) == 1:
            return (whole[0],)
        if self._trained_on and all(name in table for name in self._trained_on):
            return self._trained_on
        numbers = [name for name in free if table[name].ndim == 1 and _is_number(table[name][0])]
        return tuple(numbers) if len(numbers) == size or (size < 0 and numbers) else None

    def _input(self, spec: TensorSpec, columns: tuple[str, ...], table: Table, first: int) -> NDArray[Any]:
        column = table[columns[0]]
        if len(columns) == 1 and column.dtype == object and image_file.is_image(column[0]):
            return self._decoded(spec, columns[0], table, first)
        if spec.dtype == NAMES[STRING]:
            return column
        dtype = next((dtype for number, dtype in DTYPES.items() if NAMES[number] == spec.dtype), None)
        if dtype is None:
            raise DataError(f"Input {spec}: this client cannot send {spec.dtype}.")
        if len(columns) > 1:
            column = np.stack([table[name] for name in columns], axis=1)
        numbers = self._numbers(column, dtype, columns, first)
        shape = _row_shape(spec)
        if math.prod(shape) >= 0 and math.prod(numbers.shape[1:]) != math.prod(shape):
            raise DataError(
                f"{self._source}, column {columns[0]}: the input {spec} takes {math.prod(shape)} numbers a "
                f"{self._row_word}, it has {math.prod(numbers.shape[1:])}."
            )
        return numbers.reshape(len(numbers), *shape) if math.prod(shape) >= 0 else numbers

    def _numbers(
        self, cells: NDArray[Any], dtype: np.dtype[Any], columns: tuple[str, ...], first: int
    ) -> NDArray[Any]:
        """The cells as `dtype`, no value changed but for float rounding."""
        if cells.dtype == dtype:
            return cells
        if cells.dtype.kind in "OSU":
            try:
                cells = cells.astype(np.int64 if dtype.kind in "iu" else np.float64)
            except (ValueError, TypeError, OverflowError):
                cells = self._one_by_one(cells, columns, first)
        with np.errstate(invalid="ignore", over="ignore"):
            numbers = cells.astype(dtype)
            wrong = ~np.isfinite(numbers) if dtype.kind == "f" else numbers != cells
        if wrong.any():
            row, *at = (int(item) for item in np.argwhere(wrong)[0])
            raise DataError(
                f"{self._place(first + row, columns, at)}: expected a {dtype} number, got "
                f"{cells[(row, *at)]}."
            )
        return numbers

    def _one_by_one(self, cells: NDArray[Any], columns: tuple[str, ...], first: int) -> NDArray[Any]:
        numbers = np.empty(cells.shape)
        for place, cell in np.ndenumerate(cells):
            try:
                numbers[place] = float(cell)
            except (ValueError, TypeError):
                shown = _text(cell) if isinstance(cell, (str, bytes)) else cell
                where = self._place(first + place[0], columns, list(place[1:]))
                raise DataError(f"{where}: expected a number, got {shown!r}.") from None
        return numbers

    def _decoded(self, spec: TensorSpec, column: str, table: Table, first: int) -> NDArray[Any]:
        files = table.get("file")
        pictures = []
        for row, data in enumerate(table[column].tolist()):
            name = f"{self._source}, {self._row_word} {first + row + 1}"
            if files is not None:
                name = f"{self._source}/{files[row]}"
            shape = _row_shape(spec)
            pictures.append(image_file.decode(data, shape, name, self._dark))
        self.steps = self.steps or pictures[0].steps
        try:
            pixels = np.stack([picture.pixels for picture in pictures])
        except ValueError:
            raise DataError(
                f"{self._source}: the images differ in size and the input {spec} names none to bring them to."
            ) from None
        if spec.dtype == "uint8":
            return pixels
        # A model of float pixels takes them in [0,1], as the contract's `scaled` does (docs/contracts.md).
        return (pixels / np.float32(255)).astype(np.float32)

    def _place(self, row: int, columns: tuple[str, ...], at: Sequence[int]) -> str:
        column = columns[at[0]] if len(columns) > 1 and at else columns[0]
        return f"{self._source}, {self._row_word} {row + 1}, column {column}"


def rows_at_once(signature: Signature, bytes_at_once: int, most: int) -> int:
    """How many rows to read and send together, from the inputs' sizes; text is taken for 1 kB."""
    size = 0
    for spec in signature.inputs.values():
        dtype = next((dtype for number, dtype in DTYPES.items() if NAMES[number] == spec.dtype), None)
        size += 1024 if dtype is None else abs(math.prod(_row_shape(spec))) * dtype.itemsize
    return max(1, min(most, bytes_at_once // max(size, 1)))


def _row_shape(spec: TensorSpec) -> tuple[int, ...]:
    return spec.shape[1:] if spec.shape else (-1,)


def _known_labels(names: Sequence[str], classes: int) -> dict[str, int]:
    """Class numbers by number and name; also by a name as a folder may be called that cannot hold a slash."""
    plain = {_plain(name): number for number, name in enumerate(names)}
    folders = {
        name.replace("/", sign): number for number, name in enumerate(names) for sign in ("_", "-", " ", "")
    }
    numbers = {str(number): number for number in range(classes)}
    exact = {name: number for number, name in enumerate(names)}
    return plain | folders | numbers | exact


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_").replace("/", "_")


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (ValueError, TypeError):
        return False
    return True


def _some(names: Any) -> str:
    """The first of the names, for a message."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:12]) + (f", .. ({len(listed)} in all)" if len(listed) > 12 else "") or "nothing"
