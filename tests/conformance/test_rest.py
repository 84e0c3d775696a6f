"""REST predict, classify and regress, one row a fact: a body, its HTTP status, its exact text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.support.server import Address
from tests.support.wire import ask, http

PREDICT = "/v1/models/toy:predict"
ELEMENT = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "


def signature(name: str, **body: Any) -> dict[str, Any]:
    return {"signature_name": name, **body}


def pretty(document: Any) -> str:
    return json.dumps(document, indent=4)


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


ANSWERED = {
    "rows": ({"instances": [1, 2.5]}, {"predictions": [2.0, 5.0]}),
    "a row of several values": ({"instances": [[1, 2], [3, 4]]}, {"predictions": [[2.0, 4.0], [6.0, 8.0]]}),
    "rows with the input's name": ({"instances": [{"x": 1}, {"x": 3}]}, {"predictions": [2.0, 6.0]}),
    "column": ({"inputs": [1, 2]}, {"outputs": [2.0, 4.0]}),
    "column with the input's name": ({"inputs": {"x": [1]}}, {"outputs": [2.0]}),
    "extra names in a column": ({"inputs": {"x": [1], "extra": 0}}, {"outputs": [2.0]}),
    "other keys": ({"instances": [1], "parameters": {}}, {"predictions": [2.0]}),
    "an empty signature name": (signature("", instances=[1]), {"predictions": [2.0]}),
    "a scalar": (signature("scalar", inputs=True), {"outputs": False}),
    "a scalar with its name": (signature("scalar", inputs={"flag": False}), {"outputs": True}),
    "several outputs by row": (
        signature("echo", instances=[{"text": b64(b"hi"), "number": 4}]),
        {"predictions": [{"number": 5, "raw_bytes": b64(b"hi"), "text": "hi"}]},
    ),
    "several outputs by column": (
        signature("echo", inputs={"text": ["a"], "number": [1]}),
        {"outputs": {"number": [2], "raw_bytes": [b64(b"a")], "text": ["a"]}},
    ),
    "base64 rows": (
        signature("bytes", instances=[b64(b"\0\xff"), b64(b"b")]),
        {"predictions": [b64(b"\0\xff"), b64(b"b")]},
    ),
    "base64 in lists": (
        signature("bytes", instances=[[b64(b"x")], ["y"]]),
        {"predictions": [[b64(b"x")], [b64(b"y")]]},
    ),
    "a base64 column": (signature("bytes", inputs=b64(b"x")), {"outputs": b64(b"x")}),
    "base64 without padding": (signature("bytes", instances=[{"b64": "YQ"}]), {"predictions": [b64(b"a")]}),
    "no rows": (signature("type_float32", inputs=[]), {"outputs": []}),
    "rows of nothing": (signature("type_float32", instances=[[], []]), {"predictions": [[], []]}),
    "int8 wraps": (signature("type_int8", instances=[128, -129, 5]), {"predictions": [-128, 127, 5]}),
    "uint8 wraps": (signature("type_uint8", instances=[256, -1]), {"predictions": [0, 255]}),
    "int16 wraps": (signature("type_int16", instances=[32768]), {"predictions": [-32768]}),
    "int32": (signature("type_int32", instances=[-(2**31), 2**31 - 1]), {"predictions": [-(2**31), 2**31 - 1]}),
    "uint32": (signature("type_uint32", instances=[0, 2**32 - 1]), {"predictions": [0, 2**32 - 1]}),
    "int64": (signature("type_int64", instances=[-(2**63), 2**63 - 1]), {"predictions": [-(2**63), 2**63 - 1]}),
    "uint64": (signature("type_uint64", instances=[0, 2**64 - 1]), {"predictions": [0, 2**64 - 1]}),
    "double": (signature("type_float64", instances=[0.1, 1e300]), {"predictions": [0.1, 1e300]}),
    "bool": (signature("type_bool", instances=[True, False]), {"predictions": [True, False]}),
    "string": (signature("type_string", instances=["ä", 'a"b\\\n']), {"predictions": ["ä", 'a"b\\\n']}),
}  # fmt: skip
# Bodies that no JSON library would write.
ANSWERED_RAW = {
    "text after the document": (b'{"instances": [1]} x', b"2.0"),
    "byte order mark": (b'\xef\xbb\xbf{"instances": [1]}', b"2.0"),
    "the first of two": (b'{"instances": [1], "instances": [9]}', b"2.0"),
    "not a number": (b'{"instances": [NaN, Infinity, -Infinity]}', b"NaN, Infinity, -Infinity"),
    "short infinity": (b'{"instances": [Inf, -Inf]}', b"Infinity, -Infinity"),
    "escaped key": (b'{"\\u0069nstances": [1]}', b"2.0"),
    "text that is no UTF-8": (b'{"signature_name": "type_string", "instances": ["\xff"]}', b'"\xff"'),
}
FORMATTED = {
    "rows": ({"instances": [1, 2]}, '{\n    "predictions": [2.0, 4.0\n    ]\n}'),
    "rows of rows": ({"instances": [[1], [2]]}, '{\n    "predictions": [[2.0], [4.0]\n    ]\n}'),
    "rows of several outputs": (
        signature("echo", instances=[{"text": "a", "number": 1}, {"text": "b", "number": 2}]),
        '{\n    "predictions": [\n'
        '        {\n            "number": 2,\n'
        '            "raw_bytes": {\n                "b64": "YQ=="\n            },\n'
        '            "text": "a"\n        },\n'
        '        {\n            "number": 3,\n'
        '            "raw_bytes": {\n                "b64": "Yg=="\n            },\n'
        '            "text": "b"\n        }\n    ]\n}',
    ),
    "column": ({"inputs": [1]}, '{\n    "outputs": [\n        2.0\n    ]\n}'),
    "column of several outputs": (
        signature("echo", inputs={"text": ["a"], "number": [1]}),
        '{\n    "outputs": {\n        "number": [\n            2\n        ],\n        "raw_bytes": [\n            {\n'
        '                "b64": "YQ=="\n            }\n        ],\n'
        '        "text": [\n            "a"\n        ]\n    }\n}',
    ),
    "six digits when they are enough": (
        signature("type_float32", instances=[0.1, 9e6, 3e-5, 123456, 16777215, 0.123456789]),
        '{\n    "predictions": [0.1, 9e+06, 3e-05, 123456.0, 16777215.0, 0.123456791\n    ]\n}',
    ),
    "seventeen digits for a double": (
        signature("type_float64", instances=[0.1, 1 / 3]),
        '{\n    "predictions": [0.1, 0.33333333333333331\n    ]\n}',
    ),
}  # fmt: skip
REFUSED = {
    "empty": (b"", 400, "JSON Parse error: The document is empty"),
    "blank": (b"  ", 400, "JSON Parse error: The document is empty. at offset: 2"),
    "no name": (b"{", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
    "no colon": (
        b'{"a"',
        400,
        "JSON Parse error: Missing a colon after a name of object member. at offset: 4",
    ),
    "no value": (b'{"a":', 400, "JSON Parse error: Invalid value. at offset: 5"),
    "no closing brace": (
        b'{"a":1',
        400,
        "JSON Parse error: Missing a comma or } after an object member. at offset: 6",
    ),
    "comma at the end": (
        b'{"a":1,}',
        400,
        "JSON Parse error: Missing a name for object member. at offset: 7",
    ),
    "no closing bracket": (b"[1", 400, "JSON Parse error: Missing a comma or ] after an array element. at offset: 2"),
    "comma at a list's end": (b"[1,]", 400, "JSON Parse error: Invalid value. at offset: 3"),
    "half a word": (b'{"a": tru}', 400, "JSON Parse error: Invalid value. at offset: 9"),
    "no digits": (b'{"a": -}', 400, "JSON Parse error: Invalid value. at offset: 7"),
    "no fraction": (b'{"a": 1.}', 400, "JSON Parse error: Miss fraction part in number. at offset: 8"),
    "no exponent": (b'{"a": 1e}', 400, "JSON Parse error: Miss exponent in number. at offset: 8"),
    "no closing quote": (
        b'{"a": "x',
        400,
        "JSON Parse error: Missing a closing quotation mark in string. at offset: 8",
    ),
    "no such escape": (
        b'{"a": "\\x"}',
        400,
        "JSON Parse error: Invalid escape character in string. at offset: 7",
    ),
    "no hex digit": (
        b'{"a": "\\u12g4"}',
        400,
        "JSON Parse error: Incorrect hex digit after \\u escape in string. at offset: 7",
    ),
    "half a surrogate pair": (
        b'{"a": "\\ud800"}',
        400,
        "JSON Parse error: The surrogate pair in string is invalid. at offset: 7",
    ),
    "not an object": ([1], 400, "JSON Value: [1] Is not object"),
    "a number": (b"1.5", 400, "JSON Value: 1.5 Is not object"),
    "neither key": ({}, 400, "Missing 'inputs' or 'instances' key"),
    "both keys": (
        {"instances": [1], "inputs": [1]},
        400,
        "JSON Value: {\n    \"instances\": [1],\n    \"inputs\": [1]\n} Not formatted correctly expecting only one of "
        "'inputs' or 'instances' keys to exist ",
    ),
    "signature name that is no string": (
        {"signature_name": 1},
        400,
        f"JSON Value: {pretty({'signature_name': 1})} not formatted correctly. "
        "'signature_name' key must be a string value.",
    ),
    "unknown signature": (
        signature("nix", instances=[1]),
        400,
        'Serving signature name: "nix" not found in signature def',
    ),
    "the init op": (
        signature("__saved_model_init_op", instances=[1]),
        400,
        "Failed to get input map for signature: __saved_model_init_op",
    ),
    "instances that are no list": (
        {"instances": 1},
        400,
        f"JSON Value: {pretty({'instances': 1})} Expecting 'instances' to be an list/array",
    ),
    "no instances": ({"instances": []}, 400, f"JSON Value: {pretty({'instances': []})} No values in 'instances' array"),
    "text for a number": (
        {"instances": [1, "a"]},
        400,
        ELEMENT.format(1) + 'JSON Value: "a" Type: String is not of expected type: float',
    ),
    "null": ({"inputs": [None]}, 400, "JSON Value: null Type: Null is not of expected type: float"),
    "true for a number": ({"inputs": [True]}, 400, "JSON Value: true Type: True is not of expected type: float"),
    "an object for a number": (
        {"inputs": [{"a": 1}]},
        400,
        f"JSON Value: {pretty({'a': 1})} Type: Object is not of expected type: float",
    ),
    "base64 for a number": (
        {"inputs": b64(b"x")},
        400,
        f"JSON Value: {pretty(b64(b'x'))} Type: Object is not of expected type: float",
    ),
    "a number for text": (
        signature("type_string", inputs=[1]),
        400,
        "JSON Value: 1 Type: Number is not of expected type: string",
    ),
    "a number for a truth value": (
        signature("type_bool", inputs=[1]),
        400,
        "JSON Value: 1 Type: Number is not of expected type: bool",
    ),
    "a fraction for a whole number": (
        signature("type_int32", inputs=[1.0]),
        400,
        "JSON Value: 1.0 Type: Number is not of expected type: int32",
    ),
    "too large for int32": (
        signature("type_int32", inputs=[2**31]),
        400,
        "JSON Value: 2147483648 Type: Number is not of expected type: int32",
    ),
    "too large for uint32": (
        signature("type_uint32", inputs=[2**32]),
        400,
        "JSON Value: 4294967296 Type: Number is not of expected type: uint32",
    ),
    "negative for uint64": (
        signature("type_uint64", inputs=[-1]),
        400,
        "JSON Value: -1 Type: Number is not of expected type: uint64_t",
    ),
    "uint16": (signature("type_uint16", inputs=[0]), 501, "Conversion of JSON Value: 0 to type: uint16"),
    "half": (signature("type_half", inputs=[0]), 400, 'Serving signature name: "type_half" not found in signature def'),
    "float16": (signature("type_float16", inputs=[0.5]), 501, "Conversion of JSON Value: 0.5 to type: half"),
    "float16 by row": (
        signature("type_float16", instances=[0]),
        400,
        "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: "
        "Conversion of JSON Value: 0 to type: half",
    ),
    "bfloat16": (signature("type_bfloat16", inputs=[0]), 501, "Conversion of JSON Value: 0 to type: bfloat16"),
    "a list too long": (
        {"inputs": [[1], [2, 3]]},
        400,
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    "a list too deep": ({"inputs": [1, [2]]}, 400, "Encountered list at unexpected level: 1 expected < 1"),
    "a value too early": (
        {"inputs": [[1], 2]},
        400,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    "rows of different size": (
        {"instances": [[1, 2], [3]]},
        400,
        ELEMENT.format(1) + "Expecting tensor size: 2 but got: 1",
    ),
    "rows of different shape": (
        {"instances": [[[1, 2]], [[3], [4]]]},
        400,
        ELEMENT.format(1) + "Expecting shape [1,2] but got: [2,1]",
    ),
    "an object among lists": (
        {"instances": [1, {"x": 1}]},
        400,
        "Expecting value/list but got object at item 1 of input list",
    ),
    "a list among objects": (
        {"instances": [{"x": 1}, 1]},
        400,
        "Expecting object but got list at item 1 of input list",
    ),
    "an unknown name in a row": (
        {"instances": [{"x": 1, "z": 2}]},
        400,
        "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: z",
    ),
    "a wrong value under a name": (
        {"instances": [{"x": "a"}]},
        400,
        "Failed to process element: 0 key: x of 'instances' list. Error: INVALID_ARGUMENT: "
        'JSON Value: "a" Type: String is not of expected type: float',
    ),
    "a name missing in a row": (
        signature("echo", instances=[{"text": "a"}]),
        400,
        f"Failed to process element: 0 of 'instances' list. JSON object: {pretty({'text': 'a'})} "
        "keys must be equal to: number,text",
    ),
    "plain rows for two inputs": (
        signature("echo", instances=[1]),
        400,
        "instances is a plain list, but expecting list of objects as multiple input tensors required "
        "as per tensorinfo_map",
    ),
    "a plain column for two inputs": (
        signature("echo", inputs=[1]),
        400,
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
        "tensorinfo_map",
    ),
    "a name missing in a column": (
        signature("echo", inputs={"text": ["a"]}),
        400,
        "Missing named input: number in 'inputs' object.",
    ),
    "a default is not used": (
        signature("defaulted", inputs={"x": [1]}),
        400,
        "Missing named input: factor in 'inputs' object.",
    ),
    "base64 that is none": (
        signature("bytes", inputs={"b64": "?"}),
        400,
        "Unable to base64 decode",
    ),
    "base64 with another key": (
        signature("bytes", inputs=[{"b64": "YQ==", "more": 1}]),
        400,
        f"JSON Value: {pretty({'b64': 'YQ==', 'more': 1})} not formatted correctly for base64 data",
    ),
    "base64 that is no string": (
        signature("bytes", inputs=[{"b64": 1}]),
        400,
        f"JSON Value: {pretty({'b64': 1})} not formatted correctly for base64 data",
    ),
    "rows out of a scalar": (signature("total", instances=[1]), 400, "Tensor name: sum has no shape information "),
    "outputs of different size by row": (
        signature("shapes", instances=[1]),
        400,
        "Tensor name: same has inconsistent batch size: 1 expecting: 2",
    ),
}  # fmt: skip

CLASSIFIED = {
    "classify": (
        signature("classify", examples=[{"value": 0.25}, {"value": 1.5}]),
        [[["small", 0.5], ["large", 0.5]], [["small", 3.0], ["large", -2.0]]],
    ),
    "classes alone": (signature("classify_classes", examples=[{}]), [[["small", 0.0], ["large", 0.0]]]),
    "scores alone": (signature("classify_scores", examples=[{"value": 0.5}]), [[["", 1.0], ["", 0.0]]]),
    "context": (
        signature("classify_scores", context={"bonus": 1}, examples=[{"value": 0.5}]),
        [[["", 2.0], ["", -1.0]]],
    ),
}
EXAMPLES_REFUSED = {
    "empty": (b"", "JSON Parse error: The document is empty"),
    "no examples": (
        {"instances": [1]},
        "JSON Value: {\n    \"instances\": [1]\n} "
        "When method is classify, key 'examples' is expected and was not found",
    ),
    "examples that are no list": (
        {"examples": {}},
        f"JSON Value: {pretty({'examples': {}})} Expecting 'examples' value to be an list/array",
    ),
    "an empty list": ({"examples": []}, f"JSON Value: {pretty({'examples': []})} 'examples' value is an empty array"),
    "signature name that is no string": (
        {"signature_name": None},
        f"JSON Value: {pretty({'signature_name': None})} not formatted correctly. "
        "'signature_name' key must be a string value.",
    ),
    "an example that is no object": ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
    "a context that is no object": (
        {"context": "x", "examples": [{}]},
        "Example must be JSON object but got JSON String",
    ),
    "null": (
        {"examples": [{"value": None}]},
        "Feature: value has element with unexpected JSON type: Null",
    ),
    "an object": (
        {"examples": [{"value": {"a": 1}}]},
        "Feature: value has element with unexpected JSON type: Object",
    ),
    "a list in a list": (
        {"examples": [{"value": [[1]]}]},
        "Feature: value has element with unexpected JSON type: Array",
    ),
    "mixed types": (
        {"examples": [{"value": [1.5, 1]}]},
        "Unexpected element type in feature: value expecting type: float",
    ),
    "beyond int64": (
        {"examples": [{"value": 2**63}]},
        "Feature: value has uint64 element. Only int64 is supported.",
    ),
    "unknown signature": (
        signature("nix", examples=[{}]),
        "No signature was found with the name: nix",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "answer"), ANSWERED.values(), ids=ANSWERED)
def test_predict_answers(server: Address, body: Any, answer: Any) -> None:
    assert ask(server, PREDICT, body) == (200, answer)


@pytest.mark.parametrize(("body", "values"), ANSWERED_RAW.values(), ids=ANSWERED_RAW)
def test_predict_reads_what_rapidjson_reads(server: Address, body: Any, values: bytes) -> None:
    got, text, _ = http(server, PREDICT, body)
    assert (got, text) == (200, b'{\n    "predictions": [' + values + b"\n    ]\n}")


@pytest.mark.parametrize(("body", "text"), FORMATTED.values(), ids=FORMATTED)
def test_an_answer_is_laid_out_as_by_tensorflow_serving(server: Address, body: Any, text: str) -> None:
    assert http(server, PREDICT, body)[1].decode() == text


@pytest.mark.parametrize(("body", "code", "text"), REFUSED.values(), ids=REFUSED)
def test_a_refused_predict_has_its_status_and_text(server: Address, body: Any, code: int, text: str) -> None:
    got, document = ask(server, PREDICT, body)
    assert got == code
    assert document == {"error": text}


def test_the_document_is_read_before_the_model_is_looked_for(server: Address) -> None:
    got, document = ask(server, "/v1/models/nix:predict", b"{")
    assert (got, document["error"]) == (
        400,
        "JSON Parse error: Missing a name for object member. at offset: 1",
    )
    got, document = ask(server, "/v1/models/nix:predict", {})
    assert (got, document["error"]) == (404, "Servable not found for request: Latest(nix)")


@pytest.mark.deviation
def test_deep_nesting_is_refused_instead_of_overflowing_the_stack(server: Address) -> None:
    for body in (b"[" * 100_000, b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}"):
        got, document = ask(server, PREDICT, body)
        assert got == 400
        assert document["error"].startswith(
            "JSON Parse error: Terminate parsing due to Handler error. at offset: "
        )


def test_a_value_in_an_error_is_cut_at_256_bytes(server: Address) -> None:
    _, document = ask(server, PREDICT, {"instances": "x" * 1000})
    assert document["error"].startswith('JSON Value: {\n    "instances": "' + "x" * 236 + " Expecting")


def test_an_output_that_json_has_no_form_for_is_named(server: Address) -> None:
    got, document = ask(server, PREDICT, signature("to_half", instances=[1]))
    assert (got, document["error"]) == (400, "Failed to write JSON value for tensor type: half")
    # Without a value there is nothing to write.
    assert ask(server, PREDICT, signature("type_float16", inputs=[])) == (200, {"outputs": []})


@pytest.mark.parametrize(("body", "results"), CLASSIFIED.values(), ids=CLASSIFIED)
def test_classify_answers(server: Address, body: Any, results: list[Any]) -> None:
    assert ask(server, "/v1/models/toy:classify", body) == (200, {"results": results})


@pytest.mark.parametrize("path", ["toy", "toy/versions/1", "toy/labels/stable"])
def test_regress_answers(server: Address, path: str) -> None:
    body = signature("regress", context={"bonus": 2}, examples=[{"value": 0.25}, {"value": 1.5, "bonus": 0}])
    assert ask(server, f"/v1/models/{path}:regress", body) == (200, {"results": [2.5, 3.0]})


def test_results_are_laid_out_as_by_tensorflow_serving(server: Address) -> None:
    body = signature("classify", examples=[{"value": 0.25}, {"value": 1.5}])
    text = http(server, "/v1/models/toy:classify", body)[1].decode()
    assert text == (
        '{\n    "results": [[["small", 0.5], ["large", 0.5]], [["small", 3.0], ["large", -2.0]]\n    ]\n}'
    )
    body = signature("regress", examples=[{"value": 0.25}, {"value": 1.5}])
    text = http(server, "/v1/models/toy:regress", body)[1].decode()
    assert text == '{\n    "results": [0.5, 3.0]\n}'


@pytest.mark.parametrize("method", ["classify", "regress"])
@pytest.mark.parametrize(("body", "text"), EXAMPLES_REFUSED.values(), ids=EXAMPLES_REFUSED)
def test_refused_examples_have_their_text(server: Address, method: str, body: Any, text: str) -> None:
    assert ask(server, f"/v1/models/toy:{method}", body) == (400, {"error": text})


def test_a_feature_of_another_type_is_the_runtimes_to_refuse(server: Address) -> None:
    body = signature("regress", examples=[{"value": {"b64": "YQ=="}}])
    got, document = ask(server, "/v1/models/toy:regress", body)
    assert got == 400
    assert "Data types don't match" in document["error"]
