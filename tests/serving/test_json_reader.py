"""The JSON reader by itself: what it reads, and what it says of what it does not read, with rapidjson's offsets."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from atelier_serving.rest.json.reader import Reader
from atelier_serving.status import Code, ServingError
from hypothesis import given
from hypothesis import strategies as st

DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_python_writes_is_read_back(document: Any, ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    assert Reader(body).document() == document


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"Inf", math.inf),
        (b"-Inf", -math.inf),
        (b"-Infinity", -math.inf),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"[1] and more", [1]),
        (b'{"a": 1, "a": 2}', {"a": 1}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\xff"', "\udcff"),
        (b"18446744073709551615", 2**64 - 1),
        (b"123456789012345678901", 123456789012345678901.0),
    ],
)
def test_rapidjson_s_own_dialect_is_read(body: bytes, value: object) -> None:
    assert Reader(body).document() == value


def test_nan_is_read() -> None:
    assert math.isnan(Reader(b"NaN").document())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"  ", "The document is empty. at offset: 2"),
        (b"[1, 2", "Missing a comma or ] after an array element. at offset: 5"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b"{1: 2}", "Missing a name for object member. at offset: 1"),
        (b'{"a" 2}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a": 2', "Missing a comma or } after an object member. at offset: 7"),
        (b"nul", "Invalid value. at offset: 3"),
        (b"-", "Invalid value. at offset: 1"),
        (b"1.", "Miss fraction part in number. at offset: 2"),
        (b"1e", "Miss exponent in number. at offset: 2"),
        (b"1e999", "Number too big to be stored in double. at offset: 0"),
        (b'"abc', "Missing a closing quotation mark in string. at offset: 4"),
        (b'"a\nb"', "Invalid escape character in string. at offset: 2"),
        (b'"\\q"', "Invalid escape character in string. at offset: 1"),
        (b'"\\u12x4"', "Incorrect hex digit after \\u escape in string. at offset: 1"),
        (b'"\\ud800"', "The surrogate pair in string is invalid. at offset: 1"),
        (b'"\\ud800\\u0041"', "The surrogate pair in string is invalid. at offset: 1"),
        (b"[" * 201, "Terminate parsing due to Handler error. at offset: 200"),
    ],
)
def test_an_error_has_rapidjson_s_text_and_offset(body: bytes, error: str) -> None:
    with pytest.raises(ServingError) as raised:
        Reader(body).document()
    assert raised.value.code == Code.INVALID_ARGUMENT
    assert raised.value.message == f"JSON Parse error: {error}"
