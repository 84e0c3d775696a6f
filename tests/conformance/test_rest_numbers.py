"""Numbers in JSON: float types round what they cannot hold, and what no double holds is refused (57dac6cd, 2021)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.support.server import RunningServer
from tests.support.wire import ask, http

PREDICT = "/v1/models/toy:predict"
# What is written, the type of the input, and the value that comes back.
ROUNDED = {
    "a whole number beyond 24 bits": ("16777217", "float32", 16777216.0),
    "a negative one": ("-16777219", "float32", -16777220.0),
    "the largest int64 as a float": ("9223372036854775807", "float32", 2.0**63),
    "the largest uint64 as a float": ("18446744073709551615", "float32", 2.0**64),
    "beyond 64 bits": ("18446744073709551617", "float32", 2.0**64),
    "a whole number beyond 53 bits": ("9007199254740993", "float64", 9007199254740992.0),
    "beyond 64 bits as a double": ("36893488147419103233", "float64", 2.0**65),
    "beyond a float": ("1e39", "float32", float("inf")),
    "a whole number beyond a float": ("1" + "0" * 39, "float32", float("inf")),
    "below a float": ("-1e39", "float32", float("-inf")),
    "the largest double": ("1.7976931348623157e308", "float64", 1.7976931348623157e308),
    "smaller than any float": ("1e-60", "float32", 0.0),
    "smaller than any double": ("1e-400", "float64", 0.0),
}  # fmt: skip
FORMS = {
    "a row": '{"signature_name": "type_%s", "instances": [%s]}',
    "a row with its name": '{"signature_name": "type_%s", "instances": [{"x": %s}]}',
    "a column": '{"signature_name": "type_%s", "inputs": [[0.5, %s]]}',
    "a column beside not a number": '{"signature_name": "type_%s", "inputs": [NaN, %s]}',
    "a scalar": '{"signature_name": "type_%s", "inputs": %s}',
}


def leaves(value: Any) -> list[float]:
    """The numbers of an answer, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(("text", "kind", "value"), ROUNDED.values(), ids=ROUNDED)
def test_a_float_type_rounds_what_it_cannot_hold(
    server: RunningServer, form: str, text: str, kind: str, value: float
) -> None:
    code, answer = ask(server, PREDICT, (form % (kind, text)).encode())
    assert code == 200, answer
    # A float is written with nine digits.
    assert np.dtype(kind).type(leaves(answer)[-1]) == value


@pytest.mark.parametrize(
    "text", ["1e999", "-1e999", "1" + "0" * 400, "1" + "0" * 400 + ".5", "123456789e301"]
)
@pytest.mark.parametrize(
    "form",
    [
        '{"instances": [%s]}',
        '{"inputs": {"x": [1, %s]}}',
        '{"signature_name": "type_int32", "instances": [%s]}',
        '{"instances": [1], "parameters": {"ignored": %s}}',
        '{"instances": [NaN, %s]}',
        '{"instances": [1], "instances": [%s]}',
    ],
)
def test_what_no_double_holds_is_refused_at_its_place(server: RunningServer, form: str, text: str) -> None:
    body = form % text
    at = form.index("%s")
    error = f"JSON Parse error: Number too big to be stored in double. at offset: {at}"
    assert ask(server, PREDICT, body.encode()) == (400, {"error": error})


@pytest.mark.parametrize("method", ["regress", "classify"])
def test_examples_round_and_refuse_alike(server: RunningServer, method: str) -> None:
    body = '{"signature_name": "%s", "examples": [{"value": %s}]}'
    path = f"/v1/models/toy:{method}"
    for text in ("1e39", "16777217.0", "36893488147419103233.0", "36893488147419103233"):
        assert http(server, path, (body % (method, text)).encode())[0] == 200
    code, answer = ask(server, path, (body % (method, "1e999")).encode())
    assert (code, answer["error"][:60]) == (
        400,
        "JSON Parse error: Number too big to be stored in double. at ",
    )


