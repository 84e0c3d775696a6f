"""The access log and the request log."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from atelier_serving.monitoring.request_log import MAX_FILES, RequestLog
from atelier_serving.monitoring.request_metrics import RequestMetrics
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tests.support.http import get
from tests.support.peer import ONCE, Peer
from tests.support.server import running_server
from tests.support.toy_models import save_toy


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def peer(models: Path, logs: Path) -> Iterator[Peer]:
    flags = (
        f"--access_log_file={logs}/access.log",
        f"--request_log_dir={logs}/requests",
        "--request_log_sampling_rate=1",
        "--rest_api_timeout_in_ms=1500",
    )
    with running_server(models, *ONCE, *flags, model="toy") as server:
        opened = Peer(server, models, "toy")
        opened.server = server
        yield opened
        opened.channel.close()


def test_the_access_log_has_a_line_of_json_for_each_request(peer: Peer, logs: Path) -> None:
    before = len((logs / "access.log").read_text().splitlines())
    peer.scale()
    with pytest.raises(grpc.RpcError):
        peer.scale(version=9)
    assert get(peer.server, "/v1/models/toy")[0] == 200
    lines = [json.loads(line) for line in (logs / "access.log").read_text().splitlines()[before:]]
    seen = [(entry["entrypoint"], entry["method"], entry["status"]) for entry in lines]
    assert seen == [("GRPC", "Predict", "OK"), ("GRPC", "Predict", "NOT_FOUND"), ("REST", "status", "OK")]
    assert (lines[0]["model"], lines[0]["version"], lines[0]["rows"]) == ("toy", 1, 1)
    assert lines[0]["ms"] >= lines[0]["run_ms"] > 0
    assert lines[0]["peer"].startswith("ipv4:127.0.0.1:")


def test_the_request_log_is_a_warm_up_file(peer: Peer, logs: Path, models: Path, tmp_path: Path) -> None:
    for _ in range(5):
        peer.scale()
    (file,) = (logs / "requests").iterdir()
    copy = save_toy(tmp_path, version=7, factor=7.0)
    (copy / "assets.extra").mkdir()
    shutil.copy(file, copy / "assets.extra" / "tf_serving_warmup_requests")
    records = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    assert len(records) >= 5
    assert records[-1].predict_log.request.inputs["x"].dtype == 1
    assert records[-1].log_metadata.model_spec.version.value == 1
    copy.rename(models / "toy" / "7")
    peer.wait(lambda: peer.scale() == (7.0, 7))
    _, text = get(peer.server, "/monitoring/prometheus/metrics")
    path = f'model_path="{models}/toy/7",status="OK"'
    read = re.search(rf":tensorflow:serving:model_warmup_records_read{{{re.escape(path)}}} (\d+)", text)
    assert read is not None
    assert int(read[1]) == len(records)


def test_the_request_log_rotates_at_what_a_warm_up_may_have_and_bounds_its_files(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, 1.0, RequestMetrics(None))
    request, response = predict_pb2.PredictRequest(), predict_pb2.PredictResponse()
    for _ in range(2001):
        log.sample("Predict", "../a b", request, response)
        log.sample("GetModelStatus", "a", request, response)
    counts = sorted(sum(1 for _ in tf.data.TFRecordDataset(str(file))) for file in tmp_path.iterdir())
    assert counts == [1, 1000, 1000]
    for index in range(MAX_FILES + 3):
        (tmp_path / f"m-{index}-1.tfrecord").write_bytes(b"")
    log.sample("Predict", "m", request, response)
    assert len(list(tmp_path.glob("m-*.tfrecord"))) == MAX_FILES
    rare = RequestLog(tmp_path / "none", 0.0, RequestMetrics(None))
    rare.sample("Predict", "m", request, response)
    assert not list((tmp_path / "none").iterdir())
