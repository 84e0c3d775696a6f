"""JSON as rapidjson 1.1 reads it and words its errors, which TensorFlow Serving passes on.

A good document goes through Python's own decoder, which is written in C. What that one refuses is read again here, byte
by byte: it is either one of the few things rapidjson takes in addition (`Inf`), or the error has to be worded.
Strings are kept as they came: bytes that are not UTF-8 survive as lone surrogates (PEP 383).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from atelier_serving.status import invalid

# util/json_tensor.cc:225-236.
_SHOWN_BYTES = 256
_SPACE = re.compile(r"[ \t\r\n]*")
# A high surrogate without its low one, which Python lets pass.
_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB](?!..\\u[dD][c-fC-F])")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_DIGITS = re.compile(rb"[0-9]+")
_ESCAPES = {b'"': '"', b"\\": "\\", b"/": "/", b"b": "\b", b"f": "\f", b"n": "\n", b"r": "\r", b"t": "\t"}
_MAX_DEPTH = 200


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
        value = _Reader(body).document()
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


class _Reader:
    """rapidjson's recursive descent: the same decisions in the same order, so the same errors at the same offsets."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at, self._depth = body, 3 if body.startswith(b"\xef\xbb\xbf") else 0, 0

    def document(self) -> Any:
        self._space()
        if self._at >= len(self._body):
            raise self._error("The document is empty.")
        return self._value()

    def _error(self, text: str, offset: int | None = None) -> Exception:
        return invalid(f"JSON Parse error: {text} at offset: {self._at if offset is None else offset}")

    def _peek(self) -> bytes:
        return self._body[self._at : self._at + 1]

    def _take(self, expected: bytes) -> bool:
        found = self._peek() == expected
        self._at += found
        return found

    def _space(self) -> None:
        while self._peek() in (b" ", b"\t", b"\r", b"\n"):
            self._at += 1

    def _value(self) -> Any:
        head = self._peek()
        if head in (b"n", b"t", b"f"):
            return self._word(*{b"n": (b"null", None), b"t": (b"true", True), b"f": (b"false", False)}[head])
        if head == b'"':
            return self._string()
        if head not in (b"{", b"["):
            return self._number()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error("Terminate parsing due to Handler error.")
        value = self._object() if head == b"{" else self._array()
        self._depth -= 1
        return value

    def _word(self, word: bytes, value: Any) -> Any:
        for letter in word:
            if not self._take(bytes([letter])):
                raise self._error("Invalid value.")
        return value

    def _object(self) -> dict[str, Any]:
        self._at += 1
        members: dict[str, Any] = {}
        self._space()
        if self._take(b"}"):
            return members
        while True:
            if self._peek() != b'"':
                raise self._error("Missing a name for object member.")
            name = self._string()
            self._space()
            if not self._take(b":"):
                raise self._error("Missing a colon after a name of object member.")
            self._space()
            members.setdefault(name, self._value())
            self._space()
            if self._take(b"}"):
                return members
            if not self._take(b","):
                raise self._error("Missing a comma or } after an object member.")
            self._space()

    def _array(self) -> list[Any]:
        self._at += 1
        items: list[Any] = []
        self._space()
        if self._take(b"]"):
            return items
        while True:
            items.append(self._value())
            self._space()
            if self._take(b"]"):
                return items
            if not self._take(b","):
                raise self._error("Missing a comma or ] after an array element.")
            self._space()

    def _string(self) -> str:
        self._at += 1
        text: list[str] = []
        start = self._at
        while True:
            head = self._peek()
            if head == b"\\" or head == b'"':
                text.append(self._body[start : self._at].decode("utf-8", "surrogateescape"))
                if self._take(b'"'):
                    return "".join(text)
                text.append(self._escape())
                start = self._at
            elif head in (b"", b"\0"):
                raise self._error("Missing a closing quotation mark in string.")
            elif head < b" ":
                raise self._error("Invalid escape character in string.")
            else:
                self._at += 1

    def _escape(self) -> str:
        offset = self._at
        self._at += 1
        letter = self._peek()
        self._at += 1
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter != b"u":
            raise self._error("Invalid escape character in string.", offset)
        code = self._hex(offset)
        if 0xD800 <= code <= 0xDBFF:
            if not (self._take(b"\\") and self._take(b"u")):
                raise self._error("The surrogate pair in string is invalid.", offset)
            low = self._hex(offset)
            if not 0xDC00 <= low <= 0xDFFF:
                raise self._error("The surrogate pair in string is invalid.", offset)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        return chr(code)

    def _hex(self, offset: int) -> int:
        digits = self._body[self._at : self._at + 4]
        if not re.fullmatch(rb"[0-9a-fA-F]{4}", digits):
            raise self._error("Incorrect hex digit after \\u escape in string.", offset)
        self._at += 4
        return int(digits, 16)

    def _number(self) -> int | float:
        start = self._at
        sign = -1.0 if self._take(b"-") else 1.0
        if self._take(b"N"):
            return self._word(b"aN", float("nan"))
        if self._take(b"I"):
            self._word(b"nf", None)
            return self._word(b"inity", sign * float("inf")) if self._peek() == b"i" else sign * float("inf")
        match = _NUMBER.match(self._body, start)
        if not match:
            raise self._error("Invalid value.")
        self._at = match.end()
        whole = True
        if self._take(b"."):
            self._digits("Miss fraction part in number.")
            whole = False
        if self._take(b"e") or self._take(b"E"):
            _ = self._take(b"+") or self._take(b"-")
            self._digits("Miss exponent in number.")
            whole = False
        text = self._body[start : self._at]
        # Longer than any 64-bit integer: rapidjson goes on with a double.
        if whole and len(text) <= 20:
            return int(text)
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise self._error("Number too big to be stored in double.", start)
        return value

    def _digits(self, error: str) -> None:
        match = _DIGITS.match(self._body, self._at)
        if not match:
            raise self._error(error)
        self._at = match.end()
