"""gRPC reflection: the services are listed and described, and its streams hold up no request."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.support.peer import Peer


def test_reflection_lists_and_describes_the_services(small_peer: Peer) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(small_peer.channel)
    ask = reflection_pb2.ServerReflectionRequest
    questions = [
        ask(list_services=""),
        ask(file_containing_symbol="tensorflow.serving.PredictionService"),
    ]
    listed, described = stub.ServerReflectionInfo(iter(questions), timeout=10)
    names = {service.name for service in listed.list_services_response.service}
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= names
    assert "grpc.health.v1.Health" in names
    assert any(
        b"PredictionService" in proto for proto in described.file_descriptor_response.file_descriptor_proto
    )


def test_open_reflection_streams_do_not_hold_up_requests(small_peer: Peer) -> None:
    stub, stop = reflection_pb2_grpc.ServerReflectionStub(small_peer.channel), threading.Event()

    def silent() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        stop.wait()
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    streams = [stub.ServerReflectionInfo(silent(), timeout=30) for _ in range(40)]
    try:
        assert small_peer.scale()[0] == 1.0
    finally:
        stop.set()
        for stream in streams:
            stream.cancel()
