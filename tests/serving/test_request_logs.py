"""The access log and the request log of a server, over both transports and both fronts."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import shutil
import signal
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from atelier_client import Client
from atelier_client.request_log import LoggedRequest, Recorder, Remarks, read
from tensorflow_serving.apis import inference_pb2, prediction_log_pb2

from tests.support.conformance_model import save_config, save_conformance_model
from tests.support.http import get, series
from tests.support.open_inference import ask as ask_over_http
from tests.support.open_inference import bits, call, infer_body, infer_message
from tests.support.peer import ONCE, Peer
from tests.support.server import running_server
from tests.support.toy_models import save_toy

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_conformance_model(folder)
    save_config(folder)
    return folder


@pytest.fixture(scope="module", params=["native", "grpcio"])
def peer(models: Path, logs: Path, request: pytest.FixtureRequest) -> Iterator[Peer]:
    shutil.rmtree(logs)
    flags = (
        f"--access_log_file={logs}/access.log",
        f"--request_log_dir={logs}/requests",
        "--request_log_sampling_rate=1",
        "--request_log_redact=number,bonus,scores",
        f"--model_config_file={models}/models.config",
        "--allow_version_labels_for_unavailable_models=true",
        f"--grpc_front={request.param}",
    )
    with running_server(models, *ONCE, *flags, model="toy") as server:
        opened = Peer(server, models, "toy")
        yield opened
        opened.channel.close()


def written(peer: Peer, folder: Path, ask: Callable[[], object], count: int = 1) -> list[LoggedRequest]:
    """The requests that the log has more after `ask`, which makes so many."""
    before = len(list(read(folder))) if folder.exists() else 0
    ask()
    found: list[LoggedRequest] = []

    def arrived() -> bool:
        found[:] = list(read(folder))[before:]
        return len(found) >= count

    peer.wait(arrived)
    return found


def post(peer: Peer, path: str, document: object, headers: dict[str, str] | None = None) -> Any:
    """A JSON document's answer over REST."""
    request = urllib.request.Request(
        peer.server.rest + path, json.dumps(document).encode(), headers or {}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


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
    assert lines[2]["peer"].startswith("127.0.0.1:")
    assert [entry["trace_id"] for entry in lines] == [None, None, None]


def test_a_request_over_grpc_is_kept_with_time_version_label_and_trace(peer: Peer, logs: Path) -> None:
    before = datetime.now(UTC)
    request = prediction_log_pb2.PredictionLog().predict_log.request
    request.model_spec.name = "toy"
    request.model_spec.version_label = "stable"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 3.0]))
    metadata = [("traceparent", TRACEPARENT)]
    (kept,) = written(
        peer, logs / "requests", lambda: peer.prediction.Predict(request, timeout=10, metadata=metadata)
    )
    assert before - timedelta(seconds=1) < kept.time < datetime.now(UTC)
    assert (kept.model, kept.version, kept.label, kept.trace_id) == ("toy", 1, "stable", TRACE)
    assert (kept.transport, kept.source, kept.sampling_rate) == ("grpc", "server", 1.0)
    assert 0 < kept.seconds < 10
    np.testing.assert_array_equal(kept.inputs["x"], np.array([1, 3], np.float32))
    np.testing.assert_array_equal(kept.outputs["y"], np.array([2, 6], np.float32))
    line = json.loads((logs / "access.log").read_text().splitlines()[-1])
    assert line["trace_id"] == TRACE


@pytest.mark.parametrize("rows", [1, 30_000])
def test_a_predict_over_rest_is_kept_as_the_signature_s_tensors(peer: Peer, logs: Path, rows: int) -> None:
    """Small ones run in bursts, large ones by themselves."""
    instances = [float(n) for n in range(rows)]
    path = "/v1/models/toy/labels/stable:predict"
    headers = {"traceparent": TRACEPARENT}
    ask = lambda: post(peer, path, {"instances": instances}, headers)  # noqa: E731
    (kept,) = written(peer, logs / "requests", ask)
    assert (kept.model, kept.version, kept.label, kept.trace_id) == ("toy", 1, "stable", TRACE)
    assert (kept.transport, kept.signature, kept.examples) == ("rest", "serving_default", rows)
    assert kept.inputs["x"].dtype == np.float32
    np.testing.assert_array_equal(kept.outputs["y"], 2 * kept.inputs["x"])
    np.testing.assert_array_equal(kept.inputs["x"], np.array(instances, np.float32))


