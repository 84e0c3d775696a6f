"""JSON values to the values of one tensor.

Rules and texts: util/json_tensor.cc at 2.20.0. A tensor is first read by whole lists at a time, which only accepts what
is regular; anything else is read again value by value, in TensorFlow Serving's order, for its error or rarer forms.
"""

from __future__ import annotations

import base64
import binascii
import math
from itertools import chain
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from atelier_serving.rest.json.document import kind, shown, to_bytes
from atelier_serving.status import Code, ServingError, invalid
from atelier_serving.tensors import numpy_dtype, type_name

# dtype number: (numpy dtype, the integers that TensorFlow Serving lets in). The narrow types take any int32 and wrap.
_INT32, _FLOATS = (-(2**31), 2**31 - 1), (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)
_INTEGERS: dict[int, tuple[Any, tuple[int, int]]] = {
    types_pb2.DT_INT8: (np.int8, _INT32),
    types_pb2.DT_INT16: (np.int16, _INT32),
    types_pb2.DT_INT32: (np.int32, _INT32),
    types_pb2.DT_INT64: (np.int64, (-(2**63), 2**63 - 1)),
    types_pb2.DT_UINT8: (np.uint8, _INT32),
    types_pb2.DT_UINT32: (np.uint32, (0, 2**32 - 1)),
    types_pb2.DT_UINT64: (np.uint64, (0, 2**64 - 1)),
}
# Integers a float type holds exactly, and its largest value.
_EXACT = {types_pb2.DT_FLOAT: 2**24 - 1, types_pb2.DT_DOUBLE: 2**53 - 1}
_LARGEST = {types_pb2.DT_FLOAT: float(np.finfo(np.float32).max), types_pb2.DT_DOUBLE: math.inf}


def lossless(value: float, number: int) -> bool:
    """Whether a float type holds a JSON number (IsLosslessDecimal)."""
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return abs(value) <= _EXACT[number]
    value = as_double(value)
    return not math.isfinite(value) or abs(value) <= _LARGEST[number]


def as_double(value: float) -> float:
    """A JSON number as a double; beyond the largest, infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def lossy(value: float, target: str) -> ServingError:
    """A number that a float type does not hold."""
    return invalid(f"Cannot convert JSON value: {shown(value)} to {target} without loss of precision.")


def is_base64(value: Any) -> bool:
    """Whether a value is an object with the one key `b64` and a string in it."""
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def decode_base64(value: dict[str, str]) -> bytes:
    """The bytes of a `b64` object; padding and white space are optional (absl::Base64Unescape)."""
    text = "".join(value["b64"].split()).rstrip("=.")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def dense(value: list[Any], number: int) -> np.ndarray | None:
    """A regular list of values of one fitting type as an array; None when it needs a closer look."""
    shape: list[int] = []
    level: list[Any] = [value]
    while True:
        kinds = set(map(type, level))
        if kinds != {list}:
            break
        sizes = set(map(len, level))
        if len(sizes) > 1:
            return None
        shape.append(len(level[0]))
        level = list(chain.from_iterable(level))
    # The innermost kinds, once and for all: a list among them means that the nesting is not the same everywhere.
    if number in _FLOATS and kinds <= {int, float}:
        whole = kinds == {int}
        integers = level if whole else [item for item in level if type(item) is int] if int in kinds else []
        if integers and (max(integers) > _EXACT[number] or min(integers) < -_EXACT[number]):
            return None
        numbers = np.array(level, np.float64)
        if number == types_pb2.DT_FLOAT and np.any(np.abs(numbers) > _LARGEST[number]):
            return None
        return numbers.astype(numpy_dtype(number)).reshape(shape)
    if number in _INTEGERS and kinds <= {int}:
        low, high = _INTEGERS[number][1]
        if level and not low <= min(level) <= max(level) <= high:
            return None
        wide = np.array(level, np.uint64 if number == types_pb2.DT_UINT64 else np.int64)
        return wide.astype(_INTEGERS[number][0]).reshape(shape)
    if number == types_pb2.DT_BOOL and kinds <= {bool}:
        return np.array(level, np.bool_).reshape(shape)
    if number == types_pb2.DT_STRING and kinds <= {str}:
        return _strings([to_bytes(item) for item in level]).reshape(shape)
    return None


class Tensor:
    """One tensor, value by value: the shape is that of the first values, and every later one has to fit it."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._values: list[Any] = []
        self._row: tuple[int, list[int]] | None = None
        self._shape: list[int] = []

    def add(self, value: Any) -> None:
        """Append the values of a scalar or nested list."""
        self._shape, leaf = [], value
        while isinstance(leaf, list):
            self._shape.append(len(leaf))
            leaf = leaf[0] if leaf else None
        self._fill(value, 0)

    def add_row(self, value: Any) -> None:
        """Append one row, of the size and shape of the first."""
        before = len(self._values)
        self.add(value)
        size = len(self._values) - before
        if self._row is None:
            self._row = size, self._shape
        elif size != self._row[0]:
            raise invalid(f"Expecting tensor size: {self._row[0]} but got: {size}")
        elif self._shape != self._row[1]:
            raise invalid(f"Expecting shape {_shape(self._row[1])} but got: {_shape(self._shape)}")

    def array(self, rows: int | None = None) -> np.ndarray:
        """What was added: one tensor, or `rows` of them stacked."""
        shape = self._shape if rows is None else [rows, *self._shape]
        if self._number == types_pb2.DT_STRING:
            return _strings(self._values).reshape(shape)
        if self._number in _INTEGERS:
            wide = np.array(self._values, np.uint64 if self._number == types_pb2.DT_UINT64 else np.int64)
            return wide.astype(_INTEGERS[self._number][0]).reshape(shape)
        return np.array(self._values, numpy_dtype(self._number)).reshape(shape)

    def _fill(self, value: Any, level: int) -> None:
        rank = len(self._shape)
        if not isinstance(value, list):
            if level != rank:
                raise invalid(
                    f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                    f"Expected at level: {rank}"
                )
            self._values.append(_scalar(value, self._number))
            return
        if level >= rank:
            raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
        if len(value) != self._shape[level]:
            raise invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} "
                f"expected size: {self._shape[level]}"
            )
        for item in value:
            self._fill(item, level + 1)


def _scalar(value: Any, number: int) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if number == types_pb2.DT_STRING and isinstance(value, dict):
        if not is_base64(value):
            raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
        return decode_base64(value)
    if isinstance(value, dict):
        raise _wrong_type(value, number)
    if number in _FLOATS:
        if not is_number:
            raise _wrong_type(value, number)
        if not lossless(value, number):
            raise lossy(value, type_name(number))
        return as_double(value)
    if number in _INTEGERS:
        low, high = _INTEGERS[number][1]
        if not is_number or isinstance(value, float) or not low <= value <= high:
            raise _wrong_type(value, number)
        return value
    if number == types_pb2.DT_BOOL and isinstance(value, bool):
        return value
    if number == types_pb2.DT_STRING and isinstance(value, str):
        return to_bytes(value)
    if number in (types_pb2.DT_BOOL, types_pb2.DT_STRING):
        raise _wrong_type(value, number)
    text = f"Conversion of JSON Value: {shown(value)} to type: {type_name(number)}"
    raise ServingError(Code.UNIMPLEMENTED, text)


def _strings(items: list[bytes]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _shape(sizes: list[int]) -> str:
    return "[" + ",".join(map(str, sizes)) + "]"


def _wrong_type(value: Any, number: int) -> ServingError:
    return invalid(
        f"JSON Value: {shown(value)} Type: {kind(value)} is not of expected type: {type_name(number)}"
    )
