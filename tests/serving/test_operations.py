"""What operators use: batching of a real server, health, metrics, draining; on real processes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.http import get, series
from tests.support.open_inference import ask, call, failure, infer_body, infer_message, outputs_of
from tests.support.peer import ONCE, Peer
from tests.support.server import running_server
from tests.support.toy_models import save_toy


@pytest.fixture(scope="module")
def peer(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    parameters = tmp_path_factory.mktemp("batching") / "batching.config"
    parameters.write_text("max_batch_size { value: 8 } batch_timeout_micros { value: 20000 }")
    flags = ("--enable_batching", f"--batching_parameters_file={parameters}")
    with running_server(models, *ONCE, *flags, model="toy") as server:
        opened = Peer(server, models, "toy")
        opened.server = server
        yield opened
        opened.channel.close()


def health(peer: Peer, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(peer.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


def test_requests_at_the_same_time_share_a_run(peer: Peer) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: peer.scale()[0], range(64))) == [1.0] * 64
    seen = series(peer.server)
    rows = next(value for name, value in seen.items() if name.startswith("atelier_batch_rows_sum"))
    count = next(value for name, value in seen.items() if name.startswith("atelier_batch_rows_count"))
    assert rows / count > 2
    labels = 'model_name="toy",model_version="1",api="Predict",entrypoint="GRPC"'
    queued = f'atelier_stage_seconds_sum{{{labels},stage="queue"}}'
    assert seen[queued] > 0
    assert (
        seen[':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="batch_threads"}']
        >= 64
    )
    assert 8 <= seen[":tensorflow:serving:batching_session:wrapped_run_count{}"] < 32


def test_metrics_count_by_status_version_and_entrypoint(peer: Peer) -> None:
    before = series(peer.server)
    peer.scale()
    body = json.dumps({"instances": [1.0]}).encode()
    urllib.request.urlopen(f"{peer.server.rest}/v1/models/toy:predict", body, timeout=10).close()
    with pytest.raises(grpc.RpcError):
        peer.scale(name="nobody-serves-this")
    after = series(peer.server)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown(':tensorflow:serving:request_count{model_name="toy",status="OK"}') == 2
    assert grown(':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}') == 1
    assert (
        grown(':tensorflow:serving:request_latency_count{model_name="toy",API="Predict",entrypoint="GRPC"}')
        == 1
    )
    assert (
        grown(':tensorflow:serving:request_latency_count{model_name="toy",API="predict",entrypoint="REST"}')
        == 1
    )
    versioned = 'model_name="toy",model_version="1",api="predict",entrypoint="REST"'
    assert grown(f'atelier_request_seconds_count{{{versioned},status="OK"}}') == 1
    assert after['atelier_version_available{model_name="toy",model_version="1"}'] == 1
    # A client cannot make series by making up names.
    assert not any("nobody-serves-this" in name for name in after)
    assert after["process_resident_memory_bytes{}"] > 1e8


def test_the_open_inference_protocol_shares_batches_and_metrics(peer: Peer) -> None:
    before = series(peer.server)
    message = infer_message({"x": np.ones(1, np.float32)}, raw=True)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: call(peer.channel, "ModelInfer", message), range(64)))
    assert {outputs_of(answer)["y"].tolist()[0] for answer in found} == {1.0}
    body, headers = infer_body({"x": np.ones(1, np.float32)}, binary=False)
    assert ask(peer.server.rest, "/v2/models/toy/infer", body, headers).status == 200
    assert ask(peer.server.rest, "/v2/models/nobody-serves-this/infer", body, headers).status == 404
    after = series(peer.server)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown(':tensorflow:serving:request_count{model_name="toy",status="OK"}') == 65
    assert grown(':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}') == 1
    versioned = 'model_name="toy",model_version="1"'
    for api, entrypoint, count in (("ModelInfer", "GRPC", 64), ("infer", "REST", 1)):
        labels = f'model_name="toy",API="{api}",entrypoint="{entrypoint}"'
        assert grown(f":tensorflow:serving:request_latency_count{{{labels}}}") == count
        labels = f'{versioned},api="{api}",entrypoint="{entrypoint}",status="OK"'
        assert grown(f"atelier_request_seconds_count{{{labels}}}") == count
    assert grown(f"atelier_batch_rows_count{{{versioned}}}") == 65
    assert grown(f"atelier_batch_rows_sum{{{versioned}}}") > 2 * 65


def test_the_metrics_page_is_prometheus_text(peer: Peer) -> None:
    status, text = get(peer.server, "/monitoring/prometheus/metrics")
    assert status == 200
    sample = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]+="[^"]*",?)*\})? [0-9.e+-]+(inf|nan)?')
    assert all(sample.fullmatch(line) for line in text.splitlines() if not line.startswith("# TYPE "))
    buckets = [
        line for line in text.splitlines() if "request_latency_bucket" in line and 'API="Predict"' in line
    ]
    counts = [float(line.rsplit(" ", 1)[1]) for line in buckets]
    assert len(buckets) == 34
    assert counts == sorted(counts)
    assert 'le="10"' in buckets[0]
    assert 'le="+Inf"' in buckets[-1]


def test_health_is_ready_and_stays_so_during_a_swap(models: Path, peer: Peer) -> None:
    assert get(peer.server, "/healthz")[0] == 200
    status, body = get(peer.server, "/readyz")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    seen, stop = set(), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.add((get(peer.server, "/readyz")[0], health(peer)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        broken = save_toy(models, name="aside", version=9)
        (broken / "saved_model.pb").write_bytes(b"")
        broken.rename(models / "toy" / "2")
        save_toy(models, version=3, factor=3.0)
        peer.wait(lambda: peer.scale()[1] == 3)
        peer.wait(lambda: peer.states()[1] == 50)
    finally:
        stop.set()
        thread.join()
    assert seen == {(200, health_pb2.HealthCheckResponse.SERVING)}


def test_health_says_when_no_version_is_left_and_when_one_is_back(models: Path, peer: Peer) -> None:
    shutil.rmtree(models / "toy")
    (models / "toy").mkdir()
    peer.wait(lambda: get(peer.server, "/readyz")[0] == 503)
    peer.wait(lambda: health(peer) == health_pb2.HealthCheckResponse.NOT_SERVING)
    assert get(peer.server, "/healthz")[0] == 200
    assert get(peer.server, "/v2/health/live")[0] == 200
    for path in ("/v2/health/ready", "/v2/models/toy/ready"):
        assert get(peer.server, path)[0] == 503
    assert not call(peer.channel, "ServerReady").ready
    assert not call(peer.channel, "ModelReady", name="toy").ready
    code, text = failure(peer.channel, infer_message({"x": np.ones(1, np.float32)}, raw=True))
    assert (code, text) == (grpc.StatusCode.UNAVAILABLE, 'The model "toy" has no version that answers.')
    save_toy(models, version=4, factor=4.0)
    peer.wait(lambda: get(peer.server, "/readyz")[0] == 200)
    assert ask(peer.server.rest, "/v2/models/toy/ready").document == {"name": "toy", "ready": True}
    peer.wait(lambda: health(peer) == health_pb2.HealthCheckResponse.SERVING)


def test_a_stop_is_bounded_whatever_clients_hold_open(models: Path) -> None:
    """A request whose body never ends, and one whose headers never end, do not keep the server from stopping."""
    with running_server(models, *ONCE, model="toy") as server:
        host, port = server.rest.removeprefix("http://").split(":")
        head = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        with (
            socket.create_connection((host, int(port))) as body,
            socket.create_connection((host, int(port))) as headers,
        ):
            body.sendall(head + b"\r\n{")
            headers.sendall(head)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            assert server.process.wait(timeout=15) == 0
            assert time.monotonic() - started < 10


def test_a_second_signal_ends_at_once(models: Path) -> None:
    with running_server(models, *ONCE, model="toy") as server:
        host, port = server.rest.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as held:
            held.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=3) == 128 + signal.SIGTERM
