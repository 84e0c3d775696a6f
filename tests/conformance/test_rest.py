"""REST facts, one row each: a request, its HTTP status, its exact error or document."""

import base64
import gzip
import json
import urllib.error
import urllib.request

import pytest


def ask(server, path, body=None, method=None, **headers):
    """(status, document)"""
    data = json.dumps(body).encode() if isinstance(body, dict | list) else body
    message = urllib.request.Request(server.rest + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(message, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


TOY = "/v1/models/toy"


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (f"{TOY}:predict", {"instances": [1, 2.5]}, {"predictions": [2.0, 5.0]}),
        (f"{TOY}/versions/1:predict", {"instances": [1]}, {"predictions": [2.0]}),
        ("/V1/MODELS/toy:predict", {"instances": [1]}, {"predictions": [2.0]}),
        (f"{TOY}:predict", {"inputs": [1, 2]}, {"outputs": [2.0, 4.0]}),
        (f"{TOY}:predict", {"inputs": {"x": [1], "extra": 0}}, {"outputs": [2.0]}),
        (f"{TOY}:predict", {"instances": [{"x": 1}, {"x": 3}]}, {"predictions": [2.0, 6.0]}),
        (f"{TOY}:predict", b'{"instances": [1]} trailing', {"predictions": [2.0]}),
        (f"{TOY}:predict", b'{"instances": [1], "instances": [9]}', {"predictions": [2.0]}),
        (f"{TOY}:predict", {"signature_name": "scalar", "inputs": True}, {"outputs": False}),
        (
            f"{TOY}:predict",
            {
                "signature_name": "echo",
                "instances": [{"text": {"b64": base64.b64encode(b"hi").decode()}, "number": 4}],
            },
            {"predictions": [{"number": 5, "raw_bytes": {"b64": "aGk="}, "text": "hi"}]},
        ),
        (
            f"{TOY}:predict",
            {"signature_name": "echo", "inputs": {"text": ["a"], "number": [1]}},
            {"outputs": {"number": [2], "raw_bytes": [{"b64": "YQ=="}], "text": ["a"]}},
        ),
    ],
)
def test_predict_answers(server, path, body, answer):
    assert ask(server, path, body) == (200, answer)


@pytest.mark.parametrize(
    ("path", "body", "code", "error"),
    [
        (f"{TOY}:predict", b"", 400, "JSON Parse error: The document is empty"),
        (f"{TOY}:predict", b"{", 400, None),
        (f"{TOY}:predict", b"[1]", 400, "JSON Value: [1] Is not object"),
        (f"{TOY}:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("/v1/models/nix:predict", b"{", 400, None),
        ("/v1/models/nix:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(nix)"),
        (
            f"{TOY}/versions/7:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(toy, 7)",
        ),
        (f"{TOY}/labels/best:predict", {"instances": [1]}, 400, "Unrecognized servable version label: best"),
        (
            f"{TOY}:predict",
            {"signature_name": "nix", "instances": [1]},
            400,
            'Serving signature name: "nix" not found in signature def',
        ),
        (
            f"{TOY}:predict",
            {"instances": [1], "inputs": [1]},
            400,
            'JSON Value: {"instances":[1],"inputs":[1]} Not formatted correctly expecting only one of '
            "'inputs' or 'instances' keys to exist ",
        ),
        (
            f"{TOY}:predict",
            {"instances": 1},
            400,
            "JSON Value: {\"instances\":1} Expecting 'instances' to be an list/array",
        ),
        (
            f"{TOY}:predict",
            {"instances": []},
            400,
            "JSON Value: {\"instances\":[]} No values in 'instances' array",
        ),
        (
            f"{TOY}:predict",
            {"instances": ["a"]},
            400,
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (
            f"{TOY}:predict",
            {"inputs": [[1], [2, 3]]},
            400,
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            f"{TOY}:predict",
            {"instances": [{"x": 1, "z": 2}]},
            400,
            "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: z",
        ),
        (
            f"{TOY}:predict",
            {"signature_name": "echo", "instances": [1]},
            400,
            "instances is a plain list, but expecting list of objects as multiple input tensors required "
            "as per tensorinfo_map",
        ),
        (
            f"{TOY}:predict",
            {"signature_name": "echo", "inputs": {"text": ["a"]}},
            400,
            "Missing named input: number in 'inputs' object.",
        ),
        (f"{TOY}:predict?a=b", {"instances": [1]}, 400, "Malformed request: POST /v1/models/toy:predict?a=b"),
        (f"{TOY}:PREDICT", {"instances": [1]}, 400, "Malformed request: POST /v1/models/toy:PREDICT"),
        ("/v1/models", None, 400, "Missing model name in request."),
        ("/v1/nix", None, 400, "Malformed request: GET /v1/nix"),
        ("/v1/models/nix", None, 404, "Could not find any versions of model nix"),
        (f"{TOY}?x=1", None, 404, "Could not find any versions of model toy?x=1"),
        (f"{TOY}/versions/7", None, 404, "Could not find version 7 of model toy"),
    ],
)
def test_a_bad_request_gives_status_and_text(server, path, body, code, error):
    got, document = ask(server, path, body)
    assert got == code
    assert list(document) == ["error"]
    assert error is None or document["error"] == error


def test_status_is_in_the_documented_form(server):
    entry = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in (TOY, f"{TOY}/versions/1"):
        assert ask(server, path) == (200, {"model_version_status": [entry]})


def test_metadata_nests_the_signatures_twice(server):
    code, document = ask(server, f"{TOY}/metadata")
    assert code == 200
    assert document["model_spec"] == {"name": "toy", "signature_name": "", "version": "1"}
    x = document["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


def test_a_gzipped_body_is_read_and_a_broken_one_is_empty(server):
    body = gzip.compress(b'{"instances": [1]}')
    assert ask(server, f"{TOY}:predict", body, **{"Content-Encoding": "gzip"})[0] == 200
    code, document = ask(server, f"{TOY}:predict", body[:-9], **{"Content-Encoding": "gzip"})
    assert (code, document["error"]) == (400, "JSON Parse error: The document is empty")
