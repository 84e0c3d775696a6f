"""Turns tables into labels and the inputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import UNKNOWN, LabelKind, Layout
from atelier_client.data import cells as cell_values
from atelier_client.data import image_file, label_values
from atelier_client.data.columns import ColumnChoice, name_list
from atelier_client.data.labels import Labels
from atelier_client.data.shapes import fitted, row_shape, row_size
from atelier_client.data.table import Table
from atelier_client.errors import DataError
from atelier_client.messages.tensors import BY_NAME, NAMES, STRING
from atelier_client.signature import Signature, TensorInfo


class Binding:
    """Turns the tables of one source into the inputs of one signature. The first table decides for all the others."""

    def __init__(
        self,
        signature: Signature,
        source: str,
        *,
        row_word: str = "row",
        layout: Layout = UNKNOWN,
        label_column: str | None = None,
        label_kind: LabelKind | None = None,
        class_columns: Sequence[str] = (),
        dark: bool | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`layout` is what the model card says of the columns, `label_kind` what the source says of its labels.

        `label_column` and `class_columns` are as in `ColumnChoice`. `dark` is as in image_file.decode. `say` is called
        with each guess and each ignored column.
        """
        self._signature = signature
        self.source = source
        self._row_word = row_word
        self._layout = layout
        self._columns = ColumnChoice(signature, source, row_word, layout, label_column, class_columns, say)
        self._label_kind = label_kind
        self._dark = dark
        self._say = say
        self._labels: Labels | None = None
        self._label_columns: tuple[str, ...] = ()
        self._inputs: dict[str, tuple[str, ...]] = {}
        self._scaled: bool | None = None

    def labels(
        self,
        table: Table,
        first: int,
        names: Sequence[str] | None,
        classes: int,
        *,
        sequences: bool = False,
    ) -> NDArray[Any]:
        """Class numbers int64 [N] of a table whose first row has the number `first` (from 0). Raises `DataError`.

        With `sequences` a row may have a label for each step, [N,T].
        """
        cells, column = self._label_cells(table)
        if cells.ndim != 1 and not (sequences and cells.ndim == 2):
            raise DataError(
                f"{self.source}, column {column}: expected one label a row, got {list(cells.shape)}. Several classes a "
                "row: --task multi_label."
            )
        if self._labels is None:
            folders = "file" in table and "image" in table
            self._labels = Labels(names, classes, self._label_kind, folders=folders, say=self._say)
        steps = cells.shape[1] if cells.ndim == 2 else 1
        numbers = self._labels.numbers(
            cells.reshape(-1), lambda item: self._place(first + item // steps, column)
        )
        return numbers.reshape(cells.shape)

    def quantities(self, table: Table, first: int) -> NDArray[Any]:
        """Labels that are numbers, float64 [N], or [N,K] of several a row. Raises `DataError`."""
        cells, column = self._label_cells(table)
        return label_values.quantities(cells, self._layout, lambda row: self._place(first + row, column))

    def class_sets(self, table: Table, first: int, names: Sequence[str]) -> NDArray[Any]:
        """Which classes each row has, bool [N,C]: of a column of 0 and 1 a class, an array of them, or their names.

        Raises `DataError`.
        """
        cells, column = self._label_cells(table)

        def place(row: int) -> str:
            return self._place(first + row, column)

        if cells.ndim == 1 and cells.dtype.kind in "OSU":
            return label_values.class_sets(cells, names, place)
        if cells.ndim < 2 or cells.shape[-1] != len(names):
            raise DataError(
                f"{self.source}, column {column}: expected {len(names)} values of 0 or 1 a row, one for each class of "
                f"the model, got {list(cells.shape)}."
            )
        return label_values.truth_values(cells, place)

    def _label_cells(self, table: Table) -> tuple[NDArray[Any], str]:
        """The cells of the label, [N] or [N,K] of several columns side by side, and its name. Raises `DataError`."""
        self._label_columns = self._label_columns or self._columns.checked_labels(table)
        names = self._label_columns
        if len(names) > 1:
            return np.stack([self._one_value(table[name], name) for name in names], axis=1), ", ".join(names)
        cells = table[names[0]]
        if cells.ndim == 2 and cells.shape[1] == 1:
            # Keras's own data sets have labels [N,1].
            cells = cells[:, 0]
        return cells, names[0]

    def inputs(self, table: Table, first: int) -> dict[str, NDArray[Any]]:
        """The model's inputs by name, each of its signature's dtype and shape. Raises `DataError`."""
        table = _by_value(table, self._layout.columns)
        if not self._inputs:
            self._inputs = self._columns.inputs(table)
            used = {name for columns in self._inputs.values() for name in columns}
            used |= {*self._columns.labels(table), "file"}
            if extra := [name for name in table if name not in used]:
                self._say(
                    f"{self.source}: the model does not take the columns {name_list(extra)}; they are passed over."
                )
        return {
            name: self._input(self._signature.inputs[name], columns, table, first)
            for name, columns in self._inputs.items()
        }

    def given(self, name: str, array: NDArray[Any], first: int) -> NDArray[Any]:
        """The rows of an input that was given under its own name, as training read them: categories without the spaces
        around them, pixels scaled where the input takes floats. Raises `DataError`.
        """
        if self._layout.kinds.get(name) == "category" and array.dtype.kind in "OSU":
            return cell_values.categories(array, self._layout, lambda row, at: self._place(first + row, name))
        dtype = BY_NAME.get(self._signature.inputs[name].dtype)
        if dtype is None or array.dtype.kind not in "iuf":
            return array
        if dtype.kind == "f" and self._are_pixels(array, array.astype(dtype)):
            return (array / np.float32(255)).astype(dtype)
        if dtype.kind == "u":
            self._say_dark(array, first)
        return array

    def _input(self, info: TensorInfo, columns: tuple[str, ...], table: Table, first: int) -> NDArray[Any]:
        column = table[columns[0]]
        if len(columns) == 1 and column.dtype == object and image_file.is_image(column[0]):
            return self._decoded(info, columns[0], table, first)

        def place(row: int, at: Sequence[int] = ()) -> str:
            return self._place(first + row, columns[at[0]] if len(columns) > 1 and at else columns[0])

        for name in columns:
            cell_values.check_kind(table[name], self._place(first, name))
        if info.dtype == NAMES[STRING]:
            if self._layout.kinds:
                column = cell_values.categories(column, self._layout, place)
            return self._shaped(info, columns, column)
        dtype = BY_NAME.get(info.dtype)
        if dtype is None:
            raise DataError(f"Input {info}: this client cannot send {info.dtype}.")
        if len(columns) > 1:
            column = np.stack([self._one_value(table[name], name) for name in columns], axis=1)
        numbers = cell_values.numbers(column, dtype, self._layout, place)
        if self._are_pixels(column, numbers):
            numbers = (numbers / np.float32(255)).astype(dtype)
        if dtype.kind == "u":
            self._say_dark(numbers, first)
        return self._shaped(info, columns, numbers)

    def _say_dark(self, numbers: NDArray[Any], first: int) -> None:
        """Say when whole pixels are all 0 or 1, as in pictures that were scaled or made black and white before."""
        if not first and self._layout.kind == "image" and numbers.max(initial=0) <= 1:
            self._say(
                f"{self.source}: no pixel is above 1, where the model was trained on 0 (black) to 255 (white)."
            )

    def _one_value(self, cells: NDArray[Any], name: str) -> NDArray[Any]:
        """A column [N] of one that is [N], or [N,1] as lists of one value. Raises `DataError` for any other."""
        if cells.ndim > 1 and cells[0].size == 1:
            cells = cells.reshape(len(cells))
        if cells.ndim > 1:
            raise DataError(
                f"{self.source}, column {name}: expected one value a {self._row_word}, got {list(cells.shape[1:])}."
            )
        return cells

    def _are_pixels(self, cells: NDArray[Any], numbers: NDArray[Any]) -> bool:
        """True when pixels 0..255 of an image model go into an input of floats, which takes them in [0,1]
        (docs/contracts.md, the signature `scaled`). The first table decides; it is said. Raises `DataError` for others.
        """
        if self._layout.kind != "image" or numbers.dtype.kind != "f":
            return False
        if self._scaled is None:
            whole = cells.dtype.kind in "iu" or ((numbers == np.floor(numbers)).all() and (numbers > 1).any())
            self._scaled = bool(whole)
            if self._scaled:
                self._say(f"{self.source}: the pixels 0..255 are divided by 255, as the input takes them.")
        most = 255.0 if self._scaled else 1.0
        # Resizing may leave a float a little outside.
        if numbers.size and not (-0.01 * most <= numbers.min() and numbers.max() <= 1.01 * most):
            raise DataError(
                f"{self.source}: expected pixels in [0,1], or whole numbers from 0 to 255, for an input of floats; got "
                f"{numbers.min():g} to {numbers.max():g}."
            )
        return self._scaled

    def _shaped(self, info: TensorInfo, columns: tuple[str, ...], array: NDArray[Any]) -> NDArray[Any]:
        shaped = fitted(array, info, pictures=self._layout.kind != "table")
        if shaped is None:
            raise DataError(
                f"{self.source}, column {columns[0]}: the input {info} takes {list(row_shape(info))} a "
                f"{self._row_word}, it has {list(array.shape[1:])}. Only flat rows and an axis of 1 are fitted; "
                "transpose the array where its axes stand in another order."
            )
        return shaped

    def _decoded(self, info: TensorInfo, column: str, table: Table, first: int) -> NDArray[Any]:
        files = table.get("file")
        pictures = []
        for row, data in enumerate(table[column].tolist()):
            name = f"{self.source}, {self._row_word} {first + row + 1}"
            if files is not None:
                name = f"{self.source}/{files[row]}"
            pictures.append(image_file.for_input(data, info, self._layout, name, self._dark))
        if not first and pictures[0].steps:
            self._say(f"{self.source}: the first picture: {', '.join(pictures[0].steps)}.")
        try:
            pixels = np.stack([picture.pixels for picture in pictures])
        except ValueError:
            raise DataError(
                f"{self.source}: the images differ in size and the input {info} names none to bring them to."
            ) from None
        return pixels if info.dtype == "uint8" else image_file.as_floats(pixels, self._layout)

    def _place(self, row: int, column: str) -> str:
        return f"{self.source}, {self._row_word} {row + 1}, column {column}"


def rows_at_once(signature: Signature, bytes_at_once: int, most: int) -> int:
    """How many rows to read and send together, from the inputs' sizes; text is taken for 1 kB."""
    size = 0
    for info in signature.inputs.values():
        dtype = BY_NAME.get(info.dtype)
        size += 1024 if dtype is None else abs(row_size(info)) * dtype.itemsize
    return max(1, min(most, bytes_at_once // max(size, 1)))


def _by_value(table: Table, columns: Sequence[str]) -> Table:
    """The table with a column a value of each array that training knew so: `x` [N,2] as `x0` and `x1`, which is how
    the trainer names the values of a tf.Example's feature.
    """
    parts: Table = {}
    for name, column in table.items():
        values = [f"{name}{index}" for index in range(column.shape[1])] if column.ndim == 2 else []
        if values and all(value in columns and value not in table for value in values):
            parts |= {value: column[:, index] for index, value in enumerate(values)}
        else:
            parts[name] = column
    return parts
