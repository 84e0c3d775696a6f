"""One suite for any TensorFlow Serving: the embedded server by default, a real one with ATELIER_TARGET.

ATELIER_TARGET is its gRPC host:port, ATELIER_REST_TARGET its REST address (http://host:port). It must serve what
`python -m tests.support.conformance_model FOLDER` writes:

    tensorflow_model_server --port=8500 --rest_api_port=8501 --model_config_file=FOLDER/models.config \
        --allow_version_labels_for_unavailable_models --enable_grpc_healthcheck_service
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.support.server import Address, running_server

FLAGS = ("--allow_version_labels_for_unavailable_models", "--enable_grpc_healthcheck_service=true")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A deliberate deviation of the embedded server, listed in docs/serving.md, is asked of no other."""
    if item.get_closest_marker("deviation") and os.environ.get("ATELIER_TARGET"):
        pytest.skip("a deliberate deviation of the embedded server")


@pytest.fixture(scope="session", params=["native", "grpcio"])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Address]:
    """`.grpc` and `.rest` of the server under test; the embedded one with each of its fronts."""
    if target := os.environ.get("ATELIER_TARGET"):
        if request.param == "grpcio":
            pytest.skip("the server under test has one front")
        yield Address(target, os.environ["ATELIER_REST_TARGET"])
        return
    from tests.support.conformance_model import save_config, save_conformance_model

    models = tmp_path_factory.mktemp("toys")
    save_conformance_model(models)
    flags = (f"--model_config_file={save_config(models)}", f"--grpc_front={request.param}", *FLAGS)
    with running_server(models, *flags, model="toy") as running:
        yield running


@pytest.fixture(scope="session")
def channel(server: Address) -> Iterator[grpc.Channel]:
    """A channel without a limit on what it receives."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options=options) as opened:
        yield opened


@pytest.fixture(scope="session")
def prediction(channel: grpc.Channel) -> PredictionServiceStub:
    """The official stub of PredictionService."""
    return PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def models(channel: grpc.Channel) -> ModelServiceStub:
    """The official stub of ModelService."""
    return ModelServiceStub(channel)


@pytest.fixture(scope="session")
def predict(prediction: PredictionServiceStub) -> Callable[..., Any]:
    """PredictionService.Predict."""
    return prediction.Predict
