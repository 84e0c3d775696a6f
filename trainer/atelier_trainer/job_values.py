"""The values in a job file: numbers, texts and names, and what else YAML may make of them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

# TensorFlow counts sizes and epochs in int32 in places; a larger number is a slip of the pen.
LARGEST_COUNT = 2**31 - 1
# Of every mapping in a job file: an unknown key is an error, and nothing changes after it was read.
SECTION = ConfigDict(extra="forbid", frozen=True)


def _number(value: Any) -> Any:
    """Refuses truth values, which pydantic takes for 0 and 1: `epochs: yes` is no number of epochs."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, got {value}")
    return value


def _stage(value: Any) -> Any:
    """Refuses what is neither a number of filters nor a list of such numbers."""
    filters = value if isinstance(value, list) else [value]
    if not filters or not all(type(item) is int and 1 <= item <= LARGEST_COUNT for item in filters):
        raise ValueError(
            f"expected a number of filters, or a list such as [64, 64] for a stage of several, got {value!r}"
        )
    return value


def _text(value: Any) -> Any:
    """A number becomes its text. YAML reads yes, no, on and off as booleans: as texts they need quotes."""
    if isinstance(value, bool) or value is None:
        raise ValueError(
            f"expected a text, got {value}: YAML reads yes, no, on, off, true, false and null so; write it in quotes"
        )
    return str(value) if isinstance(value, int | float) else value


def texts(value: Any) -> Any:
    """A single text stands for a list with this text only."""
    return [_text(value)] if isinstance(value, str | int | float) else value


def by_text(value: Any) -> Any:
    """Keys as texts. Raises `ValueError` for two that become one: `1` and `"1"` would leave one of the values only."""
    if not isinstance(value, dict):
        return value
    by_text = {_text(key): item for key, item in value.items()}
    if len(by_text) < len(value):
        twice = next(name for name in by_text if sum(_text(key) == name for key in value) > 1)
        raise ValueError(f"the key {twice!r} is there twice, once as a number and once as a text")
    return by_text


def _folder_name(value: str) -> str:
    """Runs and models are folders of this name, and it stands in URLs."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
        raise ValueError(
            f"expected a letter or digit, then letters, digits, _ . or - (it names a folder), got {value!r}"
        )
    return value


Number = Annotated[float, BeforeValidator(_number)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=0, le=LARGEST_COUNT)]
Positive = Annotated[int, BeforeValidator(_number), Field(ge=1, le=LARGEST_COUNT)]
NonNegative = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, lt=1)]
Text = Annotated[str, BeforeValidator(_text)]
Stage = Annotated[int | list[int], BeforeValidator(_stage)]
FolderName = Annotated[str, AfterValidator(_folder_name)]
