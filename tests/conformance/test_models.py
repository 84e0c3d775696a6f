"""Metadata, status, reload and health over gRPC, one row a fact. Nothing here changes what a server serves."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.support.conformance_model import DERIVED
from tests.support.wire import INVALID, NOT_FOUND, refusal, spec, status_request

AVAILABLE = 30


def metadata_request(*fields: str, **model: Any) -> get_model_metadata_pb2.GetModelMetadataRequest:
    return spec(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields), **model)


METADATA_REFUSED = {
    "no model spec": (metadata_request("signature_def", name=None), INVALID, "Missing ModelSpec"),
    "no field": (
        metadata_request(),
        INVALID,
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    "no such field": (metadata_request("graph"), INVALID, "Metadata field graph is not supported"),
    "field before model": (
        metadata_request("graph", name="nix"),
        INVALID,
        "Metadata field graph is not supported",
    ),
    "no name": (metadata_request("signature_def", name=""), INVALID, "ModelSpec has no name specified."),
    "unknown model": (
        metadata_request("signature_def", name="nix"),
        NOT_FOUND,
        "Servable not found for request: Latest(nix)",
    ),
    "unknown version": (
        metadata_request("signature_def", version=5),
        NOT_FOUND,
        "Servable not found for request: Specific(toy, 5)",
    ),
    "unknown label": (
        metadata_request("signature_def", label="best"),
        INVALID,
        "Unrecognized servable version label: best",
    ),
}
STATUS_REFUSED = {
    "no model spec": (get_model_status_pb2.GetModelStatusRequest(), INVALID, "Missing ModelSpec"),
    "no name": (status_request(name=""), NOT_FOUND, "Could not find any versions of model "),
    "unknown model": (status_request(name="nix"), NOT_FOUND, "Could not find any versions of model nix"),
    "unknown version": (status_request(version=7), NOT_FOUND, "Could not find version 7 of model toy"),
    "version of an unknown model": (
        status_request(name="nix", version=1),
        NOT_FOUND,
        "Could not find version 1 of model nix",
    ),
}
_TOY = 'config { name: "toy" base_path: "/nowhere/toy" model_platform: "tensorflow" } '
RELOAD_REFUSED = {
    "no configuration": (
        "",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported",
    ),
    "custom configuration": (
        "custom_model_config {}",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported",
    ),
    "a name twice": (
        f"model_config_list {{ {_TOY} {_TOY} }}",
        "Illegal to list model toy multiple times in config list",
    ),
    "relative path": (
        'model_config_list { config { name: "toy" base_path: "toy" model_platform: "tensorflow" } }',
        "Expected model toy to have an absolute path or URI; got base_path()=toy",
    ),
    "no platform": (
        'model_config_list { config { name: "toy" base_path: "/toy" } }',
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
        "ModelServerConfig::model_platform, model name is toy",
    ),
    "another platform": (
        'model_config_list { config { name: "toy" base_path: "/toy" model_platform: "onnx" } }',
        "Illegal to change a model's platform. For model toy platform was tensorflow and new platform "
        "requested is onnx",
    ),
}


@pytest.mark.parametrize(("message", "code", "text"), METADATA_REFUSED.values(), ids=METADATA_REFUSED)
def test_a_refused_metadata_request_has_its_code_and_text(
    prediction: PredictionServiceStub, message: Message, code: grpc.StatusCode, text: str
) -> None:
    assert refusal(prediction.GetModelMetadata, message) == (code, text)


@pytest.mark.parametrize(("message", "code", "text"), STATUS_REFUSED.values(), ids=STATUS_REFUSED)
def test_a_refused_status_request_has_its_code_and_text(
    models: ModelServiceStub, message: Message, code: grpc.StatusCode, text: str
) -> None:
    assert refusal(models.GetModelStatus, message) == (code, text)


@pytest.mark.parametrize(("config", "text"), RELOAD_REFUSED.values(), ids=RELOAD_REFUSED)
def test_a_wrong_configuration_is_refused_and_changes_nothing(
    models: ModelServiceStub, config: str, text: str
) -> None:
    message = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(config, message.config)
    assert refusal(models.HandleReloadConfigRequest, message) == (INVALID, text)
    answer = models.GetModelStatus(status_request(), timeout=10)
    assert [entry.state for entry in answer.model_version_status] == [AVAILABLE]


@pytest.mark.parametrize("model", [{}, {"version": 1}, {"label": "stable"}], ids=str)
def test_metadata_holds_every_signature(prediction: PredictionServiceStub, model: dict[str, Any]) -> None:
    answer = prediction.GetModelMetadata(metadata_request("signature_def", **model), timeout=10)
    named = answer.model_spec
    assert (named.name, named.version.value, named.signature_name) == ("toy", 1, "")
    assert not named.HasField("version_label")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "echo", "__saved_model_init_op", *DERIVED} <= set(signatures.signature_def)
    assert signatures.signature_def["serving_default"].inputs["x"].dtype == tf.float32.as_datatype_enum


@pytest.mark.parametrize("model", [{}, {"version": 1}, {"label": "no such label"}], ids=str)
def test_status_holds_state_and_error_and_ignores_a_label(
    models: ModelServiceStub, model: dict[str, Any]
) -> None:
    answer = models.GetModelStatus(status_request(**model), timeout=10)
    (entry,) = answer.model_version_status
    assert (entry.version, entry.state) == (1, AVAILABLE)
    assert (entry.status.error_code, entry.status.error_message) == (0, "")


@pytest.mark.parametrize("service", ["", "PredictionService", "ModelService"])
def test_health_is_serving(channel: grpc.Channel, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as error:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nix"), timeout=10)
    assert error.value.code() == NOT_FOUND
