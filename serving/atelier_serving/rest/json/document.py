"""JSON documents of the REST API as values, and values as the text they have in errors.

A good document goes through Python's own decoder, which is written in C. What that one refuses is read again byte by
byte: it is either one of the few things rapidjson takes in addition (`Inf`), or the error has to be worded.
Strings are kept as they came: bytes that are not UTF-8 survive as lone surrogates (PEP 383).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from atelier_serving.rest.json.reader import Reader
from atelier_serving.status import invalid

# util/json_tensor.cc:225-236.
_SHOWN_BYTES = 256
_SPACE = re.compile(r"[ \t\r\n]*")
# A high surrogate without its low one, which Python lets pass.
_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB](?!..\\u[dD][c-fC-F])")


def parse_document(body: bytes) -> dict[str, Any]:
    """The request body as a JSON object; of equal keys the first counts. Raises `ServingError`."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    text = body.decode("utf-8", "surrogateescape")
    start = _SPACE.match(text, text.startswith("\ufeff")).end()  # type: ignore[union-attr]
    try:
        if b"\\u" in body and _LONE_SURROGATE.search(body):
            raise ValueError
        # Text after the document is accepted.
        value, _ = _DECODER.raw_decode(text, start)
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
    return {type(None): "Null", list: "Array", dict: "Object", str: "String"}.get(type(value), "Number")


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


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        document = dict(reversed(pairs))
        return {key: document[key] for key, _ in pairs}
    return document


_DECODER = json.JSONDecoder(object_pairs_hook=_first_wins)


def _pretty(value: Any) -> Iterator[str]:
    """The text piece by piece, so that the beginning of a large value costs little."""
    # Entries are texts, or values with their depth.
    stack: list[str | tuple[Any, int]] = [(value, 0)]
    while stack:
        entry = stack.pop()
        if isinstance(entry, str):
            yield entry
            continue
        item, depth = entry
        inner, outer = "\n" + "    " * (depth + 1), "\n" + "    " * depth
        if isinstance(item, list | dict) and item:
            opening, closing = "{}" if isinstance(item, dict) else "[]"
            # What is shown is cut: more children than bytes are never needed.
            children = list(item.items() if isinstance(item, dict) else enumerate(item[:_SHOWN_BYTES]))
            parts: list[str | tuple[Any, int]] = []
            for position, (key, child) in enumerate(children):
                name = f"{quoted(key)}: " if isinstance(item, dict) else ""
                parts += [("," if position else "") + inner + name, (child, depth + 1)]
            stack += [outer + closing, *reversed(parts)]
            yield opening
        elif isinstance(item, list | dict):
            yield "{}" if isinstance(item, dict) else "[]"
        elif isinstance(item, float):
            yield json.dumps(item)
        else:
            yield quoted(item) if isinstance(item, str) else json.dumps(item)