@pytest.mark.parametrize("rows", [1, 30_000])
@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_open_inference_protocol_is_kept_as_the_predict_that_it_is(
    peer: Peer, logs: Path, transport: str, rows: int
) -> None:
    """Small ones run in bursts, large ones by themselves."""
    x = np.arange(rows, dtype=np.float32)
    request = prediction_log_pb2.PredictionLog().predict_log.request
    request.model_spec.name, request.model_spec.version_label = "toy", "stable"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    (wanted,) = written(peer, logs / "requests", lambda: peer.prediction.Predict(request, timeout=10))

    def ask() -> None:
        if transport == "grpc":
            message = infer_message({"x": x}, raw=True, model_version="stable")
            call(peer.channel, "ModelInfer", message, metadata=[("traceparent", TRACEPARENT)])
        else:
            body, headers = infer_body({"x": x}, binary=True)
            path = "/v2/models/toy/versions/stable/infer"
            answer = ask_over_http(peer.server.rest, path, body, headers | {"traceparent": TRACEPARENT})
            assert answer.status == 200

    (kept,) = written(peer, logs / "requests", ask)
    assert (kept.model, kept.version, kept.label, kept.trace_id) == ("toy", 1, "stable", TRACE)
    assert (kept.transport, kept.source, kept.signature) == (transport, "server", wanted.signature)
    for mine, theirs in ((kept.inputs, wanted.inputs), (kept.outputs, wanted.outputs)):
        assert {name: bits(array) for name, array in mine.items()} == {
            name: bits(array) for name, array in theirs.items()
        }
    line = json.loads((logs / "access.log").read_text().splitlines()[-1])
    method = {"grpc": "ModelInfer", "rest": "infer"}[transport]
    assert (line["method"], line["model"], line["version"], line["rows"]) == (method, "toy", 1, rows)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_classify_and_regress_are_kept_without_what_is_redacted(
    peer: Peer, logs: Path, transport: str
) -> None:
    rows = [{"value": 0.25, "bonus": 3}, {"value": 0.75, "bonus": 1}]
    target = peer.server.grpc if transport == "grpc" else peer.server.rest

    def ask() -> None:
        with Client(target, "toy") as client:
            client.classify(rows, signature="classify")
            client.regress(rows, signature="regress")

    classified, regressed = written(peer, logs / "requests", ask, 2)
    for kept in (classified, regressed):
        assert {name: array.tolist() for name, array in kept.inputs.items()} == {"value": [0.25, 0.75]}
        assert kept.transport == transport
    assert classified.outputs["classes"].tolist() == [[b"small", b"large"]] * 2
    assert not classified.outputs["scores"].any()
    assert classified.redacted == ("bonus", "scores")
    assert regressed.outputs["outputs"].tolist() == [3.5, 2.5]
    assert regressed.redacted == ("bonus",)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_redacted_tensor_is_nowhere_in_the_record(peer: Peer, logs: Path, transport: str) -> None:
    target = peer.server.grpc if transport == "grpc" else peer.server.rest
    example = tf.train.Example()
    example.features.feature["bonus"].int64_list.value.append(987654321)

    def ask() -> None:
        with Client(target, "toy") as client:
            client.predict({"text": ["open"], "number": [123456789]}, signature="echo")
            client.predict({"inputs": [example.SerializeToString()]}, signature="examples")

    echoed, serialized = written(peer, logs / "requests", ask, 2)
    assert set(echoed.inputs) == {"text"}
    assert set(echoed.outputs) == {"text", "raw_bytes"}
    assert echoed.redacted == ("number",)
    # Serialized examples with a feature that is redacted are taken out whole.
    assert serialized.inputs == {}
    assert set(serialized.redacted) == {"inputs", "scores"}
    secret = tf.train.Int64List(value=[987654321]).SerializeToString()
    assert all(secret not in file.read_bytes() for file in (logs / "requests").iterdir())


