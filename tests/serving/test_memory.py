"""What requests and versions leave behind: nothing."""

from __future__ import annotations

import logging
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from atelier_serving.models.manager import Manager
from atelier_serving.models.servable import Servable
from atelier_serving.models.settings import ModelSettings
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.request_context import RequestContext
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.conformance_model import save_conformance_model
from tests.support.peer import END, FAST, Peer, entry
from tests.support.server import RunningServer, running_server
from tests.support.toy_models import save_toy

# A connection may have 1,000 requests at a time: one that leaves each request open is dead after as many.
UNREADABLE = 1200
SWAPS = 24
MB = 2**20


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("memory")


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[RunningServer]:
    save_toy(models, "toy", 1, 1.0)
    with running_server(models, *FAST, "--max_num_load_retries=0", model="toy") as server:
        yield server


@pytest.fixture
def peer(server: RunningServer, models: Path) -> Iterator[Peer]:
    """Each test has a connection of its own."""
    peer = Peer(server, models, "toy")
    yield peer
    peer.channel.close()


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("/tensorflow.serving.PredictionService/Predict", "unary_unary"),
        ("/tensorflow.serving.ModelService/GetModelStatus", "unary_unary"),
        ("/grpc.health.v1.Health/Check", "unary_unary"),
        ("/grpc.health.v1.Health/Watch", "unary_stream"),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "stream_stream"),
    ],
)
def test_messages_that_are_no_protos_are_refused_and_leave_nothing(
    peer: Peer, method: str, kind: str
) -> None:
    ask = getattr(peer.channel, kind)(method)
    codes, before = set(), 0
    for number in range(UNREADABLE):
        if number == UNREADABLE // 10:
            before = peer.server.resident()
        try:
            if kind == "unary_unary":
                ask(b"\xff\xff", timeout=10)
            else:
                list(ask(iter([b"\xff\xff"]) if kind == "stream_stream" else b"\xff\xff", timeout=10))
        except grpc.RpcError as error:
            codes.add((error.code(), error.details()))
    assert codes == {(grpc.StatusCode.INTERNAL, "Exception deserializing request!")}
    # The same connection goes on. Left open, the requests would hold 17 MB.
    assert peer.scale() == (1.0, 1)
    assert peer.server.resident() < before + 6 * MB


def test_models_that_come_and_go_give_their_memory_back(peer: Peer, models: Path) -> None:
    save_conformance_model(models / "wide")
    alone, both = peer.config(), entry(models, "wide", path=models / "wide" / "toy")
    sizes = []
    for _ in range(SWAPS):
        peer.reload(alone, both)
        peer.reload(alone)
        peer.wait(lambda: peer.states("wide") == {1: END})
        sizes.append(peer.server.resident())
    assert max(sizes[4:]) < sizes[3] + 12 * MB, [size // MB for size in sizes]


def test_watched_names_are_forgotten(peer: Peer) -> None:
    """Each has a megabyte; those open at a time hold up no request. The first 60 fill what the allocator keeps."""
    stub = health_pb2_grpc.HealthStub(peer.channel)
    sizes = []
    for begin in range(0, 240, 20):
        names = [f"{number}{'x' * MB}" for number in range(begin, begin + 20)]
        watches = [stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=60) for name in names]
        assert {next(watch).status for watch in watches} == {health_pb2.HealthCheckResponse.SERVICE_UNKNOWN}
        assert peer.scale() == (1.0, 1)
        for watch in watches:
            watch.cancel()
        sizes.append(peer.server.resident())
    # Were they kept, the nine rounds after the third would add 180 MB.
    assert sizes[-1] < sizes[2] + 60 * MB, [size // MB for size in sizes]


def test_the_metrics_of_versions_long_gone_are_forgotten() -> None:
    metrics = RequestMetrics(None)
    for number in range(1, 61):
        context = RequestContext("Predict", None, 0.0)
        context.model, context.version, context.rows = "toy", number, 1
        metrics.answered([context], "GRPC")
        metrics.loaded(f"/toy/{number}", "OK", 0.1)
        metrics.forget([("toy", 3)])
    text = metrics.registry.text([metrics.registry.snapshot()])
    shown = {
        int(number)
        for number in re.findall(r'atelier_\w+_count{model_name="toy",model_version="(\d+)"', text)
    }
    assert shown == {3, *range(41, 61)}
    assert ':tensorflow:serving:request_count{model_name="toy",status="OK"} 60' in text


def test_names_that_clients_make_up_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """Each is 100 kB long; kept, they would be 5 MB and more."""
    # The test runner keeps the lines of the log, which hold the names.
    caplog.set_level(logging.CRITICAL, "atelier_serving")

    def load(folder: Path) -> Servable:
        raise AssertionError(f"nothing is there to load: {folder}")

    manager = Manager(load, attempts=1, retry_seconds=0, labels_for_unavailable=False)
    tracemalloc.start()
    try:
        for number in range(50):
            manager.configure([ModelSettings(f"{number:0100000}", Path("/nowhere"))])
        manager.configure([])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < MB
    assert manager.names() == []
