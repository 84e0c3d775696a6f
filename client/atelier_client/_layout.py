"""What a model answers and how the user's tables are laid out, as the model card says (docs/contracts.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# Integers are class numbers, unless class names are numbers: then they are names. Values are a regression's.
LabelKind = Literal["names", "numbers", "integers", "values"]
Kind = Literal["image", "text", "table"]
# What a model answers: the card's `task`.
Task = Literal["classification", "regression", "multi_label"]
TASKS: tuple[Task, ...] = ("classification", "regression", "multi_label")
# What older trainers wrote for the first.
CLASSIFICATIONS = ("classification", "multiclass", "binary", None)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """`label` and `text` are None when the client finds them by name. `columns` are those of training, in order.

    A model with one input for each column has `kinds` ("number" or "category"); `missing` are the cell texts that mean
    "no value".
    `kind` and `shape` are the model's input: [H,W] or [H,W,C] of an image. `whole_pixels`: an input of floats takes
    pixels as they are, 0 to 255, because the model divides them itself.
    """

    kind: Kind | None = None
    shape: tuple[int, ...] = ()
    label: str | None = None
    text: str | None = None
    columns: tuple[str, ...] = ()
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    whole_pixels: bool = False

    @property
    def missing_numbers(self) -> frozenset[float]:
        """The values of those of `missing` that are numbers: with `-999`, `-999.0` is missing too."""
        words = {text.replace(sign, ".") for text in self.missing for sign in {self.decimal, "."}}
        return frozenset(float(word) for word in words if _NUMBER.fullmatch(word))


UNKNOWN = Layout()
