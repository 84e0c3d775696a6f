"""Answers of the REST API as text, in the layout of TensorFlow Serving, which uses rapidjson's PrettyWriter.

Layout and texts: util/json_tensor.cc at 2.20.0. In the row form each row is one line, in the column form each number.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from atelier_serving.rest.json.document import decimals, quoted
from atelier_serving.rest.json.large_reader import width
from atelier_serving.status import invalid
from atelier_serving.tensors import dtype_number, type_name

_INDENT = "    "
# The number of values that are written before other threads may run.
_STEP = 8192
# Bytes of a string that count as one value more.
_TEXT_BYTES = 64
# Around the rows of the row form.
_ROWS_START = f'{{\n{_INDENT}"predictions": ['
_ROWS_END = f"\n{_INDENT}]\n}}"
# Arrays of more bytes are not copied to write them at once.
_SMALL_BYTES = 16 * _STEP
_WRITABLE_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")


def longest_text(outputs: Mapping[str, np.ndarray]) -> int:
    """Bytes of memory that writing the longest string of the outputs takes: it is written in one piece."""
    most = 0
    for alias, array in outputs.items():
        item = max(array.flat, key=len, default=b"") if array.dtype == object else b""
        if alias.endswith("_bytes"):
            most = max(most, 4 * len(item))
        else:
            codes = np.frombuffer(item, np.uint8)
            marks = np.count_nonzero(codes == ord('"')) + np.count_nonzero(codes == ord("\\"))
            size = len(item) + 5 * int(np.count_nonzero(codes < ord(" "))) + int(marks)
            # As a string, joined to others, and encoded.
            most = max(most, (2 * width(item) + 1) * size)
    return most


def rows(outputs: Mapping[str, np.ndarray]) -> Iterator[str]:
    """`predictions`, a list with one entry for each row; yields the text piece by piece.

    Raises `ServingError` if the outputs have different batch sizes.
    """
    size = 0
    for alias, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {alias} has no shape information ")
        if size not in (0, len(array)):
            raise invalid(f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)
    bare = len(outputs) == 1
    yield _ROWS_START
    for start, stop in _slabs(size, sum(map(_weight, outputs.values()))):
        if start:
            yield ", " if bare else ","
        yield from _rows({alias: array[start:stop] for alias, array in outputs.items()}, bare)
    yield _ROWS_END if size else "]\n}"


def rows_apart(answers: Sequence[Mapping[str, np.ndarray]]) -> list[str] | None:
    """The texts of `rows` for several small answers that have the same outputs, with a row or more in each.

    Written at once, they take a third of the time. None when they must be written one by one. Raises `ServingError`.
    """
    if sum(array.nbytes for answer in answers for array in answer.values()) > _SMALL_BYTES:
        return None
    together = {alias: np.concatenate([answer[alias] for answer in answers]) for alias in answers[0]}
    if sum(map(_weight, together.values())) > _STEP:
        return None
    bare = len(together) == 1
    texts = iter(_row_texts(together, bare))
    between = ", " if bare else ","
    sizes = [len(next(iter(answer.values()))) for answer in answers]
    return [_ROWS_START + between.join(islice(texts, size)) + _ROWS_END for size in sizes]


def _rows(outputs: Mapping[str, np.ndarray], bare: bool) -> Iterator[str]:
    """The text of some rows, or of one long row, without the brackets around the list."""
    # Depth of a row's values: the document, the list and, for several outputs, the row's object.
    depth = 2 if bare else 3
    names = {alias: "" if bare else f"\n{_INDENT * 3}{quoted(alias)}: " for alias in outputs}
    if any(len(array) == 1 and array.size > _STEP for array in outputs.values()):
        yield "" if bare else f"\n{_INDENT * 2}{{"
        for position, (alias, array) in enumerate(outputs.items()):
            yield ("," if position else "") + names[alias]
            yield from _long_line(alias, array[0], depth + array.ndim - 1)
        yield "" if bare else f"\n{_INDENT * 2}}}"
        return
    yield (", " if bare else ",").join(_row_texts(outputs, bare))


def _row_texts(outputs: Mapping[str, np.ndarray], bare: bool) -> list[str]:
    """The text of each row."""
    depth = 2 if bare else 3
    columns = {
        alias: _inline(_texts(alias, array, depth + array.ndim - 1), array.shape, 1)
        for alias, array in outputs.items()
    }
    if bare:
        (values,) = columns.values()
        return values
    names = [f"\n{_INDENT * 3}{quoted(alias)}: " for alias in columns]
    form = (
        f"\n{_INDENT * 2}{{"
        + ",".join(name.replace("%", "%%") + "%s" for name in names)
        + f"\n{_INDENT * 2}}}"
    )
    return [form % row for row in zip(*columns.values(), strict=True)]


def columns(outputs: Mapping[str, np.ndarray]) -> Iterator[str]:
    """`outputs`, one tensor or an object of tensors; yields the text piece by piece.

    Raises `ServingError` for a type that has no form in JSON.
    """
    depth = 1 if len(outputs) == 1 else 2
    yield f'{{\n{_INDENT}"outputs": ' + ("" if depth == 1 else "{")
    for position, (alias, array) in enumerate(outputs.items()):
        if depth == 2:
            yield ("," if position else "") + f"\n{_INDENT * 2}{quoted(alias)}: "
        yield from _stacked(alias, array, depth)
    yield ("" if depth == 1 else f"\n{_INDENT}}}") + "\n}"


def classification(result: classification_pb2.ClassificationResult) -> str:
    """`results`, for each example a list of [label, score]."""
    scores = [entry.score for row in result.classifications for entry in row.classes]
    numbers = iter(decimals(np.array(scores, np.float32)))
    lines = []
    for row in result.classifications:
        pairs = (f"[{quoted(entry.label)}, {next(numbers)}]" for entry in row.classes)
        lines.append("[" + ", ".join(pairs) + "]")
    return f'{{\n{_INDENT}"results": [{", ".join(lines)}\n{_INDENT}]\n}}'


def regression(result: regression_pb2.RegressionResult) -> str:
    """`results`, one number for each example."""
    values = decimals(np.array([entry.value for entry in result.regressions], np.float32))
    return f'{{\n{_INDENT}"results": [{", ".join(values)}]\n}}'


def error(message: str) -> str:
    """`error`, the message."""
    return f'{{\n{_INDENT}"error": {quoted(message)}\n}}'


def _texts(alias: str, array: np.ndarray, depth: int) -> list[str]:
    """The values of a tensor as JSON texts, in order; `depth` is the depth of a value in the document."""
    flat = np.ravel(array)
    if not flat.size:
        return []
    if flat.dtype == object:
        if alias.endswith("_bytes"):
            start = "{\n" + _INDENT * (depth + 1) + '"b64": "'
            end = '"\n' + _INDENT * depth + "}"
            return [start + base64.b64encode(item).decode() + end for item in flat]
        return [quoted(item.decode("utf-8", "surrogateescape")) for item in flat]
    if flat.dtype in (np.float32, np.float64):
        return decimals(flat)
    if flat.dtype == np.bool_:
        return ["true" if item else "false" for item in flat.tolist()]
    if flat.dtype.name in _WRITABLE_INTEGERS:
        return list(map(str, flat.tolist()))
    number = dtype_number(flat.dtype)
    name = type_name(number) if number != types_pb2.DT_INVALID else str(flat.dtype)
    raise invalid(f"Failed to write JSON value for tensor type: {name}")


def _inline(texts: list[str], shape: tuple[int, ...], levels: int) -> list[str]:
    """Nest the values into lists on one line, for all dimensions but the `levels` outermost."""
    for axis in range(len(shape) - 1, levels - 1, -1):
        texts = ["[" + ", ".join(group) + "]" for group in _groups(texts, shape, axis)]
    return texts


def _long_line(alias: str, array: np.ndarray, depth: int) -> Iterator[str]:
    """A long tensor as lists on one line; yields the text piece by piece. `depth` is the depth of a value."""
    if array.ndim == 0:
        yield from _texts(alias, array, depth)
        return
    yield "["
    for start, stop in _slabs(len(array), _weight(array)):
        yield ", " if start else ""
        part = array[start:stop]
        if stop - start == 1 and part.size > _STEP:
            yield from _long_line(alias, part[0], depth)
        else:
            yield ", ".join(_inline(_texts(alias, part, depth), part.shape, 1))
    yield "]"


def _stacked(alias: str, array: np.ndarray, depth: int) -> Iterator[str]:
    """A tensor as lists, with each value and bracket on its own line; yields the text piece by piece.

    `depth` is the depth of the outermost bracket.
    """
    if array.ndim == 0:
        yield from _texts(alias, array, depth)
        return
    inner = "\n" + _INDENT * (depth + 1)
    outer = "\n" + _INDENT * depth
    yield "["
    for start, stop in _slabs(len(array), _weight(array)):
        yield "," if start else ""
        part = array[start:stop]
        if stop - start == 1 and part.size > _STEP:
            yield inner
            yield from _stacked(alias, part[0], depth + 1)
        else:
            yield inner + ("," + inner).join(
                _lines(_texts(alias, part, depth + array.ndim), part.shape, depth)
            )
    yield f"{outer}]" if len(array) else "]"


def _lines(texts: list[str], shape: tuple[int, ...], depth: int) -> list[str]:
    """Nest the values into lists, each value and bracket on its own line, for all dimensions but the outermost."""
    for axis in range(len(shape) - 1, 0, -1):
        inner = "\n" + _INDENT * (depth + axis + 1)
        outer = "\n" + _INDENT * (depth + axis)
        texts = [
            "[" + inner + ("," + inner).join(group) + outer + "]" if group else "[]"
            for group in _groups(texts, shape, axis)
        ]
    return texts


def _slabs(length: int, values: int) -> Iterator[tuple[int, int]]:
    """Ranges of the first dimension with about _STEP values each; between two of them other threads run."""
    step = max(1, _STEP * length // max(values, 1))
    for start in range(0, length, step):
        yield start, min(start + step, length)


def _weight(array: np.ndarray) -> int:
    """How many values a tensor counts for: a long string for many."""
    return array.size + (sum(map(len, array.flat)) // _TEXT_BYTES if array.dtype == object else 0)


def _groups(texts: list[str], shape: tuple[int, ...], axis: int) -> list[list[str]]:
    size = shape[axis]
    return [texts[start * size : (start + 1) * size] for start in range(math.prod(shape[:axis]))]
