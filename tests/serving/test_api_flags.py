"""Flags that change the API: CORS, tensor_content in answers, the check of method names, warm-up iterations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.support.conformance_model import save_conformance_model
from tests.support.server import RunningServer, running_server
from tests.support.wire import (
    INVALID,
    X,
    classify_request,
    example,
    http,
    multi_request,
    predict_request,
    refusal,
    regress_request,
)

TOY = "/v1/models/toy"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    models = tmp_path_factory.mktemp("models")
    save_conformance_model(models)
    flags = (
        "--rest_api_enable_cors_support=true",
        "--enable_serialization_as_tensor_content=true",
        "--enable_signature_method_name_check",
    )
    with running_server(models, *flags, model="toy") as running:
        yield running


@pytest.fixture(scope="module")
def prediction(server: RunningServer) -> Iterator[PredictionServiceStub]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield PredictionServiceStub(channel)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", f"{TOY}:predict", {"instances": [1]}, 200),
        ("POST", f"{TOY}:predict", b"", 400),
        ("GET", TOY, None, 200),
        ("GET", f"{TOY}/metadata", None, 200),
        ("GET", "/v1/models/nix", None, 404),
        ("OPTIONS", f"{TOY}:predict", None, 200),
    ],
)
def test_cors_headers_come_with_every_answer(
    server: RunningServer, method: str, path: str, body: Any, status: int
) -> None:
    got, _, headers = http(server, path, body, method, Origin="https://page.example")
    assert got == status
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Allow-Methods"] == "POST, GET"
    assert headers["Access-Control-Allow-Headers"] == "Content-Type"


@pytest.mark.parametrize("kind", [tf.float32, tf.bfloat16, tf.int64, tf.bool], ids=lambda kind: kind.name)
def test_answers_come_as_content(prediction: PredictionServiceStub, kind: tf.DType) -> None:
    values = np.array([1, 0, 1], kind.as_numpy_dtype)
    got = prediction.Predict(predict_request(signature=f"type_{kind.name}", x=values), timeout=10)
    assert got.outputs["y"].tensor_content == values.tobytes()


def test_strings_never_come_as_content(prediction: PredictionServiceStub) -> None:
    got = prediction.Predict(predict_request(signature="type_string", x=np.array([b"a"], object)), timeout=10)
    assert (got.outputs["y"].tensor_content, list(got.outputs["y"].string_val)) == (b"", [b"a"])


def test_the_method_name_of_a_signature_is_checked(prediction: PredictionServiceStub) -> None:
    assert refusal(prediction.Predict, predict_request(signature="__saved_model_init_op", x=X)) == (
        grpc.StatusCode.INTERNAL,
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: ",
    )
    assert refusal(prediction.Classify, classify_request(example(), signature="examples")) == (
        INVALID,
        "Expected classification signature method_name to be tensorflow/serving/classify. "
        "Was: tensorflow/serving/predict",
    )
    assert refusal(prediction.Regress, regress_request(example(), signature="classify")) == (
        INVALID,
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/classify",
    )
    assert refusal(
        prediction.MultiInference, multi_request([("regress", {"signature": "classify"})], example())
    ) == (
        INVALID,
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/classify",
    )


def test_a_signature_of_the_right_method_passes(prediction: PredictionServiceStub) -> None:
    inputs = tf.make_tensor_proto([example(value=0.5).SerializeToString()])
    for signature in ("serving_default", "classify", "regress"):
        message = predict_request(
            signature=signature, **({"x": X} if "_" in signature else {"inputs": inputs})
        )
        assert prediction.Predict(message, timeout=10).outputs
    assert prediction.Classify(classify_request(example(), signature="classify"), timeout=10).result
    assert prediction.Regress(regress_request(example(), signature="regress"), timeout=10).result
