"""JSON values to the values of one tensor.

Rules and texts: util/json_tensor.cc at 2.20.0. `dense` reads a whole list at a time, but only a regular list. `Tensor`
reads any other list value by value, in the order of TensorFlow Serving: it accepts the rarer forms, and it finds the
same error first.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from array import array
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from atelier_serving.rest.json.document import kind, shown, to_bytes
from atelier_serving.rest.json.packed import Packed
from atelier_serving.status import Code, ServingError, invalid
from atelier_serving.tensors import MAX_DIMENSIONS, numpy_dtype, type_name

# dtype number: (numpy dtype, the integers that TensorFlow Serving accepts). The narrow types accept any int32 and wrap.
_INT32 = (-(2**31), 2**31 - 1)
_FLOATS = (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)
_INTEGERS: dict[int, tuple[Any, tuple[int, int]]] = {
    types_pb2.DT_INT8: (np.int8, _INT32),
    types_pb2.DT_INT16: (np.int16, _INT32),
    types_pb2.DT_INT32: (np.int32, _INT32),
    types_pb2.DT_INT64: (np.int64, (-(2**63), 2**63 - 1)),
    types_pb2.DT_UINT8: (np.uint8, _INT32),
    types_pb2.DT_UINT32: (np.uint32, (0, 2**32 - 1)),
    types_pb2.DT_UINT64: (np.uint64, (0, 2**64 - 1)),
}
# What is told of the bytes of memory that reading takes; it may raise.
Spend = Callable[[int], object]
# So many values, or characters of base64, are read in one step: between two of them `Spend` is called.
_STEP = 8192
_STEP_CHARACTERS = 64 * 1024
# Bytes of memory that a value takes while a list is changed to an array, without the text of a string.
_VALUE, _STRING = 24, 72
# Errors give these two types their C++ names.
_NAMES = {types_pb2.DT_INT64: "int64_t", types_pb2.DT_UINT64: "uint64_t"}
# Type codes of the array module, for the arrays that collect single values.
_CODES = dict.fromkeys(_FLOATS, "d") | dict.fromkeys(_INTEGERS, "q")
_CODES |= {types_pb2.DT_UINT64: "Q", types_pb2.DT_BOOL: "b"}


def uncounted(size: int) -> None:
    """The `Spend` of a small document."""


def is_list(value: Any) -> bool:
    """Whether a value is a JSON array."""
    return isinstance(value, list | Packed)


def is_base64(value: Any) -> bool:
    """Whether a value is an object with the one key `b64` and a string in it."""
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def decode_base64(value: dict[str, str], spend: Spend = uncounted) -> bytes:
    """The bytes of a `b64` object; padding and white space are optional (absl::Base64Unescape)."""
    text = value["b64"]
    end = len(text.rstrip("=. \t\n\v\f\r"))
    content = io.BytesIO()
    left = ""
    for start in range(0, end, _STEP_CHARACTERS):
        stop = min(start + _STEP_CHARACTERS, end)
        piece = left + "".join(text[start:stop].split())
        size = len(piece) // 4 * 4 if stop < end else len(piece)
        left = piece[size:]
        spend(size)
        try:
            if "=" in piece:
                raise ValueError("padding before the end")
            content.write(base64.b64decode(piece[:size] + "=" * (-size % 4), validate=True))
        except (binascii.Error, ValueError):
            raise invalid("Unable to base64 decode") from None
    return content.getvalue()


def dense(value: list[Any], number: int, spend: Spend = uncounted) -> np.ndarray | None:
    """A regular list of values of one fitting type as an array; None if it must be read value by value."""
    shape: list[int] = []
    level: list[Any] = [value]
    while True:
        kinds = _types(level)
        if kinds == {Packed}:
            return _dense_blocks(level, shape, number, spend)
        if kinds != {list}:
            break
        sizes = set(map(len, level))
        if len(sizes) > 1:
            return None
        shape.append(len(level[0]))
        spend(8 * sum(map(len, level)))
        level = list(chain.from_iterable(level))
    # `kinds` are the types of the innermost values. If one of them is a list, the nesting is irregular.
    if number in _FLOATS and kinds <= {int, float}:
        spend(_VALUE * len(level))
        values = np.fromiter(level, np.float64, len(level))
        return _floats(values, number).reshape(_dimensions(shape))
    if number in _INTEGERS and kinds <= {int}:
        spend(_VALUE * len(level))
        integers = _integers(level, number)
        return None if integers is None else integers.reshape(_dimensions(shape))
    if number == types_pb2.DT_BOOL and kinds <= {bool}:
        return np.array(level, np.bool_).reshape(_dimensions(shape))
    if number == types_pb2.DT_STRING and kinds <= {str}:
        return _strings(_contents(level, spend)).reshape(_dimensions(shape))
    return None


def _types(values: list[Any]) -> set[type]:
    """The types of values. They are nearly always the same, and counting one is faster than a set of all."""
    if len(values) > _STEP:
        return set(map(type, values))
    types = list(map(type, values))
    return {types[0]} if types and types.count(types[0]) == len(types) else set(types)


def _integers(level: list[int], number: int) -> np.ndarray | None:
    """Integers as an array of their type; None if one of them is out of the range that is accepted."""
    if number == types_pb2.DT_UINT8:
        try:
            # Images: five times as fast.
            return np.frombuffer(bytearray(level), np.uint8)
        except ValueError:
            # These wrap, or are out of range.
            pass
    dtype = np.uint64 if number == types_pb2.DT_UINT64 else np.int64
    try:
        wide = np.fromiter(level, dtype, len(level))
    except OverflowError:
        return None
    return wide.astype(_INTEGERS[number][0]) if _in_range(wide, number) else None


def _dimensions(shape: list[int]) -> list[int]:
    """A shape that numpy can have; TensorFlow's limit is 254 dimensions. Raises `ServingError`."""
    if len(shape) > MAX_DIMENSIONS:
        raise invalid(
            f"Lists nested {len(shape)} deep: a tensor has at most {MAX_DIMENSIONS} dimensions here."
        )
    return shape


