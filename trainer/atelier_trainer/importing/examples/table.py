"""A CSV of somebody's: cells to the inputs of a signature. The dialect is that of docs/contracts.md, section 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atelier_trainer.data import csv_cells, csv_header
from atelier_trainer.data.csv_cells import PLAIN
from atelier_trainer.data.dataset import file_digest
from atelier_trainer.errors import ImportRefused
from atelier_trainer.importing.examples import columns
from atelier_trainer.importing.examples.given import Given
from atelier_trainer.printable import say
from atelier_trainer.publishing.model_signature import Signature, Tensor

_BLOCK = 5000


@dataclass(frozen=True)
class _Roles:
    """Which columns each input takes, by their places in the header, and which the label is, or are."""

    inputs: dict[str, list[int]]
    labels: list[int]
    card: dict[str, object]


def read(path: Path, signature: Signature, label_column: str | None) -> Given:
    """The examples of a CSV. Raises `ImportRefused` and `DataInvalid`, with row and column of a wrong cell."""
    header = csv_header.names(path)
    roles: _Roles | None = None
    parts: dict[str, list[np.ndarray]] = {name: [] for name in signature.inputs}
    labels: list[list[str]] = []
    first = 1
    for block in _blocks(path, header):
        roles = roles or _roles(path, header, block, signature, label_column)
        for name, places in roles.inputs.items():
            cells = [[row[place] for place in places] for row in block]
            parts[name].append(_values(path, header, places, cells, signature.inputs[name], first))
        labels += [[row[place].strip() for place in roles.labels] for row in block]
        _require_labels(path, header, roles.labels, labels, first)
        first += len(block)
    if roles is None:
        raise ImportRefused(f"{path} has a header and no rows.")
    inputs = {name: np.concatenate(values) for name, values in parts.items()}
    names = [header[place] for place in roles.labels]
    if not names:
        return Given(inputs, None, file_digest(path), str(path), roles.card)
    if len(names) == 1:
        one = np.array([row[0] for row in labels], object)
        return Given(inputs, one, file_digest(path), f"{path}, column {names[0]}", roles.card)
    try:
        several = np.array(labels, np.float64)
    except ValueError:
        several = np.array(labels, object)
    place = f"{path}, columns {' '.join(names)}"
    return Given(inputs, several, file_digest(path), place, roles.card, tuple(names))


def _require_labels(
    path: Path, header: Sequence[str], places: Sequence[int], labels: Sequence[Sequence[str]], first: int
) -> None:
    """Raises `ImportRefused` for an empty label in a row from `first` on."""
    for row, cells in enumerate(labels[first - 1 :], first):
        if "" in cells:
            raise ImportRefused(
                f"{path}, row {row}, column {header[places[cells.index('')]]}: the label is empty; remove the row or "
                "give it one."
            )


def _blocks(path: Path, header: Sequence[str]) -> Iterator[list[list[str]]]:
    """The rows, some thousands at a time. Raises `ImportRefused` for a row of another length, or no CSV."""
    try:
        with csv_header.open_csv(path, PLAIN) as handle:
            rows = csv_header.rows(handle, PLAIN)
            next(rows)
            block: list[list[str]] = []
            for number, row in enumerate(rows, 1):
                if len(row) != len(header):
                    raise ImportRefused(
                        f"{path}, row {number}: expected {len(header)} cells, as the header has, got {len(row)}."
                    )
                block.append(row)
                if len(block) == _BLOCK:
                    yield block
                    block = []
            if block:
                yield block
    except csv_header.UNREADABLE as error:
        raise ImportRefused(csv_header.unreadable(path, PLAIN, error)) from None


def _roles(
    path: Path, header: list[str], rows: list[list[str]], signature: Signature, label_column: str | None
) -> _Roles:
    labels = columns.named_labels(path, header, signature, label_column)
    if len(signature.inputs) > 1 or all(name in header for name in signature.inputs):
        if not all(name in header for name in signature.inputs):
            raise columns.missing(path, header, signature)
        free = [name for name in header if name not in signature.inputs]
        if not labels and len(free) == 1:
            labels = _guessed(path, free[0], "the only one that the model does not take")
        return _of_names(path, header, signature, labels)
    ((name, tensor),) = signature.inputs.items()
    if tensor.is_text:
        return _of_text(path, header, rows, name, labels)
    return _of_numbers(path, header, rows, (name, tensor), labels)


def _of_names(path: Path, header: list[str], signature: Signature, labels: tuple[str, ...]) -> _Roles:
    """A column for each input, under its name."""
    for name, tensor in signature.inputs.items():
        if columns.width(tensor) not in (1, None):
            raise ImportRefused(
                f"{path}: the input {columns.described(name, tensor)} takes more values than a column of a CSV "
                "holds; give "
                "the examples as an .npz with an array for each input."
            )
    _say_passed_over(path, [name for name in header if name not in signature.inputs and name not in labels])
    kinds = {name: "category" if tensor.is_text else "number" for name, tensor in signature.inputs.items()}
    card = {"kind": "table", "shape": [len(kinds)], "columns": list(kinds), "kinds": kinds, "missing": [""]}
    return _Roles(
        {name: [header.index(name)] for name in signature.inputs},
        _places(header, labels),
        _with(card, labels),
    )


def _of_text(
    path: Path, header: list[str], rows: list[list[str]], name: str, labels: tuple[str, ...]
) -> _Roles:
    free = [column for column in header if column not in labels]
    texts = [column for column in free if not _is_number(rows, header.index(column))]
    chosen = texts if len(texts) == 1 else free
    if len(chosen) != 1:
        raise ImportRefused(
            f"{path}: the input {name} takes one text a row, and the columns are {columns.listed(free)}: rename the "
            "right one to "
            f"{name}."
        )
    if not labels and len(free) == 2:
        labels = _guessed(
            path, next(column for column in free if column != chosen[0]), "the only one beside the text"
        )
    say(f"{path}: the text is taken from the column {chosen[0]!r}, the only one that fits.")
    card = {"kind": "text", "shape": [], "columns": [], "text": chosen[0]}
    return _Roles({name: [header.index(chosen[0])]}, _places(header, labels), _with(card, labels))


def _of_numbers(
    path: Path, header: list[str], rows: list[list[str]], item: tuple[str, Tensor], labels: tuple[str, ...]
) -> _Roles:
    """All columns but the label for the one input, in their order."""
    name, tensor = item
    free = [column for column in header if column not in labels]
    size = columns.width(tensor)
    if not labels and size is not None and len(free) == size + 1:
        words = [column for column in free if not _is_number(rows, header.index(column))]
        if len(words) == 1:
            labels = _guessed(path, words[0], "the only one that holds no numbers")
        else:
            labels = _guessed(path, free[-1], "the last one, because the model takes one column fewer")
        free.remove(labels[0])
    if size is not None and len(free) != size:
        beside = f"beside the label {columns.listed(labels)!r} " if labels else ""
        advice = "" if labels else " --label-column NAME says which one is the label."
        raise ImportRefused(
            f"{path} does not fit the input {columns.described(name, tensor)}: it takes {size} numbers a row, and "
            f"{beside}there are {len(free)} columns: {columns.listed(free)}.{advice}"
        )
    if len(free) > 1:
        say(
            f"{path}: the columns {columns.listed(free)} are taken in their order: the model does not name them."
        )
    # Rows of several axes, such as pixels: a client puts them in the input's shape as they come.
    flat = len([one for one in tensor.row if one != 1]) <= 1
    kind = "table" if flat else "image" if tensor.type_name == "uint8" else None
    shape = [len(free)] if flat else list(tensor.row)
    card = {"kind": kind, "shape": shape, "columns": free}
    return _Roles(
        {name: [header.index(column) for column in free]}, _places(header, labels), _with(card, labels)
    )


def _guessed(path: Path, label: str, why: str) -> tuple[str, ...]:
    say(f"{path}: the label is taken from the column {label!r}, {why} (--label-column NAME).")
    return (label,)


def _say_passed_over(path: Path, names: Sequence[str]) -> None:
    if names:
        say(f"{path}: the model does not take the columns {columns.listed(names)}; they are passed over.")


def _with(card: Mapping[str, object], labels: Sequence[str]) -> dict[str, object]:
    """The card's entry with the label; several columns are the classes, whose names it has elsewhere."""
    return {**card, "label": labels[0]} if len(labels) == 1 else dict(card)


