"""JSON documents of the REST API as values, and values as the text they have in errors.

A good document goes through decoders written in C. What they refuse is read again byte by byte: it is either one of
the few things rapidjson takes in addition (`Inf`), or the error has to be worded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from atelier_serving.rest.json.decoder import decode
from atelier_serving.rest.json.large_reader import LargeReader
from atelier_serving.rest.json.packed import Packed
from atelier_serving.rest.json.reader import Reader
from atelier_serving.status import invalid

# Longer documents are read a piece at a time; one of this size takes 3 MB of memory at most, and the interpreter for
# 2 ms.
LARGE = 128 * 1024
# util/json_tensor.cc:225-236.
_SHOWN_BYTES = 256


def parse_document(body: bytes, spend: Callable[[int], None] | None = None) -> dict[str, Any]:
    """The request body as a JSON object; of equal keys the first counts. Raises `ServingError`, and what `spend` does.

    With `spend`, which is told of the memory that is taken, the document is read a piece at a time, and its lists of
    numbers are `Packed`.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    if spend:
        value = LargeReader(body, spend).document()
    else:
        try:
            # Text after the document is accepted.
            value, _ = decode(body)
        except (ValueError, RecursionError):
            value = Reader(body).document()
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {shown(value)} Is not object")
    return value


def shown(value: Any) -> str:
    """A JSON value in an error text, as rapidjson's PrettyWriter lays it out, cut at 256 bytes."""
    if isinstance(value, float):
        single = abs(value) <= np.finfo(np.float32).max
        return decimals(np.array([value], np.float32 if single else np.float64))[0]
    text, size = [], 0
    for part in _pretty(value):
        text.append(part)
        size += len(part)
        if size > _SHOWN_BYTES:
            break
    return to_bytes("".join(text))[:_SHOWN_BYTES].decode("utf-8", "ignore")


def kind(value: Any) -> str:
    """rapidjson's name of a value's type."""
    if isinstance(value, bool):
        return str(value)
    kinds = {type(None): "Null", list: "Array", Packed: "Array", dict: "Object", str: "String"}
    return kinds.get(type(value), "Number")


def to_bytes(text: str) -> bytes:
    """A string of the document as the bytes that it was."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def quoted(text: str) -> str:
    """A JSON string literal; nothing but control characters, quotes and backslashes is escaped."""
    return json.dumps(text, ensure_ascii=False)


def decimals(array: np.ndarray) -> list[str]:
    """float32 or float64 [N] as numbers in JSON: six digits when they are enough, else all of them; `1.0`, `NaN`."""
    values = array.tolist()
    texts = ("%g " * len(values) % tuple(values)).split()
    digits = "%.9g" if array.dtype == np.float32 else "%.17g"
    with np.errstate(over="ignore"):
        exact = np.array(texts, np.float64).astype(array.dtype) == array
    for position in np.flatnonzero(~exact):
        texts[position] = digits % values[position]
    for position in np.flatnonzero(~np.isfinite(array)):
        texts[position] = {"nan": "NaN", "inf": "Infinity"}.get(texts[position].lstrip("-"), "")
        if values[position] < 0:
            texts[position] = "-" + texts[position]
    return [
        text if "." in text or "e" in text or "N" in text or "I" in text else f"{text}.0" for text in texts
    ]


def _pretty(value: Any) -> Iterator[str]:
    """The text piece by piece, so that the beginning of a large value costs little.

    Arrays stand on one line, members of objects on one each (JsonValueToDebugString: kFormatSingleLineArray).
    """
    # Entries are texts, or values with their depth.
    stack: list[str | tuple[Any, int]] = [(value, 0)]
    while stack:
        entry = stack.pop()
        if isinstance(entry, str):
            yield entry
            continue
        item, depth = entry
        inner, outer = "\n" + "    " * (depth + 1), "\n" + "    " * depth
        parts: list[str | tuple[Any, int]] = []
        # What is shown is cut: more children than bytes are never needed.
        if isinstance(item, dict):
            for key, child in islice(item.items(), _SHOWN_BYTES):
                parts += [("," if parts else "") + inner + f"{quoted(key)}: ", (child, depth + 1)]
            stack += [(outer if parts else "") + "}", *reversed(parts)]
            yield "{"
        elif isinstance(item, list | Packed):
            for child in islice(item, _SHOWN_BYTES):
                parts += [", ", (child, depth + 1)] if parts else [(child, depth + 1)]
            stack += ["]", *reversed(parts)]
            yield "["
        elif isinstance(item, float):
            yield json.dumps(item)
        else:
            yield quoted(item) if isinstance(item, str) else json.dumps(item)
