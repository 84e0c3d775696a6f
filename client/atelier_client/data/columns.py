"""Which columns of a table are the label and the inputs of a model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from atelier_client._layout import Layout
from atelier_client.data import image_file
from atelier_client.data.shapes import row_size
from atelier_client.data.table import Table
from atelier_client.errors import DataError
from atelier_client.messages.ragged import advice
from atelier_client.messages.tensors import NAMES, STRING
from atelier_client.signature import Signature, TensorInfo

# Usual names of a label column; the last ones are those of Keras's data sets and TensorFlow's image records.
LABEL_COLUMNS = ("label", "labels", "class", "y_test", "y", "image/class/label")
# Usual names of an array of all inputs: Keras's, and that of an .npz as the trainer writes it.
_INPUT_ARRAYS = ("x_test", "images")


class ColumnChoice:
    """Chooses columns by the model card's layout; without one, by their names and values."""

    def __init__(
        self,
        signature: Signature,
        source: str,
        row_word: str,
        layout: Layout,
        label_column: str | None,
        class_columns: Sequence[str],
        say: Callable[[str], None],
    ) -> None:
        """`label_column` is what the user named: a column, or several with commas between. `class_columns` are the
        classes of a multi-label model, each of which may have a column. `say` is called with each guess."""
        self._signature = signature
        self._source = source
        self._row_word = row_word
        self._layout = layout
        self._label_column = label_column
        self._class_columns = tuple(class_columns)
        self._say = say

    def labels(self, table: Table) -> tuple[str, ...]:
        """The label's columns, none when there are none. Raises `DataError` for one asked for and absent."""
        if self._label_column is not None:
            asked: tuple[str, ...] = (self._label_column,)
            if self._label_column not in table and "," in self._label_column:
                asked = tuple(name.strip() for name in self._label_column.split(","))
            for name in asked:
                if name not in table:
                    raise DataError(self._missing(name, table))
                if name in self._layout.columns:
                    raise DataError(
                        f"{self._source}: the column {name!r} is an input of the model, not its label: it was trained "
                        f"on {name_list(self._layout.columns)}."
                    )
            return asked
        if self._class_columns and all(name in table for name in self._class_columns):
            return self._class_columns
        if self._layout.label in table:
            return (self._layout.label,)
        usual = [name for name in LABEL_COLUMNS if name in table and name not in self._layout.columns]
        if not usual:
            self._require_all_classes(table)
        return tuple(usual[:1])

    def _require_all_classes(self, table: Table) -> None:
        """Raises `DataError` when some classes have a column and others do not."""
        some = [name for name in self._class_columns if name in table]
        if some:
            absent = [name for name in self._class_columns if name not in table]
            raise DataError(
                f"{self._source} has columns for the classes {name_list(some)} and none for {name_list(absent)}: "
                "expected a column of 0 and 1 for each class, or one column of their names."
            )

    def checked_labels(self, table: Table) -> tuple[str, ...]:
        """The label's columns. Says when they are a guess. Raises `DataError` when there are none."""
        wanted = self._layout.label
        if (
            self._label_column is None
            and wanted is not None
            and wanted not in table
            and _is_of_columns(table)
            and not self._class_columns
        ):
            raise DataError(f"{self._missing(wanted, table)} Another column: --label-column NAME.")
        columns = self.labels(table)
        if not columns:
            raise DataError(
                f"{self._source} has no label: expected a column named {', '.join(LABEL_COLUMNS[:-1])} or "
                f"{LABEL_COLUMNS[-1]}, or --label-column NAME. It has: {name_list(table)}."
            )
        guessed = self._label_column is None and columns not in ((wanted,), self._class_columns)
        if guessed and "file" not in table:
            self._say(
                f"{self._source}: the label is taken from the column {columns[0]!r}, for its name (--label-column "
                "NAME)."
            )
        return columns

    def inputs(self, table: Table) -> dict[str, tuple[str, ...]]:
        """The columns of each input. Raises `DataError` when the table does not have them."""
        inputs = self._signature.inputs
        required = [info.name for info in self._signature.required]
        if trained_on := self._trained_on(table):
            for name in trained_on:
                if name not in table:
                    raise DataError(
                        f"{self._missing(name, table)} The model was trained on {name_list(trained_on)}; columns are "
                        "found by these names, in any order."
                    )
            return {required[0]: trained_on}
        if all(name in table or name in self._signature.optional for name in inputs):
            return {name: (name,) for name in inputs if name in table}
        if self._signature.ragged:
            name = next(iter(self._signature.ragged))
            raise DataError(
                f"{self._source}: the input {inputs[name]} is ragged: it takes rows of different lengths, which a "
                f"column does not hold. {advice(name)}"
            )
        if len(required) != 1 or self._layout.kinds:
            missing = next(name for name in required if name not in table)
            raise DataError(
                f"{self._source} has no column for the input {inputs[missing]}.{_near(missing, table)} It has: "
                f"{name_list(table)}; the model takes {name_list([str(info) for info in inputs.values()])}."
            )
        info = inputs[required[0]]
        labels = self.labels(table)
        free = [name for name in table if name not in labels]
        if info.dtype == NAMES[STRING]:
            columns = self._only_text(table, free) or self._whole(info, table, free)
        else:
            columns = self._whole(info, table, free) or self._numbers(info, table, free)
        if columns is None:
            values = "one text" if info.dtype == NAMES[STRING] else f"{row_size(info)} numbers"
            spare = len(free) == row_size(info) + 1 and not labels
            raise DataError(
                f"{self._source} does not fit the input {info}: it takes {values} a {self._row_word}, the columns are "
                f"{name_list(free)}."
                + (
                    " If one of them is the label: evaluate takes --label-column NAME, predict a file without it."
                    if spare
                    else ""
                )
                + (
                    f" The model was trained on {name_list(self._layout.columns)}."
                    if self._layout.columns
                    else ""
                )
            )
        return {info.name: columns}

    def _trained_on(self, table: Table) -> tuple[str, ...] | None:
        """The columns that the card names for the only input, which go before every other way to find it: a column with
        the input's name (`text` beside the trained one `review`), or an array that has its size.

        None where the table is another kind of source, such as pictures or an array of all values.
        """
        layout = self._layout
        if len(self._signature.required) != 1 or layout.kinds:
            return None
        wanted = (layout.text,) if layout.kind == "text" and layout.text else layout.columns
        own = self._signature.required[0].name
        present = any(name in table and (name != own or table[name].ndim == 1) for name in wanted)
        return wanted if wanted and (present or _is_of_columns(table)) else None

    def _only_text(self, table: Table, free: Sequence[str]) -> tuple[str, ...] | None:
        texts = [name for name in free if table[name].dtype.kind in "OSU" and table[name].ndim == 1]
        if len(texts) != 1:
            return None
        self._say(f"{self._source}: the text is taken from the column {texts[0]!r}, the only one that fits.")
        return (texts[0],)

    def _whole(self, info: TensorInfo, table: Table, free: Sequence[str]) -> tuple[str, ...] | None:
        """A column that holds all values of a row: a picture, or an array."""
        size = row_size(info)
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
                f"{self._source}: the input {info} is taken from the array {whole[0]!r}, the only one that fits."
            )
        return (whole[0],)

    def _numbers(self, info: TensorInfo, table: Table, free: Sequence[str]) -> tuple[str, ...] | None:
        if self._layout.kind == "image" and not _is_of_columns(table):
            # An array of pictures, whose shape does not fit.
            return None
        size = row_size(info)
        numbers = [name for name in free if table[name].ndim == 1 and _is_number(table[name][0])]
        if len(numbers) != size and (size >= 0 or not numbers):
            return None
        if len(numbers) > 1:
            self._say(
                f"{self._source}: the columns {name_list(numbers)} are taken in their order: no model card names them."
            )
        return tuple(numbers)

    def _missing(self, name: str, table: Iterable[str]) -> str:
        return f"{self._source} has no column {name!r}.{_near(name, table)} It has: {name_list(table)}."


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


def name_list(names: Iterable[str]) -> str:
    """The first of the names, for a message."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:12]) + (f", .. ({len(listed)} in all)" if len(listed) > 12 else "") or "nothing"
