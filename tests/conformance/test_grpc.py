"""gRPC facts, one row each: a request, its status, its text. The client is the official tensorflow-serving-api."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
X = np.array([1, 2], np.float32)


def request(name="toy", signature="", version=None, label=None, outputs=(), **inputs):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    if label is not None:
        message.model_spec.version_label = label
    message.output_filter.extend(outputs)
    for alias, value in inputs.items():
        message.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return message


def malformed(**fields):
    message = request(x=X)
    message.inputs["x"].Clear()
    message.inputs["x"].dtype = 1
    message.inputs["x"].tensor_shape.dim.add(size=2)
    for name, value in fields.items():
        setattr(message.inputs["x"], name, value)
    return message


@pytest.fixture(scope="session")
def predict(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
        (request(name="", x=X), INVALID, "ModelSpec has no name specified."),
        (request(name="nix", x=X), NOT_FOUND, "Servable not found for request: Latest(nix)"),
        (request(version=9, x=X), NOT_FOUND, "Servable not found for request: Specific(toy, 9)"),
        (request(label="best", x=X), INVALID, "Unrecognized servable version label: best"),
        (request(name="nix", label="best", x=X), INVALID, "Unrecognized servable version label: best"),
        (
            request(signature="nix", x=X),
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "nix" not found.',
        ),
        (
            request(),
            INVALID,
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            request(x=X, z=X, a=X),
            INVALID,
            "input size does not match signature: 3!=1 len({a,x,z}) != len({x}). "
            "Sent extra: {a,z}. Missing but required: {}.",
        ),
        (
            request(z=X),
            INVALID,
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {z}, or default input alias set: ",
        ),
        (request(x=X, outputs=["y", "y"]), INVALID, "duplicate output tensor alias: y"),
        (
            request(x=X, outputs=["w"]),
            INVALID,
            "output tensor alias not found in signature: w Outputs expected to be in the set {y}.",
        ),
        (request(x=X.astype(np.float64)), INVALID, "Expects arg[0] to be float but double is provided"),
        (request(x=X.astype(np.int32)), INVALID, "Expects arg[0] to be float but int32 is provided"),
        (request(x=X.astype(np.uint8)), INVALID, "Expects arg[0] to be float but uint8 is provided"),
        (request(x=np.array(["a"])), INVALID, "Expects arg[0] to be float but string is provided"),
        (malformed(tensor_content=b"123"), INVALID, "tensor parsing error: x"),
        (malformed(dtype=20), INVALID, "tensor parsing error: x"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_predict_gives_code_and_text(predict, message, code, text):
    with pytest.raises(grpc.RpcError) as error:
        predict(message, timeout=10)
    assert (error.value.code(), error.value.details()) == (code, text)


def test_the_answer_names_the_version_and_signature_that_answered(predict):
    for message in (request(x=X), request(x=X, version=1), request(x=X, signature="serving_default")):
        answer = predict(message, timeout=10)
        spec = answer.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("toy", 1, "serving_default")
        assert spec.version_label == ""
        np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), X * 2)


def test_both_encodings_of_a_tensor_are_read(predict):
    listed = malformed()
    listed.inputs["x"].float_val.extend([3.0])
    np.testing.assert_array_equal(tf.make_ndarray(predict(listed, timeout=10).outputs["y"]), [6, 6])
    listed.inputs["x"].float_val.extend([4.0, 5.0])
    np.testing.assert_array_equal(tf.make_ndarray(predict(listed, timeout=10).outputs["y"]), [6, 8])
    content = malformed(tensor_content=np.array([7, 8], "<f4").tobytes())
    np.testing.assert_array_equal(tf.make_ndarray(predict(content, timeout=10).outputs["y"]), [14, 16])


@pytest.mark.parametrize(
    ("signature", "inputs", "outputs"),
    [
        ("serving_default", {"x": np.zeros(0, np.float32)}, {"y": np.zeros(0, np.float32)}),
        ("scalar", {"flag": np.array(True)}, {"flag": np.array(False)}),
        ("half", {"x": np.array([1, 2], np.float16)}, {"y": np.array([2, 3], np.float16)}),
        (
            "echo",
            {"text": np.array([b"a", b"\xff\0"], object), "number": np.array([1, 2**62])},
            {
                "text": np.array([b"a", b"\xff\0"], object),
                "raw_bytes": np.array([b"a", b"\xff\0"], object),
                "number": np.array([2, 2**62 + 1]),
            },
        ),
    ],
)
def test_every_type_travels_both_ways(predict, signature, inputs, outputs):
    answer = predict(request(signature=signature, **inputs), timeout=10)
    assert set(answer.outputs) == set(outputs)
    for alias, value in outputs.items():
        got = tf.make_ndarray(answer.outputs[alias])
        assert got.shape == value.shape
        assert got.tolist() == value.tolist()


def test_messages_over_four_megabytes_pass(predict):
    answer = predict(request(signature="large", size=np.array([30_000_000], np.int32)), timeout=60)
    assert answer.ByteSize() > 100_000_000
    assert predict(request(x=np.ones(3_000_000, np.float32)), timeout=60).ByteSize() > 4_000_000


def test_a_long_message_is_cut(predict):
    with pytest.raises(grpc.RpcError) as error:
        predict(request(signature="s" * 2000, x=X), timeout=10)
    assert error.value.details() == ('Serving signature key "' + "s" * 2000)[:1024] + "...TRUNCATED"


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ([], INVALID, "GetModelMetadataRequest must specify at least one metadata_field"),
        (["graph"], INVALID, "Metadata field graph is not supported"),
    ],
)
def test_metadata_fields_are_checked_before_the_model(channel, fields, code, text):
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    message.model_spec.name = "nix"
    with pytest.raises(grpc.RpcError) as error:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(message, timeout=10)
    assert (error.value.code(), error.value.details()) == (code, text)


def test_metadata_holds_every_signature(channel):
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    message.model_spec.name = "toy"
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(message, timeout=10)
    assert (answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name) == (
        "toy",
        1,
        "",
    )
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "echo", "scalar", "half", "large"} <= set(signatures.signature_def)
    assert signatures.signature_def["serving_default"].inputs["x"].dtype == tf.float32.as_datatype_enum


@pytest.mark.parametrize(
    ("name", "version", "code", "text"),
    [
        (None, None, INVALID, "Missing ModelSpec"),
        ("nix", None, NOT_FOUND, "Could not find any versions of model nix"),
        ("toy", 7, NOT_FOUND, "Could not find version 7 of model toy"),
    ],
)
def test_a_bad_status_request_gives_code_and_text(channel, name, version, code, text):
    message = get_model_status_pb2.GetModelStatusRequest()
    if name:
        message.model_spec.name = name
    if version:
        message.model_spec.version.value = version
    with pytest.raises(grpc.RpcError) as error:
        model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(message, timeout=10)
    assert (error.value.code(), error.value.details()) == (code, text)


def test_status_ignores_a_label(channel):
    message = get_model_status_pb2.GetModelStatusRequest()
    message.model_spec.name, message.model_spec.version_label = "toy", "unknown"
    answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(message, timeout=10)
    assert [(entry.version, entry.state) for entry in answer.model_version_status] == [(1, 30)]


def test_a_reload_takes_a_model_list_only(channel):
    message = model_management_pb2.ReloadConfigRequest()
    with pytest.raises(grpc.RpcError) as error:
        model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(message, timeout=10)
    assert error.value.code() == INVALID
    assert error.value.details() == (
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
    )


@pytest.mark.parametrize("service", ["", "PredictionService", "ModelService"])
def test_health_is_serving(channel, service):
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service_is_not_found(channel):
    with pytest.raises(grpc.RpcError) as error:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nix"), timeout=10)
    assert error.value.code() == NOT_FOUND
