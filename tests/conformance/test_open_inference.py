"""The Open Inference Protocol beside TensorFlow Serving's wire: the same answers to the bit, from the same ports."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.support.open_inference import (
    DTYPES,
    EDGES,
    SERVICE,
    SIGNATURES,
    ask,
    bits,
    call,
    infer_body,
    infer_message,
    outputs_of,
)
from tests.support.server import Address
from tests.support.wire import predict_request

pytestmark = pytest.mark.deviation
INFER = "/v2/models/toy/infer"
Expected = Callable[[str], Any]
# FP16 and BF16 have neither typed contents nor a form in JSON.
WRITTEN = [kind for kind in EDGES if kind not in ("FP16", "BF16")]


@pytest.fixture(params=EDGES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WRITTEN)
def written(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def expected(predict: Callable[..., Any]) -> Callable[[str], Any]:
    """What TensorFlow Serving's wire answers."""
    return lambda kind: bits(
        tf.make_ndarray(predict(predict_request(signature=SIGNATURES[kind], x=EDGES[kind])).outputs["y"])
    )


def test_a_raw_call_is_answered_raw_and_equal(kind: str, expected: Expected, channel: grpc.Channel) -> None:
    message = infer_message({"x": EDGES[kind]}, raw=True, signature=SIGNATURES[kind], id="7")
    answer = call(channel, "ModelInfer", message)
    assert bits(outputs_of(answer)["y"]) == expected(kind)
    assert len(answer.raw_output_contents) == 1
    assert (answer.model_name, answer.model_version, answer.id) == ("toy", "1", "7")


def test_typed_contents_are_answered_typed_and_equal(
    written: str, expected: Expected, channel: grpc.Channel
) -> None:
    answer = call(
        channel, "ModelInfer", infer_message({"x": EDGES[written]}, raw=False, signature=SIGNATURES[written])
    )
    assert bits(outputs_of(answer)["y"]) == expected(written)
    assert not answer.raw_output_contents


def test_binary_data_over_http_are_answered_so_and_equal(
    kind: str, expected: Expected, server: Address
) -> None:
    body, headers = infer_body({"x": EDGES[kind]}, binary=True, signature=SIGNATURES[kind], id="7")
    answer = ask(server.rest, INFER, body, headers)
    assert answer.status == 200, answer.document
    assert bits(answer.outputs()["y"]) == expected(kind)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert {key: answer.document[key] for key in ("model_name", "model_version", "id")} == {
        "model_name": "toy",
        "model_version": "1",
        "id": "7",
    }


def test_json_over_http_is_answered_so_and_equal(written: str, expected: Expected, server: Address) -> None:
    body, headers = infer_body({"x": EDGES[written]}, binary=False, signature=SIGNATURES[written])
    answer = ask(server.rest, INFER, body, headers)
    assert answer.status == 200, answer.document
    assert answer.headers["content-type"] == "application/json"
    assert bits(answer.outputs()["y"]) == expected(written)
    assert "id" not in answer.document


def test_nested_data_and_one_output_as_binary(server: Address) -> None:
    """Each output may have a form of its own; data may be nested as the shape."""
    document = {
        "inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2, 3.5]}],
        "outputs": [{"name": "same", "parameters": {"binary_data": True}}, {"name": "double"}],
        "parameters": {"signature_name": "shapes"},
    }
    answer = ask(server.rest, INFER, json.dumps(document).encode())
    assert [tensor["name"] for tensor in answer.document["outputs"]] == ["same", "double"]
    assert "data" not in answer.document["outputs"][0]
    assert answer.document["outputs"][1]["data"] == [1, 2, 3.5, 1, 2, 3.5]
    assert answer.outputs()["same"].tolist() == [1, 2, 3.5]
    document = {
        "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]}],
        "parameters": {"signature_name": "matrix"},
    }
    answer = ask(server.rest, INFER, json.dumps(document).encode())
    assert answer.document["outputs"][0] == {
        "name": "y",
        "datatype": "FP32",
        "shape": [2, 1],
        "data": [3.0, 7.0],
    }


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
def test_scalars_and_empty_tensors(shape: tuple[int, ...], server: Address, channel: grpc.Channel) -> None:
    array = np.ones(shape, np.float32)
    for raw in (True, False):
        message = infer_message({"x": array}, raw=raw, signature="type_float32")
        assert bits(outputs_of(call(channel, "ModelInfer", message))["y"]) == bits(array)
        body, headers = infer_body({"x": array}, binary=raw, signature="type_float32")
        answer = ask(server.rest, INFER, body, headers)
        assert answer.status == 200, answer.document
        assert bits(answer.outputs()["y"]) == bits(array)


def test_an_output_without_typed_contents_makes_the_answer_raw(channel: grpc.Channel) -> None:
    message = infer_message({"x": np.ones(2, np.float32)}, raw=False, signature="to_half")
    answer = call(channel, "ModelInfer", message)
    assert answer.outputs[0].datatype == "FP16"
    assert outputs_of(answer)["y"].tolist() == [1.0, 1.0]