def test_a_large_document_is_read_as_a_small_one(server: RunningServer) -> None:
    """Documents above some size are read in another way, a piece at a time."""
    random = np.random.default_rng(1)
    single = random.standard_normal(50_000).astype(np.float32)
    lists: dict[str, tuple[str, list[Any]]] = {
        "floats": ("float32", single.astype(float).tolist()),
        "rows of floats": ("float32", single.reshape(-1, 25).astype(float).tolist()),
        "one long row": ("float64", [random.standard_normal(40_000).tolist()]),
        "bytes": ("uint8", random.integers(0, 256, (50, 40, 30, 3)).tolist()),
        "large whole numbers": ("int64", random.integers(-(2**63), 2**63 - 1, (40, 1000)).tolist()),
        "the largest whole numbers": ("uint64", [[2**64 - 1] * 1000] * 50),
        "whole numbers among floats": ("float64", [[1, 0.5, 7] * 1000] * 20),
        "truth values": ("bool", [[True, False, True]] * 20_000),
        "texts": ("string", ['a"b\\, [', "ä]", "{", "\n", "x:y"] * 9000),
        "long texts": ("string", ["x" * 100_000, "y" * 300_000, ""]),
        "nothing": ("float32", [[]] * 60_000),
    }
    for name, (kind, values) in lists.items():
        for document in (
            {"inputs": values},
            {"instances": values},
            {"instances": [{"x": item} for item in values]},
        ):
            body = json.dumps({"signature_name": f"type_{kind}", **document}).encode()
            assert len(body) > 128 * 1024, name
            code, answer = ask(server, PREDICT, body)
            assert code == 200, (name, answer)
            got = next(iter(answer.values()))
            if kind == "float32":
                assert np.array_equal(np.array(got, np.float32), np.array(values, np.float32)), name
            else:
                assert got == values, name


BEGINNING = '{"instances": [' + "1.5, " * 60_000
LARGE_REFUSED = {
    "no end": ("", "JSON Parse error: Invalid value."),
    "a comma at the end": ("]}", "JSON Parse error: Invalid value."),
    "half a word": ("tru]}", "JSON Parse error: Invalid value."),
    "no closing bracket": ("1}", "JSON Parse error: Missing a comma or ] after an array element."),
    "no fraction": ("1.]}", "JSON Parse error: Miss fraction part in number."),
    "beyond a double": ("1e999]}", "JSON Parse error: Number too big to be stored in double."),
    "no name": ("1], }", "JSON Parse error: Missing a name for object member."),
}  # fmt: skip


@pytest.mark.parametrize(("end", "error"), LARGE_REFUSED.values(), ids=LARGE_REFUSED)
def test_a_fault_in_a_large_document_has_its_text_and_place(
    server: RunningServer, end: str, error: str
) -> None:
    _, small = ask(server, PREDICT, ('{"instances": [1.5, ' + end).encode())
    code, large = ask(server, PREDICT, (BEGINNING + end).encode())
    text, at = small["error"].rsplit(" ", 1)
    further = len(BEGINNING) - len('{"instances": [1.5, ')
    assert text == f"{error} at offset:"
    assert (code, large["error"]) == (400, f"{text} {int(at) + further}")


def test_a_wrong_value_in_a_large_document_is_found(server: RunningServer) -> None:
    for last, error in (
        ('"a"', 'JSON Value: "a" Type: String is not of expected type: float'),
        ("[1]", "Expecting tensor size: 1 but got: 1"),
        ("{}", "Expecting value/list but got object at item 60000 of input list"),
    ):
        code, answer = ask(server, PREDICT, (BEGINNING + last + "]}").encode())
        assert code == 400
        assert "60000" in answer["error"]
        if last != "[1]":
            assert answer["error"].endswith(error)
    whole = '{"signature_name": "type_int32", "instances": [' + "7, " * 60_000 + "7.0]}"
    assert ask(server, PREDICT, whole.encode())[1]["error"].endswith(
        "JSON Value: 7.0 Type: Number is not of expected type: int32"
    )
    rows = '{"instances": [' + "[1.5, 2.5], " * 30_000 + "[1.5]]}"
    assert ask(server, PREDICT, rows.encode())[1]["error"].endswith("Expecting tensor size: 2 but got: 1")


def test_of_equal_names_in_a_large_document_the_first_counts(server: RunningServer) -> None:
    rows = ", ".join(f'{{"x": {row}.5, "x": "no number"}}' for row in range(20_000))
    code, answer = ask(server, PREDICT, f'{{"instances": [{rows}], "instances": 7}}'.encode())
    assert (code, answer["predictions"][-1]) == (200, 39999.0)
