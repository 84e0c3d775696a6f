"""What a model's inputs and outputs are: by its reference and its model card, or guessed from a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from atelier_client._layout import Kind
from atelier_client._model_card import ModelCard

Background = Literal["dark", "light"]


@dataclass(frozen=True)
class Schema:
    """`kind` None: none of the known ones, only the outputs are compared. `class_names` None: not known.

    `columns` and `kinds` are as in a card's `input`; `shape` is that of a picture. `background` and `vocabulary` are
    the reference's; without one, a picture's border is not compared with training's.
    """

    kind: Kind | None
    shape: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    background: Background | None = None
    vocabulary: frozenset[bytes] | None = None


def of_card(card: ModelCard) -> Schema:
    """The schema of a version that has no reference."""
    layout = card.layout
    return Schema(layout.kind, layout.shape, layout.columns, layout.kinds, card.class_names)


def guessed(inputs: Mapping[str, NDArray[Any]]) -> Schema:
    """The schema of a model without a card, from the inputs of one request."""
    if len(inputs) == 1:
        array = next(iter(inputs.values()))
        if array.dtype.name == "uint8" and array.ndim in (3, 4):
            return Schema("image", array.shape[1:])
        if array.dtype == object and array.ndim == 1:
            return Schema("text")
        if array.dtype.kind in "fiu" and array.ndim == 2:
            (name,) = inputs
            return Schema("table", columns=tuple(f"{name}{place}" for place in range(array.shape[1])))
    if inputs and all(array.ndim == 1 for array in inputs.values()):
        kinds = {
            name: "category" if array.dtype == object else "number" for name, array in sorted(inputs.items())
        }
        return Schema("table", columns=tuple(kinds), kinds=kinds)
    return Schema(None)
