"""Answers of the REST API as text, laid out as TensorFlow Serving's writer does: rapidjson's PrettyWriter.

Layout and texts: util/json_tensor.cc at 2.20.0. Rows stand on one line each, columns one number a line.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping

import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from atelier_serving.rest.json.document import decimals, quoted
from atelier_serving.status import invalid
from atelier_serving.tensors import dtype_number, type_name

_INDENT = "    "
_WRITABLE_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")


def rows(outputs: Mapping[str, np.ndarray]) -> str:
    """`predictions`: a list with one entry a row. Raises `ServingError` when the outputs share no batch size."""
    size = 0
    for alias, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {alias} has no shape information ")
        if size not in (0, len(array)):
            raise invalid(f"Tensor name: {alias} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)
    # Depth of a row's values: the document, the list and, for several outputs, the row's object.
    depth = 2 if len(outputs) == 1 else 3
    columns = {
        alias: _inline(_texts(alias, array, depth + array.ndim - 1), array.shape, 1)
        for alias, array in outputs.items()
    }
    if len(outputs) == 1:
        (values,) = columns.values()
        body = ", ".join(values)
    else:
        names = [f"\n{_INDENT * 3}{quoted(alias)}: " for alias in columns]
        body = ",".join(
            f"\n{_INDENT * 2}{{"
            + ",".join(name + text for name, text in zip(names, row, strict=True))
            + f"\n{_INDENT * 2}}}"
            for row in zip(*columns.values(), strict=True)
        )
    ending = f"\n{_INDENT}]" if size else "]"
    return f'{{\n{_INDENT}"predictions": [{body}{ending}\n}}'


def columns(outputs: Mapping[str, np.ndarray]) -> str:
    """`outputs`: one tensor, or an object of them. Raises `ServingError` for a type that JSON has no form for."""
    depth = 1 if len(outputs) == 1 else 2
    texts = {
        alias: _stacked(_texts(alias, array, depth + array.ndim), array.shape, depth)
        for alias, array in outputs.items()
    }
    if len(texts) == 1:
        (body,) = texts.values()
    else:
        inner = ",".join(f"\n{_INDENT * 2}{quoted(alias)}: {text}" for alias, text in texts.items())
        body = f"{{{inner}\n{_INDENT}}}"
    return f'{{\n{_INDENT}"outputs": {body}\n}}'


def classification(result: classification_pb2.ClassificationResult) -> str:
    """`results`: per example a list of [label, score]."""
    scores = [entry.score for row in result.classifications for entry in row.classes]
    numbers = iter(decimals(np.array(scores, np.float32)))
    lines = []
    for row in result.classifications:
        pairs = (f"[{quoted(entry.label)}, {next(numbers)}]" for entry in row.classes)
        lines.append("[" + ", ".join(pairs) + "]")
    return f'{{\n{_INDENT}"results": [{", ".join(lines)}\n{_INDENT}]\n}}'


def regression(result: regression_pb2.RegressionResult) -> str:
    """`results`: one number per example."""
    values = decimals(np.array([entry.value for entry in result.regressions], np.float32))
    return f'{{\n{_INDENT}"results": [{", ".join(values)}]\n}}'


def error(message: str) -> str:
    """`error`: the message."""
    return f'{{\n{_INDENT}"error": {quoted(message)}\n}}'


def _texts(alias: str, array: np.ndarray, depth: int) -> list[str]:
    """Every value of a tensor as JSON, in order; `depth` is that of a value."""
    flat = np.ravel(array)
    if not flat.size:
        return []
    if flat.dtype == object:
        if alias.endswith("_bytes"):
            start, end = "{\n" + _INDENT * (depth + 1) + '"b64": "', '"\n' + _INDENT * depth + "}"
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
    """Values nested into lists on one line, but for the `levels` outermost dimensions."""
    for axis in range(len(shape) - 1, levels - 1, -1):
        texts = ["[" + ", ".join(group) + "]" for group in _groups(texts, shape, axis)]
    return texts


def _stacked(texts: list[str], shape: tuple[int, ...], depth: int) -> str:
    """Values nested into lists, one value or bracket a line; `depth` is that of the outermost bracket."""
    for axis in range(len(shape) - 1, -1, -1):
        inner, outer = "\n" + _INDENT * (depth + axis + 1), "\n" + _INDENT * (depth + axis)
        texts = [
            "[" + inner + ("," + inner).join(group) + outer + "]" if group else "[]"
            for group in _groups(texts, shape, axis)
        ]
    return texts[0]


def _groups(texts: list[str], shape: tuple[int, ...], axis: int) -> list[list[str]]:
    size = shape[axis]
    return [texts[start * size : (start + 1) * size] for start in range(math.prod(shape[:axis]))]
