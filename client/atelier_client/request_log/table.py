"""A request log as rows, one an example, and the columns that they have."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client.errors import DataError
from atelier_client.request_log.logged_request import LoggedRequest

# The columns that every row has, before those of its inputs and outputs.
FIXED = ("time", "model", "version", "label", "trace_id", "ms", "transport")
INPUT, OUTPUT = "input.", "output."
# The kind of a column whose cells differ in kind or rank, or are lists of several lengths and None.
MIXED, TEXT, BINARY = "mixed", "text", "binary"

Row = dict[str, Any]


@dataclass
class Columns:
    """The columns of inputs and outputs, each with its kind and rank; a number's kind is its dtype's name."""

    kinds: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, request: LoggedRequest) -> None:
        """Take up those of a request."""
        for name, array in _named(request):
            rank = max(array.ndim - 1, 0) if _is_by_row(array, request.examples) else array.ndim
            seen = (_kind(array), rank)
            known = self.kinds.get(name, seen)
            self.kinds[name] = known if known == seen else _common(known, seen)

    def names(self) -> list[str]:
        """Inputs before outputs, each in the order of the alphabet."""
        return sorted(self.kinds, key=lambda name: (name.startswith(OUTPUT), name))

    def check(self, row: Row) -> None:
        """Raises `DataError` for a row with other columns: the log has changed since they were read."""
        if not row.keys() <= {*FIXED, *self.kinds}:
            more = ", ".join(sorted(row.keys() - {*FIXED, *self.kinds}))
            raise DataError(
                f"The log has got more columns while it was read ({more}). Run the command again."
            )


def rows(request: LoggedRequest) -> Iterator[Row]:
    """The rows of a request: what has a row for each example by row, anything else whole in each of them."""
    fixed: Row = {
        "time": request.time,
        "model": request.model,
        "version": request.version,
        "label": request.label,
        "trace_id": request.trace_id,
        "ms": round(request.seconds * 1e3, 3),
        "transport": request.transport,
    }
    arrays = [(name, array, _is_by_row(array, request.examples)) for name, array in _named(request)]
    for number in range(request.examples):
        row = dict(fixed)
        for name, array, by_row in arrays:
            row[name] = array[number] if by_row else array
        yield row


def plain(value: Any) -> Any:
    """A cell as JSON has it: lists, numbers (None for NaN and infinity), text; bytes that are no UTF-8 in base64."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        text = as_text(value)
        return base64.b64encode(value).decode() if text is None else text
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(value: bytes) -> str | None:
    """The text of UTF-8 bytes, else None."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _named(request: LoggedRequest) -> Iterable[tuple[str, NDArray[Any]]]:
    yield from ((INPUT + name, array) for name, array in request.inputs.items())
    yield from ((OUTPUT + name, array) for name, array in request.outputs.items())


def _is_by_row(array: NDArray[Any], examples: int) -> bool:
    return array.ndim > 0 and len(array) == examples


def _kind(array: NDArray[Any]) -> str:
    if array.dtype != object:
        return MIXED if array.dtype.kind == "c" else array.dtype.name
    items = array.ravel().tolist()
    if not all(isinstance(item, bytes) for item in items):
        return MIXED
    return TEXT if all(as_text(item) is not None for item in items) else BINARY


def _common(one: tuple[str, int], other: tuple[str, int]) -> tuple[str, int]:
    """The kind and rank that hold both."""
    kinds = {one[0], other[0]}
    if one[1] != other[1] or MIXED in kinds:
        return MIXED, 0
    if kinds <= {TEXT, BINARY}:
        return BINARY if BINARY in kinds else TEXT, one[1]
    if kinds & {TEXT, BINARY} or "bool" in kinds:
        return MIXED, 0
    return np.result_type(*kinds).name, one[1]
