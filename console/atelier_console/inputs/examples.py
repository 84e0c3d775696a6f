"""Ten of the examples that a version was tested on, of as many classes as there are; of a regression the first ten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from atelier_client import Signature
from atelier_client._layout import Layout
from atelier_client._model_card import ModelCard
from atelier_client.data.binding import Binding
from atelier_client.data.image_file import Picture
from atelier_client.evaluation.test_split import open_test_split
from numpy.typing import NDArray

COUNT = 10
# So many of the first are looked through for one of each class.
_LOOKED_AT = 200


@dataclass(frozen=True)
class Example:
    """One test example: its number in the file (from 0), its label, and its row of each input [1,...].

    What a page shows of it: a picture, a text, or the cells of a row.
    """

    number: int
    label: str
    arrays: Mapping[str, NDArray[Any]]
    picture: Picture | None
    text: str | None
    row: Mapping[str, str] | None


def read_examples(data: Path, card: ModelCard, signature: Signature) -> list[Example]:
    """Ten examples of the card's test file. Raises `DataError` when it cannot be read."""
    reader = open_test_split(data, card)
    layout = card.test_layout
    table = next(iter(reader.tables(_LOOKED_AT)))
    binding = Binding(signature, reader.name, row_word=reader.row_word, layout=layout)
    arrays = binding.inputs(table, 0)
    chosen: Mapping[int, str]
    if card.task == "regression":
        chosen = {
            row: f"{value:.6g}" for row, value in enumerate(binding.quantities(table, 0)[:COUNT].tolist())
        }
    else:
        names = card.class_names
        numbers = binding.labels(table, 0, names, len(names)).tolist()
        chosen = {row: names[numbers[row]] for row in _one_of_each(numbers)}
    found = []
    for index, label in chosen.items():
        row = {name: array[index : index + 1] for name, array in arrays.items()}
        found.append(Example(index, label, row, *_shown(card, row, table, index)))
    return found


def _one_of_each(labels: Sequence[int]) -> list[int]:
    """The first example of each class, then the next of each, up to ten, in the order of the classes."""
    turns: dict[int, int] = {}
    order = []
    for index, label in enumerate(labels):
        turns[label] = turns.get(label, 0) + 1
        order.append((turns[label], label, index))
    chosen = sorted(order)[:COUNT]
    return [index for _, index in sorted((label, index) for _, label, index in chosen)]


def _shown(
    card: ModelCard, row: Mapping[str, NDArray[Any]], table: Mapping[str, NDArray[Any]], index: int
) -> tuple[Picture | None, str | None, Mapping[str, str] | None]:
    kind = card.layout.kind
    if kind == "image":
        pixels = next(iter(row.values()))[0]
        if pixels.dtype != np.uint8:
            pixels = np.round(pixels * 255).astype(np.uint8)
        return Picture(pixels.reshape(card.layout.shape), ()), None, None
    if kind == "text":
        value = next(iter(row.values()))[0]
        return None, value.decode(errors="replace") if isinstance(value, bytes) else str(value), None
    cells = {name: str(table[name][index]) for name in card.layout.columns if name in table}
    return None, None, {name: _as_the_user_writes(cell, name, card.layout) for name, cell in cells.items()}


def _as_the_user_writes(cell: str, name: str, layout: Layout) -> str:
    """A cell of the trainer's file, which is in the plain dialect, as the card says that the user's files have it."""
    if layout.kinds and not cell.strip() and layout.missing:
        return layout.missing[0]
    return cell.replace(".", layout.decimal) if layout.kinds.get(name, "number") == "number" else cell
