"""Copies inputs, so that the caller may write to its own as soon as it has its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

# What an element of a list takes, about.
_ELEMENT_BYTES = 32


def snapshot(inputs: Any) -> Any:
    """The same values in containers of their own: arrays, lists and mappings are copied, the rest cannot change."""
    if isinstance(inputs, Mapping):
        return {name: snapshot(value) for name, value in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        # Rows of rows, or a row of values: looking at each value would take as long as sending them.
        nested = bool(inputs) and not isinstance(inputs[0], (str, bytes, int, float))
        return [snapshot(value) for value in inputs] if nested else list(inputs)
    if isinstance(inputs, np.ndarray) or hasattr(inputs, "__array__"):
        return np.array(inputs)
    return inputs


def size_of(inputs: Any) -> int:
    """About how many bytes the values take, without looking at each."""
    if isinstance(inputs, Mapping):
        return sum(map(size_of, inputs.values()))
    if isinstance(inputs, (list, tuple)):
        return len(inputs) * max(_ELEMENT_BYTES, size_of(inputs[0])) if inputs else 0
    if isinstance(inputs, (str, bytes)):
        return len(inputs)
    return int(getattr(inputs, "nbytes", _ELEMENT_BYTES))


def row(inputs: Any, number: int, rows: int) -> dict[str, Any]:
    """That row of each input that has so many rows; an input without a name is called `inputs`."""
    named = inputs if isinstance(inputs, Mapping) else {"inputs": inputs}
    return {
        str(name): value[number]
        for name, value in named.items()
        if (isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim)) and len(value) == rows
    }
