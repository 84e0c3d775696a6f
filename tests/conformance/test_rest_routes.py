"""REST paths, methods, headers, status and metadata, one row a fact."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.conformance_model import DERIVED
from tests.support.server import Address
from tests.support.wire import ask, http

TOY = "/v1/models/toy"
ONE = {"instances": [1]}
AVAILABLE = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}

ANSWERED = {
    "predict": (f"{TOY}:predict", ONE),
    "version": (f"{TOY}/versions/1:predict", ONE),
    "a query": (f"{TOY}:predict?a=b&c=/v1/:classify", ONE),
    "an empty query": (f"{TOY}:predict?", ONE),
    "a query after a version": (f"{TOY}/versions/1:predict?x=%zz", ONE),
    "leading zeros": (f"{TOY}/versions/0001:predict", ONE),
    "label": (f"{TOY}/labels/stable:predict", ONE),
    "upper case": ("/V1/MODELS/toy:predict", ONE),
    "percent-encoded name": ("/v1/models/t%6Fy:predict", ONE),
    "percent-encoded label": (f"{TOY}/labels/st%61ble:predict", ONE),
}
REFUSED = {
    "no model": ("GET", "/v1/models", 400, "Missing model name in request."),
    "no model before metadata": (
        "GET",
        "/v1/models/metadata",
        404,
        "Could not find any versions of model metadata",
    ),
    "no such path": ("GET", "/v1/nix", 400, "Malformed request: GET /v1/nix"),
    "slash at the end": ("GET", f"{TOY}/", 400, f"Malformed request: GET {TOY}/"),
    "no method": ("POST", TOY, 400, f"Malformed request: POST {TOY}"),
    "unknown method": ("POST", f"{TOY}:explain", 400, f"Malformed request: POST {TOY}:explain"),
    "method in upper case": ("POST", f"{TOY}:PREDICT", 400, f"Malformed request: POST {TOY}:PREDICT"),
    "version that is no number": (
        "POST",
        f"{TOY}/versions/one:predict",
        400,
        f"Malformed request: POST {TOY}/versions/one:predict",
    ),
    "version and label": (
        "POST",
        f"{TOY}/versions/1/labels/stable:predict",
        400,
        f"Malformed request: POST {TOY}/versions/1/labels/stable:predict",
    ),
    "get of a prediction": ("GET", f"{TOY}:predict", 400, f"Malformed request: GET {TOY}:predict"),
    "put": ("PUT", f"{TOY}:predict", 400, f"Malformed request: PUT {TOY}:predict"),
    "delete": ("DELETE", TOY, 400, f"Malformed request: DELETE {TOY}"),
    "patch": ("PATCH", TOY, 400, f"Malformed request: PATCH {TOY}"),
    "status of an unknown model": ("GET", "/v1/models/nix", 404, "Could not find any versions of model nix"),
    "a query of a malformed request": ("POST", f"{TOY}?a=b", 400, f"Malformed request: POST {TOY}"),
    "status of an unknown version": (
        "GET",
        f"{TOY}/versions/7",
        404,
        "Could not find version 7 of model toy",
    ),
    "metadata of an unknown model": (
        "GET",
        "/v1/models/nix/metadata",
        404,
        "Servable not found for request: Latest(nix)",
    ),
    "metadata of an unknown version": (
        "GET",
        f"{TOY}/versions/7/metadata",
        404,
        "Servable not found for request: Specific(toy, 7)",
    ),
    "metadata of an unknown label": (
        "GET",
        f"{TOY}/labels/best/metadata",
        400,
        "Unrecognized servable version label: best",
    ),
    "unknown model": ("POST", "/v1/models/nix:predict", 404, "Servable not found for request: Latest(nix)"),
    "unknown version": (
        "POST",
        f"{TOY}/versions/7:predict",
        404,
        "Servable not found for request: Specific(toy, 7)",
    ),
    "unknown label": (
        "POST",
        f"{TOY}/labels/best:predict",
        400,
        "Unrecognized servable version label: best",
    ),
    "label of a version that is not there": (
        "POST",
        f"{TOY}/labels/absent:predict",
        404,
        "Servable not found for request: Specific(toy, 7)",
    ),
}


@pytest.mark.parametrize(("path", "body"), ANSWERED.values(), ids=ANSWERED)
def test_a_path_leads_to_its_model(server: Address, path: str, body: Any) -> None:
    assert ask(server, path, body) == (200, {"predictions": [2.0]})


@pytest.mark.parametrize(("method", "path", "code", "text"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_its_status_and_text(
    server: Address, method: str, path: str, code: int, text: str
) -> None:
    got, body, headers = http(server, path, ONE if method == "POST" else None, method)
    assert (got, json.loads(body)) == (code, {"error": text})
    assert body.decode() == f'{{\n    "error": {json.dumps(text)}\n}}'
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("end", "body"), [("99999999999999999999:predict", ONE), ("9223372036854775808", None)]
)
def test_a_version_beyond_64_bits_gives_an_empty_answer(server: Address, end: str, body: Any) -> None:
    got, text, headers = http(server, f"{TOY}/versions/{end}", body)
    assert (got, text, headers["Content-Type"]) == (400, b"", "application/json")


@pytest.mark.deviation
def test_the_root_is_an_index_page_instead_of_not_found(server: Address) -> None:
    got, text, headers = http(server, "/")
    assert got == 200
    assert headers["Content-Type"].startswith("text/html")
    assert b"toy" in text


@pytest.mark.parametrize("path", ["/index.html", "/v1", "/v3/models/toy", "/models/toy"])
def test_outside_of_the_api_there_is_an_html_page(server: Address, path: str) -> None:
    got, text, headers = http(server, path)
    assert got == 404
    assert headers["Content-Type"].startswith("text/html")
    assert text.upper().startswith(b"<HTML>")


def test_head_is_a_bad_request(server: Address) -> None:
    assert http(server, TOY, method="HEAD")[0] == 400


@pytest.mark.parametrize("method", ["TRACE", "BREW"])
def test_an_unknown_method_is_not_implemented(server: Address, method: str) -> None:
    got, _, headers = http(server, TOY, method=method)
    assert got == 501
    assert headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("path", [TOY, f"{TOY}:predict", "/v1/nix"])
def test_options_with_an_origin_is_ok(server: Address, path: str) -> None:
    got, text, headers = http(server, path, method="OPTIONS", Origin="http://page.example")
    assert (got, text) == (200, b"")
    assert headers["Content-Type"] == "text/html; charset=ISO-8859-1"
    assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize(
    "path", [TOY, f"{TOY}/versions/1", f"{TOY}/labels/whatever", f"{TOY}/Metadata", f"{TOY}?x=1"]
)
def test_status_is_in_the_documented_form(server: Address, path: str) -> None:
    got, text, _ = http(server, path)
    assert (got, json.loads(text)) == (200, {"model_version_status": [AVAILABLE]})
    assert text == (json.dumps({"model_version_status": [AVAILABLE]}, indent=1) + "\n").encode()


@pytest.mark.parametrize(
    "path",
    [f"{TOY}/metadata", f"{TOY}/versions/1/metadata", f"{TOY}/labels/stable/metadata", f"{TOY}/metadata?v=1"],
)
def test_metadata_nests_the_signatures_twice(server: Address, path: str) -> None:
    code, text, _ = http(server, path)
    document = json.loads(text)
    assert code == 200
    start = '{\n"model_spec":{\n "name": "toy",\n "signature_name": "",\n "version": "1"\n}\n,\n"metadata": {'
    assert text.decode().startswith(start)
    assert document["model_spec"] == {"name": "toy", "signature_name": "", "version": "1"}
    definitions = document["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", *DERIVED} <= set(definitions)
    x = definitions["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


@pytest.mark.parametrize(
    ("encoding", "body", "answer"),
    [
        ("gzip", gzip.compress(b'{"instances": [1]}'), (200, {"predictions": [2.0]})),
        ("x-gzip", gzip.compress(b'{"instances": [1]}'), (200, {"predictions": [2.0]})),
        (
            "gzip",
            gzip.compress(b'{"instances": [1]}')[:-9],
            (400, {"error": "JSON Parse error: The document is empty"}),
        ),
        ("gzip", b'{"instances": [1]}', (400, {"error": "JSON Parse error: The document is empty"})),
        ("gzip", b"", (400, {"error": "JSON Parse error: The document is empty"})),
        ("deflate", b'{"instances": [1]}', (200, {"predictions": [2.0]})),
    ],
    ids=["whole", "another name", "cut", "not compressed", "empty", "deflate is ignored"],
)
def test_a_compressed_body_is_read(
    server: Address, encoding: str, body: Any, answer: tuple[int, Any]
) -> None:
    assert ask(server, f"{TOY}:predict", body, Content_Encoding=encoding) == answer


def test_a_body_that_unpacks_beyond_the_limit_counts_as_empty(server: Address) -> None:
    bomb = gzip.compress(b'{"instances": [1]' + b" " * (101 * 1024 * 1024) + b"}", 9)
    got = ask(server, f"{TOY}:predict", bomb, Content_Encoding="gzip")
    assert got == (400, {"error": "JSON Parse error: The document is empty"})


def test_a_body_may_come_in_pieces(server: Address) -> None:
    url = urlsplit(server.rest)
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(
            f"POST {TOY}:predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for piece in (b'{"insta', b'nces": [1]}'):
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 200")
