"""Spans of requests, sent to a real receiver; and what is wrong with OTEL_*, which no server fails for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tests.support.http import get
from tests.support.open_inference import ask as ask_over_http
from tests.support.open_inference import call, infer_body, infer_message
from tests.support.otlp import OtlpReceiver, attributes, otlp_receiver
from tests.support.peer import ONCE, Peer
from tests.support.ports import free_port
from tests.support.server import running_server

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
STAGES = ("wait", "queue", "run", "rest")


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as opened:
        yield opened


@pytest.fixture(scope="module")
def access_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="module", params=["native", "grpcio"])
def peer(
    models: Path,
    receiver: OtlpReceiver,
    access_log: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Peer]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        flags = (f"--access_log_file={access_log}", f"--grpc_front={request.param}")
        with running_server(models, *ONCE, *flags, model="toy") as server:
            opened = Peer(server, models, "toy")
            yield opened
            opened.channel.close()


def ask(peer: Peer, label: str | None = None, metadata: list[tuple[str, str]] | None = None) -> None:
    """A Predict of two rows."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    if label:
        request.model_spec.version_label = label
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones(2, np.float32)))
    peer.prediction.Predict(request, timeout=10, metadata=metadata)


def test_a_request_over_grpc_is_a_span_with_its_stages(peer: Peer, receiver: OtlpReceiver) -> None:
    receiver.spans.clear()
    before = time.time_ns()
    ask(peer, metadata=[("traceparent", TRACEPARENT)])
    (span,) = receiver.wait(1)
    assert span.name == "tensorflow.serving.PredictionService/Predict"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    assert span.kind == span.SPAN_KIND_SERVER
    assert span.status.code == span.status.STATUS_CODE_UNSET
    assert before - 10**9 < span.start_time_unix_nano < span.end_time_unix_nano < time.time_ns() + 10**9
    found = attributes(span)
    assert (found["atelier.model"], found["atelier.version"], found["atelier.rows"]) == ("toy", 1, 2)
    assert (found["rpc.system"], found["rpc.method"]) == ("grpc", "Predict")
    took = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    assert sum(found[f"atelier.{stage}_seconds"] for stage in STAGES) == pytest.approx(took, abs=1e-6)
    assert found["atelier.run_seconds"] > 0
    assert receiver.spans[0][1]["service.name"] == "atelier-serving"


def test_a_request_over_rest_is_a_span_too(peer: Peer, receiver: OtlpReceiver, access_log: Path) -> None:
    receiver.spans.clear()
    request = urllib.request.Request(
        f"{peer.server.rest}/v1/models/toy:predict",
        json.dumps({"instances": [1.0]}).encode(),
        {"traceparent": TRACEPARENT},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    assert get(peer.server, "/v1/models/toy")[0] == 200
    predicted, asked = sorted(receiver.wait(2), key=lambda span: span.start_time_unix_nano)
    assert predicted.name == "POST /v1/models/{model}:predict"
    assert (predicted.trace_id.hex(), predicted.parent_span_id.hex()) == (TRACE, SPAN)
    assert asked.name == "GET /v1/models/{model}"
    # A request without a traceparent begins a trace of its own, which the access log knows.
    assert asked.parent_span_id == b""
    lines = [json.loads(line) for line in access_log.read_text().splitlines()[-2:]]
    assert [line["trace_id"] for line in lines] == [TRACE, asked.trace_id.hex()]


def test_requests_of_the_open_inference_protocol_are_spans(peer: Peer, receiver: OtlpReceiver) -> None:
    receiver.spans.clear()
    message = infer_message({"x": np.ones(2, np.float32)}, raw=True)
    call(peer.channel, "ModelInfer", message, metadata=[("traceparent", TRACEPARENT)])
    body, headers = infer_body({"x": np.ones(2, np.float32)}, binary=True)
    answer = ask_over_http(
        peer.server.rest, "/v2/models/toy/infer", body, headers | {"traceparent": TRACEPARENT}
    )
    assert answer.status == 200
    spans = {span.name: span for span in receiver.wait(2)}
    assert set(spans) == {"inference.GRPCInferenceService/ModelInfer", "POST /v2/models/{model}/infer"}
    for span in spans.values():
        assert span.trace_id.hex() == TRACE
        assert attributes(span)["atelier.rows"] == 2


def test_a_request_that_fails_is_a_span_with_its_error(peer: Peer, receiver: OtlpReceiver) -> None:
    receiver.spans.clear()
    with pytest.raises(grpc.RpcError):
        peer.scale(version=9)
    (span,) = receiver.wait(1)
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert attributes(span)["error.type"] == "NOT_FOUND"


def test_what_the_caller_does_not_record_is_not_recorded(
    peer: Peer, receiver: OtlpReceiver, access_log: Path
) -> None:
    receiver.spans.clear()
    ask(peer, metadata=[("traceparent", TRACEPARENT[:-2] + "00")])
    ask(peer, metadata=[("traceparent", "malformed")])
    (span,) = receiver.wait(1)
    assert span.parent_span_id == b""
    assert json.loads(access_log.read_text().splitlines()[-2])["trace_id"] == TRACE


def test_a_receiver_that_is_away_fails_nobody_and_is_said_once(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with running_server(models, *ONCE, model="toy") as server:
        peer = Peer(server, models, "toy")
        for _ in range(5):
            assert peer.scale() == (1.0, 1)
        peer.wait(lambda: "OpenTelemetry: " in server.log_text())
        for _ in range(5):
            peer.scale()
        peer.channel.close()
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
        text = server.log_text()
    assert text.count("OpenTelemetry: ") == 1
    assert "Traceback" not in text


def started(environment: dict[str, str], before: str = "pass") -> str:
    """What a server's process logs and says when it looks at these OTEL_*."""
    script = (
        f"import sys, logging; logging.basicConfig(format='%(levelname)s %(message)s', level='INFO');{before};"
        "from atelier_serving.monitoring.tracing import start_tracing; tracing = start_tracing();"
        "print('on' if tracing else 'off', any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.stderr + done.stdout


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "mine"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_without_the_environment_nothing_is_loaded(environment: dict[str, str]) -> None:
    assert started(environment) == "off False\n"


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin: expected otlp or none."),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: expected http/protobuf (port 4318).",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "expected http://HOST:PORT."),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_MAX_QUEUE_SIZE": "-5"}, ""),
    ],
)
def test_a_wrong_value_is_a_warning_of_one_line(environment: dict[str, str], text: str) -> None:
    said = started(environment).splitlines()
    assert said[-1].startswith("off")
    assert len(said) == 2
    assert said[0].startswith("WARNING No traces are sent: ")
    assert text in said[0]


def test_a_wrong_sampler_is_said_and_traces_are_sent() -> None:
    said = started({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER": "some"})
    assert said.endswith("on True\n")
    assert said.count("WARNING OpenTelemetry: ") == 1


def test_without_the_extra_a_warning_says_what_to_install() -> None:
    said = started(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "sys.modules['opentelemetry'] = None"
    )
    assert "pip install 'atelier-serving[otel]'" in said
    assert "off" in said
    assert said.count("WARNING") == 1
