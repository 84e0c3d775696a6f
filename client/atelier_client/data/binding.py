"""Which column of a table is the label, which become the model's inputs, and how."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._layout import UNKNOWN, Held, Layout
from atelier_client._ragged import advice
from atelier_client._tensors import BY_NAME, NAMES, STRING
from atelier_client.data import cells as cell_values
from atelier_client.data import image_file
from atelier_client.data.labels import Labels
from atelier_client.data.shapes import fitted, row_shape, row_size
from atelier_client.data.table import Table
from atelier_client.errors import DataError
from atelier_client.signature import Signature, TensorSpec

# Usual names of a label column; the last ones are those of Keras's data sets and TensorFlow's image records.
LABEL_COLUMNS = ("label", "labels", "class", "y_test", "y", "image/class/label")
# Usual names of an array of all inputs: Keras's, and that of an .npz as the trainer writes it.
_INPUT_ARRAYS = ("x_test", "images")


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
        held: Held | None = None,
        dark: bool | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`layout`: what the model card says of the columns. `held`: what the source says of its labels (labels.py).

        `dark`: see image_file.decode. `say` is called with each guess and each ignored column.
        """
        self._signature = signature
        self._source = source
        self._row_word = row_word
        self._layout = layout
        self._asked_label = label_column
        self._held = held
        self._dark = dark
        self._say = say
        self._label: str | None = None
        self._labels: Labels | None = None
        self._inputs: dict[str, tuple[str, ...]] = {}
        self._scaled: bool | None = None
        self.steps: tuple[str, ...] = ()

    def label_column(self, table: Table) -> str | None:
        """The label's column, or None when there is none. Raises `DataError` for one asked for and absent."""
        if self._asked_label is not None:
            if self._asked_label not in table:
                raise DataError(self._without(self._asked_label, table))
            if self._asked_label in self._layout.columns:
                raise DataError(
                    f"{self._source}: the column {self._asked_label!r} is an input of the model, not its label: it was "
                    f"trained on {_some(self._layout.columns)}."
                )
            return self._asked_label
        if self._layout.label in table:
            return self._layout.label
        return next(
            (name for name in LABEL_COLUMNS if name in table and name not in self._layout.columns), None
        )

    def labels(self, table: Table, first: int, names: Sequence[str] | None, classes: int) -> NDArray[Any]:
        """Class numbers int64 [N] of a table whose first row has the number `first` (from 0). Raises `DataError`."""
        column = self._label = self._label or self._chosen_label(table)
        cells = table[column]
        if cells.ndim == 2 and cells.shape[1] == 1:
            # Keras's own data sets have labels [N,1].
            cells = cells[:, 0]
        if cells.ndim != 1:
            raise DataError(
                f"{self._source}, column {column}: expected one label a row, got {list(cells.shape)}."
            )
        if self._labels is None:
            folders = "file" in table and "image" in table
            self._labels = Labels(names, classes, self._held, folders=folders, say=self._say)
        return self._labels.numbers(cells, lambda row: self._place(first + row, column))

    def inputs(self, table: Table, first: int) -> dict[str, NDArray[Any]]:
        """The model's inputs by name, each of its signature's dtype and shape. Raises `DataError`."""
        table = _by_value(table, self._layout.columns)
        if not self._inputs:
            self._inputs = self._choose(table)
            used = {name for columns in self._inputs.values() for name in columns}
            used |= {self.label_column(table) or "", "file"}
            if extra := [name for name in table if name not in used]:
                self._say(
                    f"{self._source}: the model does not take the columns {_some(extra)}; they are passed over."
                )
        return {
            name: self._input(self._signature.inputs[name], columns, table, first)
            for name, columns in self._inputs.items()
        }

    def _chosen_label(self, table: Table) -> str:
        """The label's column; what is guessed is said. Raises `DataError`."""
        wanted = self._layout.label
        if self._asked_label is None and wanted is not None and wanted not in table and _is_of_columns(table):
            raise DataError(f"{self._without(wanted, table)} Another column: --label-column NAME.")
        column = self.label_column(table)
        if column is None:
            raise DataError(
                f"{self._source} has no label: expected a column named {', '.join(LABEL_COLUMNS[:-1])} or "
                f"{LABEL_COLUMNS[-1]}, or --label-column NAME. It has: {_some(table)}."
            )
        if column not in (self._asked_label, wanted) and "file" not in table:
            self._say(
                f"{self._source}: the label is taken from the column {column!r}, for its name (--label-column NAME)."
            )
        return column

    def _choose(self, table: Table) -> dict[str, tuple[str, ...]]:
        specs = self._signature.inputs
        if all(name in table or name in self._signature.optional for name in specs):
            return {name: (name,) for name in specs if name in table}
        if self._signature.ragged:
            name = next(iter(self._signature.ragged))
            raise DataError(
                f"{self._source}: the input {specs[name]} is ragged: it takes rows of different lengths, which a "
                f"column does not hold. {advice(name)}"
            )
        required = [spec.name for spec in self._signature.required]
        if len(required) != 1 or self._layout.kinds:
            missing = next(name for name in required if name not in table)
            raise DataError(
                f"{self._source} has no column for the input {specs[missing]}.{_near(missing, table)} It has: "
                f"{_some(table)}; the model takes {_some([str(spec) for spec in specs.values()])}."
            )
        spec = specs[required[0]]
        free = [name for name in table if name != self.label_column(table)]
        if spec.dtype == NAMES[STRING]:
            columns = self._columns_of_text(table, free) or self._whole(spec, table, free)
        else:
            columns = self._whole(spec, table, free) or self._columns_of_numbers(spec, table, free)
        if columns is None:
            values = "one text" if spec.dtype == NAMES[STRING] else f"{row_size(spec)} numbers"
            raise DataError(
                f"{self._source} does not fit the input {spec}: it takes {values} a {self._row_word}, the columns are "
                f"{_some(free)}."
            )
        return {spec.name: columns}

    def _columns_of_text(self, table: Table, free: Sequence[str]) -> tuple[str, ...] | None:
        wanted = self._layout.text
        if wanted in table:
            return (wanted,)
        if wanted is not None and _is_of_columns(table):
            raise DataError(self._without(wanted, table))
        texts = [name for name in free if table[name].dtype.kind in "OSU" and table[name].ndim == 1]
        if len(texts) != 1:
            return None
        self._say(f"{self._source}: the text is taken from the column {texts[0]!r}, the only one that fits.")
        return (texts[0],)

    def _whole(self, spec: TensorSpec, table: Table, free: Sequence[str]) -> tuple[str, ...] | None:
        """A column that holds all values of a row: a picture, or an array."""
        size = row_size(spec)
        whole = [
            name
            for name in free
            if image_file.is_image(table[name][0])
            or (table[name].ndim > 1 and (size < 0 or table[name][0].size == size))
        ]
        if len(whole) != 1:
            return None
        if whole[0] not in _INPUT_ARRAYS and not image_file.is_image(table[whole[0]][0]):
            self._say(
                f"{self._source}: the input {spec} is taken from the array {whole[0]!r}, the only one that fits."
            )
        return (whole[0],)

    def _columns_of_numbers(
        self, spec: TensorSpec, table: Table, free: Sequence[str]
    ) -> tuple[str, ...] | None:
        trained_on = self._layout.columns
        if self._layout.kind == "image" and not _is_of_columns(table):
            # An array of pictures, whose shape does not fit.
            return None
        for name in trained_on:
            if name not in table:
                raise DataError(
                    f"{self._without(name, table)} The model was trained on {_some(trained_on)}; columns are found by "
                    "these names, in any order."
                )
        if trained_on:
            return trained_on
        size = row_size(spec)
        numbers = [name for name in free if table[name].ndim == 1 and _is_number(table[name][0])]
        if len(numbers) != size and (size >= 0 or not numbers):
            return None
        if len(numbers) > 1:
            self._say(
                f"{self._source}: the columns {_some(numbers)} are taken in their order: no model card names them."
            )
        return tuple(numbers)

    def _input(self, spec: TensorSpec, columns: tuple[str, ...], table: Table, first: int) -> NDArray[Any]:
        column = table[columns[0]]
        if len(columns) == 1 and column.dtype == object and image_file.is_image(column[0]):
            return self._decoded(spec, columns[0], table, first)

        def place(row: int, at: Sequence[int] = ()) -> str:
            return self._place(first + row, columns[at[0]] if len(columns) > 1 and at else columns[0])

        for name in columns:
            cell_values.check_kind(table[name], self._place(first, name))
        if spec.dtype == NAMES[STRING]:
            if self._layout.kinds:
                column = cell_values.categories(column, self._layout, place)
            return self._shaped(spec, columns, column)
        dtype = BY_NAME.get(spec.dtype)
        if dtype is None:
            raise DataError(f"Input {spec}: this client cannot send {spec.dtype}.")
        if len(columns) > 1:
            column = np.stack([table[name] for name in columns], axis=1)
        numbers = cell_values.numbers(column, dtype, self._layout, place)
        if self._are_pixels(column, numbers):
            numbers = (numbers / np.float32(255)).astype(dtype)
        if not first and self._layout.kind == "image" and dtype.kind == "u" and numbers.max(initial=0) <= 1:
            self._say(
                f"{self._source}: no pixel is above 1, where the model was trained on 0 (black) to 255 (white)."
            )
        return self._shaped(spec, columns, numbers)

    def _are_pixels(self, cells: NDArray[Any], numbers: NDArray[Any]) -> bool:
        """True when pixels 0..255 of an image model go into an input of floats, which takes them in [0,1]
        (docs/contracts.md, the signature `scaled`). The first table decides; it is said.
        """
        if self._layout.kind != "image" or numbers.dtype.kind != "f" or cells.dtype.kind not in "iuOSU":
            return False
        if self._scaled is None:
            whole = cells.dtype.kind in "iu" or ((numbers == np.floor(numbers)).all() and (numbers > 1).any())
            self._scaled = bool(whole)
            if self._scaled:
                self._say(f"{self._source}: the pixels 0..255 are divided by 255, as the input takes them.")
        return self._scaled

    def _shaped(self, spec: TensorSpec, columns: tuple[str, ...], array: NDArray[Any]) -> NDArray[Any]:
        shaped = fitted(array, spec, pictures=self._layout.kind != "table")
        if shaped is None:
            raise DataError(
                f"{self._source}, column {columns[0]}: the input {spec} takes {list(row_shape(spec))} a "
                f"{self._row_word}, it has {list(array.shape[1:])}. Only flat rows and an axis of 1 are fitted; "
                "transpose the array where its axes stand in another order."
            )
        return shaped

    def _decoded(self, spec: TensorSpec, column: str, table: Table, first: int) -> NDArray[Any]:
        files = table.get("file")
        pictures = []
        for row, data in enumerate(table[column].tolist()):
            name = f"{self._source}, {self._row_word} {first + row + 1}"
            if files is not None:
                name = f"{self._source}/{files[row]}"
            pictures.append(image_file.for_input(data, spec, self._layout, name, self._dark))
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

    def _without(self, name: str, table: Iterable[str]) -> str:
        return f"{self._source} has no column {name!r}.{_near(name, table)} It has: {_some(table)}."

    def _place(self, row: int, column: str) -> str:
        return f"{self._source}, {self._row_word} {row + 1}, column {column}"


def rows_at_once(signature: Signature, bytes_at_once: int, most: int) -> int:
    """How many rows to read and send together, from the inputs' sizes; text is taken for 1 kB."""
    size = 0
    for spec in signature.inputs.values():
        dtype = BY_NAME.get(spec.dtype)
        size += 1024 if dtype is None else abs(row_size(spec)) * dtype.itemsize
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


def _near(name: str, names: Iterable[str]) -> str:
    by_lower = {other.lower().strip(): other for other in names}
    near = difflib.get_close_matches(name.lower().strip(), by_lower, n=1)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def _is_of_columns(table: Table) -> bool:
    """True for a table like that of a CSV file: each column has one value a row, and no column has pictures."""
    return all(column.ndim == 1 and not image_file.is_image(column[0]) for column in table.values())


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (ValueError, TypeError):
        return False
    return True


def _some(names: Iterable[str]) -> str:
    """The first of the names, for a message."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:12]) + (f", .. ({len(listed)} in all)" if len(listed) > 12 else "") or "nothing"
