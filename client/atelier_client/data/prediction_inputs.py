"""The inputs of the command `predict`: images, text, JSON lines, or rows of a file, converted for the model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._files import read_bytes
from atelier_client._layout import Layout
from atelier_client.data import image_file
from atelier_client.data.binding import Binding, rows_at_once
from atelier_client.data.image_file import Picture
from atelier_client.data.shapes import fitted
from atelier_client.data.table import Reader
from atelier_client.errors import DataError, InputError
from atelier_client.messages.requests import REQUEST_BYTES, REQUEST_ROWS
from atelier_client.messages.tensors import as_array
from atelier_client.signature import Signature

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
# Lines of JSON or text answered together.
_LINES = 256


@dataclass(frozen=True)
class InputBatch:
    """Some rows of inputs, the name of each row, and the pictures that they were made from, if any."""

    inputs: dict[str, Any]
    names: Sequence[int | str]
    pictures: Sequence[Picture] = ()


def of_images(
    paths: Sequence[Path], signature: Signature, layout: Layout, dark: bool | None
) -> Iterator[InputBatch]:
    """Image files, one a row. Raises `DataError`, also when the model takes no image."""
    info = _only_input(signature, "an image")
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist.")
        picture = image_file.for_input(read_bytes(path), info, layout, str(path), dark)
        pixels: NDArray[Any] = picture.pixels[None]
        if info.dtype == "float32":
            pixels = image_file.as_floats(pixels, layout)
        yield InputBatch({info.name: pixels}, [str(path)], [picture])


def of_texts(texts: Sequence[str], signature: Signature) -> Iterator[InputBatch]:
    """Texts, one a row. Raises `InputError` when the model takes no text."""
    info = _only_input(signature, "text")
    if info.dtype != "string":
        raise InputError(f"{signature.name} takes {info}: that is no text.")
    for first in range(0, len(texts), _LINES):
        part = texts[first : first + _LINES]
        array = fitted(np.array(part, object), info)
        if array is None:
            raise InputError(f"{signature.name} takes {info}: that is not one text a row.")
        yield InputBatch({info.name: array}, list(range(first, first + len(part))))


def of_json_lines(
    lines: Iterable[str], binding: Binding, signature: Signature, layout: Layout, rows: slice
) -> Iterator[InputBatch]:
    """One JSON value a line: an object of inputs by name, or the only input's value. Raises `DataError`.

    null is a missing value, where the model takes such.
    """
    name = binding.source
    wanted: list[tuple[int, dict[str, Any]]] = []
    first = rows.start or 0
    last = rows.stop
    number = 0
    for line_number, line in enumerate(_read(lines, name), 1):
        if not line.strip():
            continue
        if number >= first and (last is None or number < last):
            row = _json_row(line, f"{name}, line {line_number}", signature, layout)
            for column, kind in layout.kinds.items():
                if column in row and row[column] is None:
                    row[column] = math.nan if kind == "number" else ""
            wanted.append((number, row))
        number += 1
        if len(wanted) == _LINES:
            yield _stacked(wanted, binding, signature)
            wanted = []
    if wanted:
        yield _stacked(wanted, binding, signature)
    elif not number:
        raise DataError(
            f"{name} is empty: expected one JSON value a line, such as an object of inputs by name."
        )


def of_reader(reader: Reader, binding: Binding, signature: Signature, rows: slice) -> Iterator[InputBatch]:
    """The rows of a file. Raises `DataError`."""
    start = rows.start or 0
    stop = rows.stop
    if start < 0 or (stop is not None and stop < 0):
        if reader.rows is None:
            raise DataError(f"{reader.name}: --rows counts from the end, which needs a file of known length.")
        start, stop, _ = rows.indices(reader.rows)
    first = 0
    for table in reader.tables(rows_at_once(signature, REQUEST_BYTES, REQUEST_ROWS)):
        count = len(next(iter(table.values())))
        low = max(start - first, 0)
        high = count if stop is None else min(stop - first, count)
        if low < high:
            part = {name: column[low:high] for name, column in table.items()}
            yield InputBatch(binding.inputs(part, first + low), range(first + low, first + high))
        first += count
        if stop is not None and first >= stop:
            return


def parse_rows(text: str) -> slice:
    """`A:B` as in Python, either side may be empty. Raises `DataError`."""
    first, colon, last = text.partition(":")
    try:
        if colon:
            return slice(int(first) if first else None, int(last) if last else None)
        return slice(int(first), int(first) + 1)
    except ValueError:
        raise DataError(f"--rows {text}: expected A:B, such as 0:5, or one number.") from None


def _read(lines: Iterable[str], name: str) -> Iterator[str]:
    try:
        for number, line in enumerate(lines):
            # Windows writes a byte order mark before the first line.
            yield line if number else line.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text: {error}.") from None


def _only_input(signature: Signature, what: str) -> Any:
    required = signature.required
    if len(required) == 1:
        return required[0]
    known = "; ".join(str(info) for info in required)
    raise InputError(
        f"{signature.name} takes {len(required)} inputs ({known}); {what} fills one. Send JSON lines: predict -."
    )


def _json_row(line: str, where: str, signature: Signature, layout: Layout) -> dict[str, Any]:
    # Python reads NaN and Infinity, which JSON does not have. A card says what the model takes: no such number.
    constant = _no_constant if layout.kind is not None else float
    try:
        value = json.loads(line, parse_float=_float, parse_constant=constant, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: it is no JSON ({error}).") from None
    if not isinstance(value, dict):
        value = {_only_input(signature, "a JSON value that is no object").name: value}
    for name in value:
        if name not in signature.inputs:
            raise DataError(
                f"{where}: there is no input {name!r}. Expected "
                f"{'; '.join(str(info) for info in signature.inputs.values())}."
            )
    return value


def _float(text: str) -> float:
    """A number with a fraction or an exponent. Raises `ValueError` for one beyond a double, where Python reads inf."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is beyond a double")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number there; a missing value, where the model takes such, is null")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's values by name. Raises `ValueError` for a name that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _stacked(
    rows: Sequence[tuple[int, dict[str, Any]]], binding: Binding, signature: Signature
) -> InputBatch:
    name = binding.source
    keys = set(rows[0][1])
    for number, row in rows:
        if set(row) != keys:
            raise DataError(
                f"{name}, row {number}: it has {', '.join(sorted(row)) or 'nothing'}, those before "
                f"{', '.join(sorted(keys)) or 'nothing'}."
            )
    inputs: dict[str, Any] = {}
    for key in sorted(keys):
        if key in signature.ragged:
            inputs[key] = [row[key] for _, row in rows]
            continue
        try:
            inputs[key] = binding.given(key, as_array([row[key] for _, row in rows]), rows[0][0])
        except InputError:
            raise DataError(
                f"{name}, rows {rows[0][0]} to {rows[-1][0]}, {key}: the values differ in shape."
            ) from None
    return InputBatch(inputs, [number for number, _ in rows])
