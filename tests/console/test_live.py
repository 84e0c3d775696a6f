"""The server's own figures: from a real server, and from TensorFlow Serving's names."""

from __future__ import annotations

import html
import json
import time
from pathlib import Path

import pytest
from atelier_client._metrics_page import Sample, parse, read_metrics
from atelier_client.errors import NotReachable, ServerFailure
from atelier_client.request_log import read as read_log
from atelier_console.live.figures import batch_fill, between, quantile
from atelier_console.live.snapshot import ALL, Counts, Snapshot, read

from tests.support.client_command import command
from tests.support.console import RunningConsole, running_console
from tests.support.ports import free_port
from tests.support.server import RunningServer

# As TensorFlow Serving 2.20 writes its page: names with colons, latencies in microseconds, no version.
TENSORFLOW_SERVING = """# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{{model_name="fashion",status="OK"}} {ok}
:tensorflow:serving:request_count{{model_name="fashion",status="ERROR"}} {failed}
:tensorflow:serving:request_count{{model_name="other \\"one\\"",status="OK"}} 999
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{{model_name="fashion",API="Predict",entrypoint="GRPC",le="1000"}} {fast}
:tensorflow:serving:request_latency_bucket{{model_name="fashion",API="Predict",entrypoint="GRPC",le="2000"}} {ok}
:tensorflow:serving:request_latency_bucket{{model_name="fashion",API="Predict",entrypoint="GRPC",le="+Inf"}} {ok}
:tensorflow:serving:request_example_counts_sum{{model="fashion"}} {rows}
:tensorflow:serving:batching_session:wrapped_run_count{{}} {runs}
"""


def page(**values: int) -> list[Sample]:
    return list(parse(TENSORFLOW_SERVING.format(**values)))


def test_tensorflow_servings_names_are_enough() -> None:
    before = read(page(ok=10, failed=0, fast=10, rows=10, runs=10), "fashion", 100.0)
    now = read(page(ok=110, failed=20, fast=60, rows=410, runs=60), "fashion", 110.0)
    figures = between(before, now)[ALL]
    assert (figures.rate, figures.failures) == (12.0, 2.0)
    assert figures.p50 == pytest.approx(0.001)
    assert figures.p99 == pytest.approx(0.00198)
    assert batch_fill(before, now) == 8.0


def test_a_server_that_was_started_anew_counts_from_nothing() -> None:
    before = Snapshot(0.0, {"1": Counts(1000, 10, {1.0: 1000})}, rows=50, batches=10)
    now = Snapshot(10.0, {"1": Counts(20, 0, {1.0: 20})}, rows=8, batches=4)
    figures = between(before, now)["1"]
    assert (figures.rate, figures.failures) == (2.0, 0.0)
    assert batch_fill(before, now) == 2.0


def test_quantiles_are_those_of_prometheus() -> None:
    """histogram_quantile: linear within a bucket, the last bound where the rank is beyond all bounds."""
    buckets = {1.0: 50.0, 2.0: 100.0, float("inf"): 110.0}
    assert quantile(buckets, 0.25) == pytest.approx(0.55)
    assert quantile(buckets, 0.5) == pytest.approx(1.1)
    assert quantile(buckets, 0.99) == 2.0
    assert quantile({}, 0.5) is None
    assert quantile({1.0: 0.0}, 0.5) is None


def test_the_real_page_is_read(console: RunningConsole, server: RunningServer) -> None:
    before = read(read_metrics(server.rest, 5.0), "toy", 0.0)
    for text in ('{"x": [1]}', '{"x": [2]}', '{"wrong": [2]}'):
        console.ask({"kind": "json", "text": text}, "toy")
    now = read(read_metrics(server.rest, 5.0), "toy", 1.0)
    assert between(before, now)["1"].rate == 2.0
    assert now.memory is not None
    assert now.memory > 10**8


def test_a_page_that_cannot_be_read_is_said(console: RunningConsole) -> None:
    with pytest.raises(NotReachable, match="Cannot read the server's metrics"):
        read_metrics(f"http://127.0.0.1:{free_port()}", 2.0)
    with pytest.raises(ServerFailure, match="monitoring_config_file"):
        read_metrics(console.url, 5.0)


def test_what_the_console_asks_is_recorded_when_told(
    folder: Path, server: RunningServer, tmp_path: Path
) -> None:
    """For TensorFlow Serving, which keeps no requests."""
    log = tmp_path / "requests"
    with running_console(folder, server.grpc, f"--record={log}") as console:
        console.ask({"kind": "json", "text": '{"x": [1.5]}'}, "toy")
        deadline = time.monotonic() + 10
        while not list(log.glob("*.tfrecord")) and time.monotonic() < deadline:
            time.sleep(0.05)
    [request] = list(read_log(log, "toy"))
    assert (request.source, request.inputs["x"].tolist()) == ("client", [1.5])


def test_a_drift_report_that_is_damaged_is_said(folder: Path, server: RunningServer, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    with running_console(folder, server.grpc, f"--reports={reports}") as console:
        for text in ("{", "[]", json.dumps({"model": {"name": "fashion"}})):
            (reports / "drift.json").write_text(text)
            status, page_text = console.get("/live?model=fashion")
            assert status == 200
            assert "drift.json is damaged" in page_text
            assert 'atelier_console_source_readable{source="drift"} 0' in console.get("/metrics")[1]


def test_prometheus_is_told_what_drift_found(folder: Path, server: RunningServer, tmp_path: Path) -> None:
    """A real log, saved labels, a real `atelier-client drift`; the console repeats the gauges that it writes."""
    log, reports, saved, gauges = (tmp_path / name for name in ("log", "reports", "saved", "drift.prom"))
    options = (f"--record={log}", f"--reports={reports}", f"--feedback={saved}")
    with running_console(folder, server.grpc, *options) as console:
        assert "atelier_drift{" not in console.get("/metrics")[1]
        examples = json.loads(console.get("/api/models/fashion/examples")[1])["examples"]
        for example in examples * 4:
            console.ask({"kind": "example", "number": example["number"]})
        for example in examples:
            given = {"kind": "example", "number": example["number"]}
            console.post("/api/models/fashion/feedback", {"input": given, "label": example["label"]})
        deadline = time.monotonic() + 10
        while not list(log.glob("*.tfrecord")) and time.monotonic() < deadline:
            time.sleep(0.05)
        done = command(
            *("drift", "--feedback", saved / "fashion.tfrecord"),
            *("--log", log, "--model", "fashion", "--version", 1, "--metrics", gauges),
            *("--models", folder / "models", "--reports", reports),
        )
        assert done.returncode in (0, 1, 4), done.stderr
        status, text = console.get("/metrics")
        assert status == 200
        assert 'atelier_realised_accuracy{model_name="fashion",model_version="1"}' in text
        assert 'atelier_drift{model_name="fashion",model_version="1"' in text
        assert set(gauges.read_text().splitlines()) <= set(text.splitlines())
        page_text = console.get("/live?model=fashion")[1]
        assert html.escape(json.loads((reports / "drift.json").read_text())["sentence"]) in page_text
