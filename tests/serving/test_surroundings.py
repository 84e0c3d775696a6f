"""TLS, reflection, the index page, access and request logs, limits; on real processes."""

import html
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from atelier_serving.monitoring.request_log import MAX_FILES, RequestLog
from atelier_serving.monitoring.request_metrics import RequestMetrics
from atelier_serving.status import ServingError
from atelier_serving.tls import read_tls
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tests.serving.conftest import ONCE, Peer
from tests.serving.test_operations import get
from tests.support.server import running_server
from tests.support.toy_models import save_toy


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surroundings")
    save_toy(folder, version=1, factor=1.0)
    return folder


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def peer(models, logs):
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


def connect(server):
    host, port = server.rest.split("//")[1].split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_reflection_lists_and_describes_the_services(peer):
    stub = reflection_pb2_grpc.ServerReflectionStub(peer.channel)
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


def test_open_reflection_streams_do_not_hold_up_requests(peer):
    stub, stop = reflection_pb2_grpc.ServerReflectionStub(peer.channel), threading.Event()

    def silent():
        stop.wait()
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    streams = [stub.ServerReflectionInfo(silent(), timeout=30) for _ in range(40)]
    try:
        assert peer.scale()[0] == 1.0
    finally:
        stop.set()
        for stream in streams:
            stream.cancel()


def test_the_index_page_lists_models_and_its_commands_work(peer):
    status, page = get(peer.server, "/")
    assert status == 200
    assert "<h2>toy</h2>" in page
    assert "AVAILABLE" in page
    commands = {html.unescape(text) for text in re.findall("<pre>(.*?)</pre>", page)}
    assert len(commands) >= 3
    for command in commands:
        done = subprocess.run(
            f"{command} -s --fail-with-body",
            shell=True,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout)
        assert set(json.loads(done.stdout)) & {"predictions", "outputs"}