@pytest.mark.parametrize("transport", ["grpc", "rest"])
@pytest.mark.parametrize("method", ["predict", "classify", "regress"])
def test_the_client_s_record_is_that_of_the_server(
    peer: Peer, logs: Path, tmp_path: Path, transport: str, method: str
) -> None:
    """But for the source, the latency, and the version, which REST does not tell."""
    target = peer.server.grpc if transport == "grpc" else peer.server.rest
    rows: Any = [1.0, 2.0] if method == "predict" else [{"value": 0.25}, {"value": 0.5}]
    signature = "serving_default" if method == "predict" else method
    recorder = Recorder(tmp_path / "log", 1.0, redact=["number", "bonus", "scores"])

    def ask() -> None:
        with recorder, Client(target, "toy", recorder=recorder, traceparent=TRACEPARENT) as client:
            getattr(client, method)(rows, signature=signature, label="stable")

    (server_s,) = written(peer, logs / "requests", ask)
    (client_s,) = read(tmp_path / "log")
    for field in ("model", "label", "trace_id", "transport", "signature", "redacted", "examples"):
        assert getattr(client_s, field) == getattr(server_s, field), field
    assert (server_s.trace_id, server_s.version, server_s.source) == (TRACE, 1, "server")
    assert (client_s.version, client_s.source) == (1 if transport == "grpc" else 0, "client")
    assert abs(client_s.time - server_s.time) < timedelta(seconds=10)
    for mine, its in ((client_s.inputs, server_s.inputs), (client_s.outputs, server_s.outputs)):
        assert mine.keys() == its.keys()
        for name, array in its.items():
            assert array.dtype == mine[name].dtype
            np.testing.assert_array_equal(array, mine[name])


