"""Answers of the Open Inference Protocol that contradict themselves, from real servers that give them."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import pytest
from atelier_client import Client, Retry
from atelier_client.errors import (
    InvalidRequest,
    ModelNotFound,
    NotAllowed,
    NotReachable,
    NotSupported,
    Overloaded,
    ServerError,
    ServerFailure,
    TimedOut,
    TooLarge,
)
from atelier_client.protos import open_inference_pb2 as pb

ONCE = Retry(attempts=1)
METADATA = {
    "name": "toy",
    "versions": ["1"],
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
}
TWO = np.array([1, 2], "<f4").tobytes()


def output(name: str = "y", datatype: str = "FP32", shape: Any = (2,), **contents: Any) -> Any:
    made = pb.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(made.contents, field).extend(values)
    return made


def infer(*outputs: Any, raw: Any = (), version: str = "1") -> pb.ModelInferResponse:
    return pb.ModelInferResponse(
        model_name="toy", model_version=version, outputs=outputs, raw_output_contents=raw
    )


@contextlib.contextmanager
def over_grpc(answer: Any, metadata: Any = METADATA) -> Iterator[str]:
    """A gRPC server that answers every ModelInfer so: a message, bytes, or a status and its details."""

    def respond(request: bytes, context: Any) -> bytes:
        if isinstance(answer, tuple):
            context.abort(*answer)
        return answer if isinstance(answer, bytes) else answer.SerializeToString()

    def describe(request: bytes, context: Any) -> bytes:
        told = pb.ModelMetadataResponse(name=metadata["name"], versions=metadata["versions"])
        for side in ("inputs", "outputs"):
            for tensor in metadata[side]:
                getattr(told, side).add(**tensor)
        return told.SerializeToString()

    methods: dict[str, Any] = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(respond),
        "ModelMetadata": grpc.unary_unary_rpc_method_handler(describe),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods)
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"v2+grpc://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def over_http(
    answer: Any, binary: bytes | None = None, status: int = 200, length: int | None = None, **pages: Any
) -> Iterator[str]:
    """An HTTP server that answers every request to infer with this JSON, and with binary data behind it.

    `pages` are those of other paths: JSON, or a status and a body.
    """
    text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    told: dict[str, Any] = {
        "/v2": {
            "name": "liar",
            "version": "1",
            "extensions": ["binary_tensor_data"] if binary is not None else [],
        },
        "/v2/models/toy": METADATA,
    } | {f"/v2{path}": page for path, page in pages.items()}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            page = told.get(self.path, (404, b'{"error": "no such page"}'))
            code, body = page if isinstance(page, tuple) else (200, json.dumps(page).encode())
            self._send(code, body, {})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            headers = {}
            if binary is not None:
                headers["Inference-Header-Content-Length"] = str(len(text) if length is None else length)
            self._send(status, text + (binary or b""), headers)

        def _send(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Nothing is printed."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"v2+http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(target: str, **asked: Any) -> Any:
    with Client(target, "toy", retry=ONCE, timeout=10) as client:
        return client.predict([1.0, 2.0], **asked)


CONTRADICTIONS = {
    "raw too short": (infer(output(), raw=[TWO[:4]]), "4 bytes for the output 'y'; FP32 of shape \\[2\\] takes 8"),
    "raw too long": (infer(output(), raw=[TWO + b"\0"]), "9 bytes for the output 'y'"),
    "surplus raw": (infer(output(), raw=[TWO, TWO]), "2 raw buffers for 1 outputs"),
    "too few raw": (infer(output(), output("z"), raw=[TWO]), "1 raw buffers for 2 outputs"),
    "raw and typed": (infer(output(fp32_contents=[1, 2]), raw=[TWO]), "'y' raw and in typed fields"),
    "typed too few": (infer(output(fp32_contents=[1])), "1 values in fp32_contents for the output 'y'.* has 2"),
    "typed elsewhere": (infer(output(fp64_contents=[1, 2])), "0 values in fp32_contents.*some in fp64_contents"),
    "typed out of range": (infer(output(datatype="INT8", int_contents=[1, 300])), "'y' that is no INT8"),
    "typed float16": (infer(output(datatype="FP16", fp32_contents=[1, 2])), "'y', FP16, not raw"),
    "unknown datatype": (infer(output(datatype="FP7"), raw=[TWO]), "'y' with the datatype 'FP7'; known: BOOL,"),
    "no datatype": (infer(output(datatype=""), raw=[TWO]), "'y' with the datatype ''"),
    "negative shape": (infer(output(shape=[-1]), raw=[TWO]), "'y' with the shape \\[-1\\]"),
    "endless shape": (infer(output(shape=[2**40, 2**40]), raw=[TWO]), "'y' with the shape"),
    "twice": (infer(output(), output(), raw=[TWO, TWO]), "'y' twice"),
    "nothing": (infer(), "without any output"),
    "no boolean": (infer(output(datatype="BOOL"), raw=[b"\1\2"]), "neither 0 nor 1"),
    "string behind the end": (
        infer(output(datatype="BYTES", shape=[1]), raw=[b"\5\0\0\0abc"]),
        "7 bytes for the output 'y', BYTES, whose string 1 ends behind them",
    ),
    "too few strings": (infer(output(datatype="BYTES"), raw=[b"\0\0\0\0"]), "1 strings for the output 'y'"),
    "no message": (b"\xff\xff\xff", "no message of it"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "text"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_contradiction_is_named(answer: Any, text: str) -> None:
    with over_grpc(answer) as target, pytest.raises(ServerFailure, match=text):
        ask(target)


def test_an_output_that_was_asked_for_and_is_not_there_is_named() -> None:
    with (
        over_grpc(infer(output("z"), raw=[TWO])) as target,
        pytest.raises(ServerFailure, match="without the output y that was asked for"),
    ):
        ask(target, outputs=["y"])


def test_another_version_than_the_one_asked_for_is_named() -> None:
    with (
        over_grpc(infer(output(), raw=[TWO], version="2")) as target,
        pytest.raises(ServerFailure, match="asked for version 1 of toy and answered with version 2"),
    ):
        ask(target, version=1)


def test_typed_answers_are_read_as_raw_ones() -> None:
    typed = infer(
        output("a", "BOOL", [2], bool_contents=[True, False]),
        output("b", "INT16", [2], int_contents=[1, -2]),
        output("c", "UINT64", [1], uint64_contents=[2**64 - 1]),
        output("d", "BYTES", [1, 1], bytes_contents=[b"\xff"]),
        output("e", "FP64", [], fp64_contents=[0.1]),
        output("f", "INT64", [0], int64_contents=[]),
        version="blue",
    )
    with over_grpc(typed) as target:
        answer = ask(target)
    assert answer.versions == ()
    assert {name: (array.dtype.name, array.tolist()) for name, array in answer.items()} == {
        "a": ("bool", [True, False]),
        "b": ("int16", [1, -2]),
        "c": ("uint64", [2**64 - 1]),
        "d": ("object", [[b"\xff"]]),
        "e": ("float64", 0.1),
        "f": ("int64", []),
    }


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'x'", InvalidRequest),
        (grpc.StatusCode.INVALID_ARGUMENT, "inference request batch-size must be <= 8 for 'toy'", TooLarge),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'toy' is not found", ModelNotFound),
        (grpc.StatusCode.UNAVAILABLE, "Request for unknown model", NotReachable),
        (grpc.StatusCode.UNAUTHENTICATED, "no", NotAllowed),
        (grpc.StatusCode.INTERNAL, "failed", ServerFailure),
    ],
)
def test_a_status_is_the_error_that_it_is_elsewhere(code: Any, details: str, kind: type[ServerError]) -> None:
    with (
        over_grpc((code, details)) as target,
        pytest.raises(kind, match=details.split("(")[0][:20]) as raised,
    ):
        ask(target)
    assert raised.value.code == code.name


def test_a_call_that_the_server_lacks_names_doctor() -> None:
    with over_grpc(infer()) as target, Client(target, "toy", retry=ONCE) as client:
        with pytest.raises(NotSupported, match="atelier-client doctor"):
            client.status()
        with pytest.raises(NotSupported, match="atelier-client doctor"):
            Client(target.removeprefix("v2+grpc://"), "toy", retry=ONCE).status()


Y = {"name": "y", "datatype": "FP32", "shape": [2]}


def document(*outputs: Any) -> dict[str, Any]:
    return {"model_name": "toy", "model_version": "1", "outputs": list(outputs)}


def sized(size: Any) -> dict[str, Any]:
    return Y | {"parameters": {"binary_data_size": size}}


JSON_CONTRADICTIONS: dict[str, tuple[Any, bytes | None, str]] = {
    "too few values": (document(Y | {"data": [1.0]}), None, "4 bytes for the output 'y'; FP32 of shape"),
    "another type": (document(Y | {"data": ["a", "b"]}), None, "not what the Open Inference Protocol answers"),
    "unknown datatype": (document(Y | {"datatype": "FP7", "data": [1.0]}), None, "datatype 'FP7'"),
    "no values": (document(Y), None, "'y' without values"),
    "no outputs": ({"model_name": "toy"}, None, "not what the Open Inference Protocol answers"),
    "outputs of nothing": (document(), None, "without any output"),
    "no JSON": (b"<html>", None, "no answer of a model server"),
    "binary too short": (document(sized(8)), TWO[:5], "the output 'y' has 8 bytes, and 5 are left"),
    "surplus binary": (document(sized(8)), TWO + b"abc", "3 bytes behind the last output"),
    "negative size": (document(sized(-8)), TWO, "has -8 bytes"),
    "size is text": (document(sized("8")), TWO, "not what the Open Inference Protocol answers"),
    "binary and JSON": (document(sized(8) | {"data": [1, 2]}), TWO, "'y' twice, as JSON and as binary data"),
    "binary of another size than the shape": (document(sized(4)), TWO[:4], "FP32 of shape \\[2\\] takes 8"),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "binary", "text"), JSON_CONTRADICTIONS.values(), ids=JSON_CONTRADICTIONS)
def test_a_contradiction_over_rest_is_named(answer: Any, binary: bytes | None, text: str) -> None:
    with over_http(answer, binary) as target, pytest.raises(ServerFailure, match=text):
        ask(target)


def test_a_length_of_json_that_is_none_is_named() -> None:
    with (
        over_http(document(sized(8)), TWO, length=10_000) as target,
        pytest.raises(ServerFailure, match="says that 10,000 of "),
    ):
        ask(target)


def test_json_beside_binary_data_nested_and_null_are_read() -> None:
    square = {"name": "z", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2.5], [None, 4]]}
    with over_http(document(square, sized(8)), TWO) as target:
        answer = ask(target)
    assert answer["y"].tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(answer["z"], np.array([[1, 2.5], [np.nan, 4]], np.float32))
    assert answer.versions == (1,)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (404, ModelNotFound),
        (429, Overloaded),
        (500, ServerFailure),
        (503, NotReachable),
    ],
)
def test_an_error_over_rest_is_the_error_that_it_is_elsewhere(status: int, kind: type[ServerError]) -> None:
    with over_http({"error": "it is so"}, status=status) as target, pytest.raises(kind, match="it is so"):
        ask(target)
    # Also when the server's binary form is used.
    with (
        over_http({"error": "it is so"}, b"", status=status) as target,
        pytest.raises(kind, match="it is so"),
    ):
        ask(target)


def test_a_server_that_describes_only_its_models_is_asked_in_json() -> None:
    pages: dict[str, Any] = {"": (404, b'{"error": "no such page"}')}
    with over_http(document(Y | {"data": [3, 4]}), **pages) as target:
        assert ask(target)["y"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("page", "ready"),
    [
        ((200, b""), True),
        ((200, b'{"name": "toy", "ready": true}'), True),
        ((200, b'{"name": "toy", "ready": false}'), False),
        ((400, b""), False),
        ((503, b'{"error": "it loads"}'), False),
    ],
)
def test_each_form_of_ready_is_understood(page: Any, ready: bool) -> None:
    pages: dict[str, Any] = {"/models/toy/versions/1/ready": page}
    with over_http(document(), **pages) as target, Client(target, "toy", retry=ONCE) as client:
        assert [entry.state.name for entry in client.status()] == ["AVAILABLE" if ready else "UNKNOWN"]
        if ready:
            assert client.wait_ready(5) == client.newest_available() == 1
        else:
            with pytest.raises(TimedOut, match="toy was not ready"):
                client.wait_ready(0.2)


def test_what_the_server_does_not_tell_is_not_checked() -> None:
    open_metadata = {"name": "toy", "versions": [], "inputs": [], "outputs": []}
    with over_grpc(infer(output(), raw=[TWO]), open_metadata) as target, Client(target, "toy") as client:
        assert client.predict({"anything": np.zeros(2, np.uint8)}, outputs=["y"])["y"].tolist() == [1.0, 2.0]
        with pytest.raises(Exception, match="name them"):
            client.predict([1.0])
    untyped = METADATA | {"inputs": [{"name": "x", "datatype": "", "shape": [-1]}]}
    with over_grpc(infer(output(), raw=[TWO]), untyped) as target, Client(target, "toy") as client:
        assert str(client.metadata()["serving_default"].inputs["x"]) == "x: any type [N]"
        for values in ([1.0], ["text"], np.zeros(3, np.int8)):
            assert client.predict(values, rows_per_request=3)["y"].tolist() == [1.0, 2.0]
        with pytest.raises(Exception, match="shape"):
            client.predict(np.zeros((2, 2)))