def _places(header: list[str], labels: Sequence[str]) -> list[int]:
    return [header.index(label) for label in labels]


def _is_number(rows: list[list[str]], place: int) -> bool:
    return all(csv_cells.number(row[place], PLAIN) is not None for row in rows[:100])


def _values(
    path: Path, header: list[str], places: list[int], cells: list[list[str]], tensor: Tensor, first: int
) -> np.ndarray:
    """[n,..] of the input's dtype and row shape."""
    if tensor.is_text:
        texts = np.empty((len(cells), len(places)), object)
        texts[:] = [
            [cell.strip().encode() if len(header) > 2 else cell.encode() for cell in row] for row in cells
        ]
        return texts.reshape(len(cells), *_row(tensor, len(places)))
    numbers = np.empty((len(cells), len(places)), np.float64)
    try:
        # NumPy reads plain numbers fast; it reads more than the dialect has, too, which the slow way refuses.
        if any("_" in cell for row in cells for cell in row):
            raise ValueError
        numbers[:] = np.array(cells, str).astype(np.float64)
        if not np.isfinite(numbers).all():
            raise ValueError
    except ValueError:
        for at, row in enumerate(cells):
            for column, cell in enumerate(row):
                value = csv_cells.number(cell, PLAIN)
                # Of a model with a column an input, an empty cell is a missing value, which is NaN.
                if value is None and not cell.strip() and tensor.is_float and len(places) == 1:
                    value = np.nan
                if value is None:
                    raise ImportRefused(
                        f"{path}, row {first + at}, column {header[places[column]]}: expected a number, got {cell!r}."
                    ) from None
                numbers[at, column] = value
    with np.errstate(over="ignore", invalid="ignore"):
        found = numbers.astype(tensor.dtype)
    if not tensor.is_float and (wrong := found != numbers).any():
        at, column = (int(item) for item in np.argwhere(wrong)[0])
        raise ImportRefused(
            f"{path}, row {first + at}, column {header[places[column]]}: the model takes {tensor.type_name}, got "
            f"{cells[at][column]!r}."
        )
    return found.reshape(len(cells), *_row(tensor, len(places)))


def _row(tensor: Tensor, count: int) -> tuple[int, ...]:
    """The shape of a row of so many values."""
    if tensor.shape is None:
        return (count,)
    return tuple(count if size is None else size for size in tensor.row)
