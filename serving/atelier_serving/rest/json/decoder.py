"""JSON to Python's values by parsers written in C, with rapidjson's decisions: of equal names the first counts.

Strings are kept as they came: bytes that are not UTF-8 survive as lone surrogates (PEP 383).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

# A high surrogate without its low one, which Python's decoder lets pass.
_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB](?!..\\u[dD][c-fC-F])")
_SPACE = re.compile(r"[ \t\r\n]*")


def decode(body: bytes) -> tuple[Any, str]:
    """The value that the text begins with, and what follows it. Raises `ValueError` or `RecursionError`.

    What is JSON to the letter goes through orjson, ten times as fast as Python's decoder; NaN, a byte order mark, bytes
    that are no UTF-8 and the like, through Python's. A number that no double holds is refused by both.
    """
    decoder = _EXACT_NUMBERS
    try:
        value = orjson.loads(body)
        if body.count(b":") == _members(value):
            return value, ""
        # Of equal names orjson takes the last. A colon in a text, or a deeper object, leads here, too.
        decoder = _DECODER
    except ValueError:
        if b"\\u" in body and _LONE_SURROGATE.search(body):
            raise
    text = body.decode("utf-8", "surrogateescape")
    start = _SPACE.match(text, text.startswith("\ufeff")).end()  # type: ignore[union-attr]
    value, end = decoder.raw_decode(text, start)
    return value, text[end:]


def _members(value: Any) -> int:
    """How many members the objects of the three outermost levels have together."""
    if isinstance(value, dict):
        return len(value) + sum(map(_members_of_child, value.values()))
    return _members_of_child(value)


def _members_of_child(value: Any) -> int:
    if isinstance(value, dict):
        return len(value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sum(len(item) for item in value if isinstance(item, dict))
    return 0


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        document = dict(reversed(pairs))
        return {key: document[key] for key, _ in pairs}
    return document


def _double(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _number(text: str) -> int | float:
    # Beyond 64 bits rapidjson goes on with a double.
    if len(text) <= 20 and -(2**63) <= (value := int(text)) < 2**64:
        return value
    return _double(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_first_wins)
_EXACT_NUMBERS = json.JSONDecoder(object_pairs_hook=_first_wins, parse_float=_double, parse_int=_number)