def test_a_long_example_and_a_hostile_name_make_a_safe_command(tmp_path):
    from atelier_serving.rest.index_page import example
    from tensorflow.core.protobuf import meta_graph_pb2

    signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    info = signature.inputs["it's"]
    info.dtype = 4
    for size in (-1, 28, 28):
        info.tensor_shape.dim.add(size=size)
    command = example("http://localhost:1", "m;touch x", "a'b", signature)
    assert len(command) < 300
    sent = subprocess.run(
        ["bash", "-c", command.replace("curl", "printf '%s\\n'", 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert json.loads(sent[1]) == {"signature_name": "a'b", "instances": [np.zeros((28, 28), int).tolist()]}
    assert sent[2] == "http://localhost:1/v1/models/m;touch x:predict"
    assert not list(tmp_path.iterdir())


def test_the_access_log_has_a_line_of_json_for_each_request(peer, logs):
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


def test_the_request_log_is_a_warm_up_file(peer, logs, models, tmp_path):
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
    assert int(read[1]) == len(records)


def test_the_request_log_rotates_at_what_a_warm_up_may_have_and_bounds_its_files(tmp_path):
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


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and a key and certificate for 127.0.0.1 signed by it; PEM files by name."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj")
    openssl(*new, "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
    openssl(*new, "/CN=localhost", "-keyout", "own.key", "-out", "own.pem", *signed)
    return {file.name: file.read_text() for file in folder.iterdir()} | {"folder": folder}


def ssl_config(folder, **fields):
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items())
    file = folder / "ssl.config"
    file.write_text(text)
    return file


def test_mutual_tls_on_grpc_and_rest(models, certificates, tmp_path):
    file = ssl_config(
        tmp_path,
        server_key=certificates["own.key"],
        server_cert=certificates["own.pem"],
        custom_ca=certificates["ca.pem"],
        client_verify=True,
    )
    with _tls_server(models, file, certificates) as (server, context):
        authority = certificates["ca.pem"].encode()
        pair = (certificates["own.key"].encode(), certificates["own.pem"].encode())
        known = grpc.ssl_channel_credentials(authority, *pair)
        with grpc.secure_channel(server.grpc, known) as channel:
            peer = Peer(server, models, "toy")
            peer.channel.close()
            peer.prediction = type(peer.prediction)(channel)
            assert peer.scale()[0] in (1.0, 7.0)
        for stranger in (grpc.ssl_channel_credentials(authority), None):
            channel = (
                grpc.secure_channel(server.grpc, stranger) if stranger else grpc.insecure_channel(server.grpc)
            )
            with channel:
                peer.prediction = type(peer.prediction)(channel)
                with pytest.raises(grpc.RpcError) as raised:
                    peer.scale(timeout=1)
                assert raised.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        url = server.rest.replace("http:", "https:") + "/v1/models/toy"
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            assert b"AVAILABLE" in answer.read()
        anonymous = ssl.create_default_context(cadata=certificates["ca.pem"])
        with pytest.raises(OSError, match=r"(?i)certificate required|reset|alert|EOF|closed"):
            urllib.request.urlopen(url, context=anonymous, timeout=5).read()
        with pytest.raises(OSError, match=r"(?i)disconnected|reset|closed"):
            urllib.request.urlopen(server.rest + "/v1/models/toy", timeout=5)


class _tls_server:
    """A server whose readiness is asked for over TLS."""

    def __init__(self, models, file, certificates):
        from tests.support import server

        self.context = ssl.create_default_context(cadata=certificates["ca.pem"])
        folder = certificates["folder"]
        self.context.load_cert_chain(folder / "own.pem", folder / "own.key")
        self.running = server.running_server(
            models, *ONCE, f"--ssl_config_file={file}", model="toy", context=self.context
        )

    def __enter__(self):
        return self.running.__enter__(), self.context

    def __exit__(self, *error):
        return self.running.__exit__(*error)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "server_key and server_cert must both hold PEM text"),
        ({"server_key": "x", "server_cert": "y"}, "no matching PEM pair"),
        (
            {"server_key": "own.key", "server_cert": "own.pem", "client_verify": True},
            "client_verify needs custom_ca",
        ),
        ({"server_key": "own.key", "server_cert": "own.pem", "custom_ca": "nothing"}, "custom_ca is no PEM"),
        ({"server_key": "own.key", "server_cert": "ca.pem"}, "no matching PEM pair"),
    ],
)
def test_a_wrong_ssl_config_is_named(certificates, tmp_path, fields, error):
    texts = {name: certificates.get(v, v) if isinstance(v, str) else v for name, v in fields.items()}
    with pytest.raises(ServingError, match=error):
        read_tls(ssl_config(tmp_path, **texts))


def test_a_slow_body_is_refused_in_time_and_a_slow_header_closed(peer):
    with connect(peer.server) as slow, connect(peer.server) as slower:
        started = time.monotonic()
        slow.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        slower.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 5
        closed = False
        for _ in range(30):
            time.sleep(0.5)
            try:
                slower.sendall(b"a")
            except OSError:
                closed = True
                break
        assert closed
        assert time.monotonic() - started < 14


def test_endless_headers_and_huge_bodies_are_cut_off(peer):
    with connect(peer.server) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\n")
        sent = 0
        try:
            for _ in range(400):
                endless.sendall(b"X: " + b"a" * 4000 + b"\r\n")
                sent += 4000
                time.sleep(0.001)
        except OSError:
            pass
        assert sent < 1_000_000
    memory = peer.server.resident()
    with connect(peer.server) as huge:
        huge.sendall(
            b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
        )
        huge.settimeout(20)
        sent = 0
        try:
            while sent < 1.5 * 2**30:
                sent += huge.send(b" " * 2**20)
        except OSError:
            pass
    # The body is refused at a gigabyte (or at its time), and what was held of it is given back.
    assert sent < 1.5 * 2**30
    deadline = time.monotonic() + 10
    while peer.server.resident() > memory + 3e8 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert peer.server.resident() < memory + 3e8
    assert peer.scale()[0] in (1.0, 7.0)


def test_more_connections_than_allowed_are_turned_away_and_requests_go_on(peer):
    held = [connect(peer.server) for _ in range(1000)]
    try:
        with connect(peer.server) as late:
            late.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert late.recv(1000).startswith(b"HTTP/1.1 503")
        assert peer.scale()[0] in (1.0, 7.0)
    finally:
        for connection in held:
            connection.close()
    peer.wait(lambda: get(peer.server, "/healthz")[0] == 200)