def test_a_multi_inference_is_kept(peer: Peer, logs: Path) -> None:
    request = inference_pb2.MultiInferenceRequest()
    for signature, method in (("classify", "classify"), ("regress", "regress")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = "toy"
        task.model_spec.signature_name = signature
    example = request.input.example_list.examples.add()
    example.features.feature["value"].float_list.value.append(0.5)
    ask = lambda: peer.prediction.MultiInference(request, timeout=10)  # noqa: E731
    (kept,) = written(peer, logs / "requests", ask)
    assert kept.version == 1
    assert kept.outputs["regress/outputs"].tolist() == [1.0]
    assert kept.outputs["classify/classes"].tolist() == [[b"small", b"large"]]


def test_a_request_that_fails_is_not_kept(peer: Peer, logs: Path) -> None:
    def ask() -> None:
        with pytest.raises(grpc.RpcError):
            peer.scale(version=9)
        for body in ({"instances": ["no number"]}, {"instances": [1.0], "signature_name": "none"}):
            with pytest.raises(urllib.error.HTTPError):
                post(peer, "/v1/models/toy:predict", body)
        peer.scale()

    (kept,) = written(peer, logs / "requests", ask)
    assert kept.inputs["x"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("values", "trace"),
    [
        ([TRACEPARENT], TRACE),
        ([f"01-{TRACE}-b7ad6b7169203331-01-more"], TRACE),
        ([f"ff-{TRACE}-b7ad6b7169203331-01"], None),
        ([TRACEPARENT + "-more"], None),
        ([TRACEPARENT.upper()], None),
        ([f"00-{'0' * 32}-b7ad6b7169203331-01"], None),
        ([f"00-{TRACE}-{'0' * 16}-01"], None),
        ([TRACEPARENT[:-1]], None),
        ([""], None),
        ([TRACEPARENT, TRACEPARENT], None),
    ],
)
def test_a_traceparent_is_taken_as_the_standard_says(
    peer: Peer, logs: Path, values: list[str], trace: str | None
) -> None:
    request = prediction_log_pb2.PredictionLog().predict_log.request
    request.model_spec.name = "toy"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    peer.prediction.Predict(request, timeout=10, metadata=[("traceparent", value) for value in values])
    host, port = peer.server.rest.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.putrequest("GET", "/v1/models/toy")
    for value in values:
        connection.putheader("TraceParent", value)
    connection.endheaders()
    assert connection.getresponse().status == 200
    connection.close()
    lines = [json.loads(line) for line in (logs / "access.log").read_text().splitlines()[-2:]]
    # gRPC's core keeps only the last of several values of this key.
    assert [line["trace_id"] for line in lines] == [TRACE if len(values) > 1 else trace, trace]


def test_the_request_log_is_a_warm_up_file_and_whole_when_the_server_has_ended(tmp_path: Path) -> None:
    models, log = tmp_path / "models", tmp_path / "log"
    save_toy(models, version=1, factor=1.0)
    flags = (f"--request_log_dir={log}", "--request_log_sampling_rate=1")
    with running_server(models, *ONCE, *flags, model="toy") as server:
        peer = Peer(server, models, "toy")

        def ask() -> None:
            for _ in range(3):
                peer.scale()
                post(peer, "/v1/models/toy:predict", {"instances": [1.0]})

        assert len(written(peer, log, ask, 6)) == 6
        (file,) = log.iterdir()
        copy = save_toy(tmp_path, version=7, factor=7.0)
        (copy / "assets.extra").mkdir()
        shutil.copy(file, copy / "assets.extra" / "tf_serving_warmup_requests")
        records = [
            prediction_log_pb2.PredictionLog.FromString(record.numpy())
            for record in tf.data.TFRecordDataset(str(file))
        ]
        for record in records:
            assert record.predict_log.request.inputs["x"].dtype == 1
            assert record.log_metadata.model_spec.version.value == 1
        copy.rename(models / "toy" / "7")
        peer.wait(lambda: peer.scale() == (7.0, 7))
        path = f'model_path="{models}/toy/7",status="OK"'
        assert series(server)[f":tensorflow:serving:model_warmup_records_read{{{path}}}"] == len(records)
        before = len(list(read(log)))
        for _ in range(20):
            peer.scale()
        peer.channel.close()
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
    # What waited was written before the server ended.
    assert len(list(read(log))) >= before + 20


def test_a_full_disk_fails_no_request_and_leaves_whole_files(tmp_path: Path) -> None:
    models, log = tmp_path / "models", tmp_path / "log"
    save_toy(models, version=1, factor=1.0)
    flags = (f"--request_log_dir={log}", "--request_log_sampling_rate=1")
    failed = ':tensorflow:serving:request_log_count{model_name="toy",status="FAILED"}'
    with running_server(models, *ONCE, *flags, model="toy") as server:
        peer = Peer(server, models, "toy")
        # The log of the server, which must not become as large, is under the same limit.
        many = {"instances": [1.0] * 30_000}
        assert len(written(peer, log, lambda: post(peer, "/v1/models/toy:predict", many))) == 1
        size = sum(file.stat().st_size for file in log.iterdir())
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        # As on a full disk, a part of the next record can still be written.
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 50, limits[1]))
        for _ in range(3):
            assert peer.scale() == (1.0, 1)
        peer.wait(lambda: series(server).get(failed, 0) >= 1)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)
        before = len(list(read(log)))
        peer.scale()
        peer.wait(lambda: len(list(read(log))) > before)
        remarks = Remarks()
        assert len(list(read(log, remarks=remarks))) > before
        assert remarks.lines() == []
        text = server.log_text()
        assert text.count("The request log cannot be written") == 1
        assert text.count("The request log is written again") == 1
        peer.channel.close()


def test_several_workers_write_one_log_and_a_killed_one_loses_no_whole_record(tmp_path: Path) -> None:
    models, log = tmp_path / "models", tmp_path / "log"
    save_toy(models, version=1, factor=1.0)
    flags = (f"--request_log_dir={log}", "--request_log_sampling_rate=1", "--workers=2")
    with running_server(models, *ONCE, *flags, model="toy") as server:
        peers = [Peer(server, models, "toy") for _ in range(12)]

        def ask() -> None:
            for peer in peers:
                peer.scale()

        assert len(written(peers[0], log, ask, 12)) == 12
        processes = {re.fullmatch(r"toy-\d+-(\d+)\.tfrecord", file.name)[1] for file in log.iterdir()}  # type: ignore[index]
        assert str(server.process.pid) not in processes
        victim = int(processes.pop())
        os.kill(victim, signal.SIGKILL)
        for peer in peers:
            peer.channel.close()
        again = Peer(server, models, "toy")
        again.wait(lambda: not Path(f"/proc/{victim}").exists())
        remarks = Remarks()
        assert len(list(read(log, remarks=remarks))) >= 12
        assert remarks.skipped == 0
        again.channel.close()