def _contents(texts: list[str], spend: Spend) -> list[bytes]:
    """The bytes of strings, some at a time."""
    contents: list[bytes] = []
    for start in range(0, len(texts), _STEP):
        some = list(map(to_bytes, texts[start : start + _STEP]))
        spend(sum(map(len, some)) + _STRING * len(some))
        contents += some
    return contents


def _dense_blocks(lists: list[Packed], shape: list[int], number: int, spend: Spend) -> np.ndarray | None:
    """Regular lists as one array; `shape` is the shape in which the lists are nested."""
    forms = {(len(item), block.shape[1:]) for item in lists for block, _ in item.blocks}
    if len(forms) > 1 or number not in (*_FLOATS, *_INTEGERS):
        return None
    ((size, inner),) = forms
    dtype = numpy_dtype(number)
    spend(len(lists) * size * math.prod(inner) * dtype.itemsize)
    array = np.empty((len(lists) * size, *inner), dtype)
    position = 0
    for item in lists:
        for values, whole in item.blocks:
            if number in _FLOATS:
                part = _floats(values.astype(np.float64), number)
            elif values.dtype.kind == "f" or whole is not None or not _in_range(values, number):
                return None
            else:
                part = values.astype(_INTEGERS[number][0])
            array[position : position + len(values)] = part
            position += len(values)
    return array.reshape(_dimensions([*shape, size, *inner]))


def _floats(values: np.ndarray, number: int) -> np.ndarray:
    """float64 to the float type as in C++: rounded, and infinite if too large for it."""
    with np.errstate(over="ignore"):
        return values.astype(numpy_dtype(number))


def _in_range(values: np.ndarray, number: int) -> bool:
    low, high = _INTEGERS[number][1]
    return not values.size or low <= int(values.min()) <= int(values.max()) <= high


class Tensor:
    """One tensor, read value by value. The first values give its shape; each later value must fit that shape."""

    def __init__(self, number: int, spend: Spend = uncounted) -> None:
        self._number = number
        self._spend = spend
        # Numbers are collected in an array of the array module, where each takes 8 bytes.
        self._values: Any = array(_CODES[number]) if number in _CODES else []
        self._row: tuple[int, list[int]] | None = None
        self._shape: list[int] = []

    def add(self, value: Any) -> None:
        """Append the values of a scalar or nested list."""
        self._shape = []
        leaf = value
        while is_list(leaf):
            self._shape.append(len(leaf))
            leaf = leaf[0] if len(leaf) else None
        _dimensions(self._shape)
        self._fill(value, 0)

    def add_row(self, value: Any) -> None:
        """Append one row. It must have the size and shape of the first row."""
        before = len(self._values)
        self.add(value)
        size = len(self._values) - before
        if self._row is None:
            self._row = size, self._shape
        elif size != self._row[0]:
            raise invalid(f"Expecting tensor size: {self._row[0]} but got: {size}")
        elif self._shape != self._row[1]:
            raise invalid(f"Expecting shape {_shape(self._row[1])} but got: {_shape(self._shape)}")

    def stacked(self, rows: int | None = None) -> np.ndarray:
        """The tensor of the added values; with `rows`, the rows stacked along a new first dimension."""
        shape = self._shape if rows is None else _dimensions([rows, *self._shape])
        if self._number == types_pb2.DT_STRING:
            return _strings(self._values).reshape(shape)
        values = np.array(self._values)
        if self._number in _FLOATS:
            return _floats(values.astype(np.float64), self._number).reshape(shape)
        return values.astype(numpy_dtype(self._number)).reshape(shape)

    def _fill(self, value: Any, level: int) -> None:
        rank = len(self._shape)
        if not is_list(value):
            if level != rank:
                raise invalid(
                    f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                    f"Expected at level: {rank}"
                )
            self._values.append(_scalar(value, self._number, self._spend))
            return
        if level >= rank:
            raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
        if len(value) != self._shape[level]:
            raise invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} "
                f"expected size: {self._shape[level]}"
            )
        for position, item in enumerate(value):
            if position % _STEP == 0:
                self._spend(_VALUE * min(_STEP, len(value) - position))
            self._fill(item, level + 1)


def _scalar(value: Any, number: int, spend: Spend) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if number == types_pb2.DT_STRING and isinstance(value, dict):
        if not is_base64(value):
            raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
        return decode_base64(value, spend)
    if isinstance(value, dict):
        raise _wrong_type(value, number)
    if number in _FLOATS:
        if not is_number:
            raise _wrong_type(value, number)
        return float(value)
    if number in _INTEGERS:
        low, high = _INTEGERS[number][1]
        if not is_number or isinstance(value, float) or not low <= value <= high:
            raise _wrong_type(value, number)
        return value
    if number == types_pb2.DT_BOOL and isinstance(value, bool):
        return value
    if number == types_pb2.DT_STRING and isinstance(value, str):
        content = to_bytes(value)
        spend(len(content) + _STRING)
        return content
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
        f"JSON Value: {shown(value)} Type: {kind(value)} is not of expected type: "
        f"{_NAMES.get(number) or type_name(number)}"
    )