def test_outputs_come_in_the_order_asked_for(channel: grpc.Channel) -> None:
    x = {"x": np.ones(1, np.float32)}
    answer = call(
        channel, "ModelInfer", infer_message(x, raw=True, signature="shapes", outputs=["same", "double"])
    )
    assert list(outputs_of(answer)) == ["same", "double"]
    answer = call(channel, "ModelInfer", infer_message(x, raw=True, signature="shapes", outputs=["double"]))
    assert list(outputs_of(answer)) == ["double"]


def test_an_input_with_a_default_value_may_be_left_out(channel: grpc.Channel, server: Address) -> None:
    x = {"x": np.ones(1, np.float32)}
    answer = call(channel, "ModelInfer", infer_message(x, raw=True, signature="defaulted"))
    assert outputs_of(answer)["y"].tolist() == [3.0]
    body, headers = infer_body(x, binary=False, signature="defaulted")
    assert ask(server.rest, INFER, body, headers).document["outputs"][0]["data"] == [3.0]


@pytest.mark.parametrize("version", ["", "1", "stable"])
def test_a_version_is_a_number_or_a_label(version: str, channel: grpc.Channel, server: Address) -> None:
    x = {"x": np.ones(1, np.float32)}
    assert call(channel, "ModelInfer", infer_message(x, raw=True, model_version=version)).model_version == "1"
    assert call(channel, "ModelReady", name="toy", version=version).ready
    path = f"/v2/models/toy/versions/{version}" if version else "/v2/models/toy"
    body, headers = infer_body(x, binary=True)
    assert ask(server.rest, f"{path}/infer", body, headers).document["model_version"] == "1"
    assert ask(server.rest, f"{path}/ready").document == {"name": "toy", "ready": True}


@pytest.mark.parametrize("version", ["7", "absent", "canary", "9" * 40])
def test_an_unknown_version_is_not_ready(version: str, channel: grpc.Channel, server: Address) -> None:
    assert not call(channel, "ModelReady", name="toy", version=version).ready
    assert ask(server.rest, f"/v2/models/toy/versions/{version}/ready").status == 404


def test_the_server_tells_of_itself(channel: grpc.Channel, server: Address) -> None:
    assert call(channel, "ServerLive").live
    assert call(channel, "ServerReady").ready
    told = call(channel, "ServerMetadata")
    page = ask(server.rest, "/v2").document
    assert page == {"name": told.name, "version": told.version, "extensions": list(told.extensions)}
    assert page["extensions"] == ["binary_tensor_data"]
    assert ask(server.rest, "/v2/health/live").document == {"live": True}
    assert ask(server.rest, "/v2/health/ready").document == {"ready": True}


def test_metadata_have_the_default_signature(channel: grpc.Channel, server: Address) -> None:
    told = call(channel, "ModelMetadata", name="toy", version="stable")
    page = ask(server.rest, "/v2/models/toy/versions/stable").document
    x, y = ({"name": name, "datatype": "FP32", "shape": [-1]} for name in "xy")
    assert page == {
        "name": "toy",
        "versions": ["1"],
        "platform": "tensorflow_savedmodel",
        "inputs": [x],
        "outputs": [y],
    }
    assert (told.name, list(told.versions), told.platform) == ("toy", ["1"], "tensorflow_savedmodel")
    assert [(item.name, item.datatype, list(item.shape)) for item in told.inputs] == [("x", "FP32", [-1])]
    assert [(item.name, item.datatype, list(item.shape)) for item in told.outputs] == [("y", "FP32", [-1])]


def test_reflection_and_health_know_the_service(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert SERVICE in database.get_services()
    service = DescriptorPool(database).FindServiceByName(SERVICE)
    assert len(service.methods) == 6
    health = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "deflate"]
)
@pytest.mark.parametrize("count", [3, 200_000])
def test_packed_bodies(encoding: str, pack: Callable[[bytes], bytes], count: int, server: Address) -> None:
    """The header has the size of the JSON object before it was packed."""
    x = np.arange(count, dtype=np.float32)
    for binary in (True, False):
        body, headers = infer_body({"x": x}, binary=binary, signature="type_float32")
        answer = ask(server.rest, INFER, pack(body), {**headers, "Content-Encoding": encoding})
        assert answer.status == 200, answer.document
        assert bits(answer.outputs()["y"]) == bits(x)


def test_large_tensors(channel: grpc.Channel, server: Address) -> None:
    """Above the sizes that are joined, counted, and read a piece at a time."""
    x = np.random.default_rng(1).normal(size=(300, 1000)).astype(np.float32)
    for form in (True, False):
        message = infer_message({"x": x}, raw=form, signature="type_float32")
        assert bits(outputs_of(call(channel, "ModelInfer", message))["y"]) == bits(x)
        body, headers = infer_body({"x": x}, binary=form, signature="type_float32")
        answer = ask(server.rest, INFER, body, headers)
        assert answer.status == 200, answer.document
        assert bits(answer.outputs()["y"]) == bits(x)


def test_all_data_types_are_asked() -> None:
    assert set(EDGES) == set(DTYPES)
