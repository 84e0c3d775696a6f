"""JSON documents of the REST API to values, and values to the text that errors show.

Decoders written in C read a good document. When they refuse it, `Reader` reads it again byte by byte: either rapidjson
accepts it nevertheless (`Inf`), or the answer needs rapidjson's error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from atelier_serving.rest.json.decoder import decode
from atelier_serving.rest.json.large_reader import LargeReader
from atelier_serving.rest.json.packed import Packed
from atelier_serving.rest.json.reader import Reader
from atelier_serving.status import invalid

# The server reads a longer document a piece at a time. A document of this size needs at most 3 MB of memory, and holds
# the interpreter for 2 ms.
LARGE = 128 * 1024
# util/json_tensor.cc:225-236.
_SHOWN_BYTES = 256
_QUOTED_AT_A_TIME = 256 * 1024


def parse_document(body: bytes, spend: Callable[[int], None] | None = None) -> dict[str, Any]:
    """The request body as a JSON object; of equal keys the first counts.

    With `spend`, the document is read a piece at a time and its lists of numbers become `Packed`. The reader calls
    `spend` with the bytes of memory that it takes. Raises `ServingError` and the errors of `spend`.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    if spend:
        value = LargeReader(body, spend).document()
    else:
        try:
            # TensorFlow Serving accepts text after the document.
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
    text = []
    size = 0
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
    """The bytes that a string of the document had."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def quoted(text: str) -> str:
    """A JSON string literal. It escapes control characters, quotes and backslashes only."""
    if len(text) <= _QUOTED_AT_A_TIME:
        return json.dumps(text, ensure_ascii=False)
    parts = []
    for start in range(0, len(text), _QUOTED_AT_A_TIME):
        parts.append(json.dumps(text[start : start + _QUOTED_AT_A_TIME], ensure_ascii=False)[1:-1])
        # Here another thread may run.
        time.sleep(0)
    return f'"{"".join(parts)}"'


def decimals(array: np.ndarray) -> list[str]:
    """float32 or float64 [N] as JSON numbers: six digits if they give the exact value, otherwise all digits.

    A number without a fraction ends with `.0`; the others that JSON lacks are `NaN`, `Infinity` and `-Infinity`.
    """
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
    """The text piece by piece, so that a caller who needs only the beginning does not pay for the rest.

    An array is on one line, each member of an object on its own line (JsonValueToDebugString: kFormatSingleLineArray).
    """
    # An entry is a text, or a value with its depth.
    stack: list[str | tuple[Any, int]] = [(value, 0)]
    while stack:
        entry = stack.pop()
        if isinstance(entry, str):
            yield entry
            continue
        item, depth = entry
        inner = "\n" + "    " * (depth + 1)
        outer = "\n" + "    " * depth
        parts: list[str | tuple[Any, int]] = []
        # A child needs at least one byte, and the text is cut: so no more children than bytes can appear.
        if isinstance(item, dict):
            for key, child in islice(item.items(), _SHOWN_BYTES):
                parts += [
                    ("," if parts else "") + inner + f"{quoted(key[:_SHOWN_BYTES])}: ",
                    (child, depth + 1),
                ]
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
            yield quoted(item[:_SHOWN_BYTES]) if isinstance(item, str) else json.dumps(item)
