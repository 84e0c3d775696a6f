"""The load test: what counts as measured, what is written, and what a user sees when it goes wrong."""

import csv
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
from atelier_client import Client
from atelier_client.bench import Requests, best, warnings
from atelier_client.bench_report import plot, to_csv
from atelier_client.load import AGREEING, Load, LoadGenerator, Point, _agree, _percentiles
from atelier_client.load_worker import Window
from atelier_client.testing import InMemoryServer
from atelier_client.tune import Tuning, config_text, probe

from tests.client.conftest import COMMAND, command
from tests.support.server import running_server
from tests.support.small_server import small_server

SETTINGS = {"timeout": 5.0, "tls": False, "token": None}
SPEC = {"x": ("float32", (-1,))}


def memory(function=lambda inputs: inputs):
    server = InMemoryServer()
    server.serve("m", function, inputs=SPEC, outputs=SPEC)
    return server


@pytest.fixture(scope="module")
def slow():
    """Takes 20 ms a request, whatever its size, eight at a time."""
    server = memory()
    server.delay(0.02)
    with small_server(server) as running:
        yield running


def measure(running, *loads, window=0.25):
    with Client(running.address, "m") as client:
        requests = Requests(client, "serving_default", None, None)
    with LoadGenerator(running.address, SETTINGS, window=window, warm_up=0.2) as generator:
        return [generator.measure(load, requests.of(load.batch)) for load in loads]


def test_rates_and_latencies_are_those_of_the_server(slow):
    one, four = measure(slow, Load(1, 1), Load(8, 4))
    assert one.latency_ms["p50"] > 20
    # Little's law: requests in flight are rate times latency, however busy the machine is.
    assert one.requests_per_s * one.latency_ms["mean"] / 1000 == pytest.approx(1, rel=0.3)
    assert four.requests_per_s * four.latency_ms["mean"] / 1000 == pytest.approx(4, rel=0.3)
    assert four.rows_per_s == pytest.approx(8 * four.requests_per_s, rel=0.01)
    assert not one.errors
    assert one.windows >= AGREEING


def test_an_open_loop_shows_the_queue_that_a_closed_loop_hides(slow, monkeypatch):
    """800 requests a second at a server of 400: latency grows with every window, and no measurement is stable."""
    monkeypatch.setattr("atelier_client.load.ARRIVALS_A_WINDOW", 60)
    light, heavy = measure(slow, Load(1, rate=100), Load(1, rate=800))
    assert 50 < light.requests_per_s < 150
    assert heavy.requests_per_s < 500
    assert heavy.latency_ms["p50"] > max(200, 2 * light.latency_ms["p50"])
    assert not heavy.stable
    assert "the queue grows" in " ".join(warnings([heavy]))


def window(rate, latency, seconds=1.0):
    return [Window(seconds, np.full(rate, latency), Counter(), 0.0, rate)]


@pytest.mark.parametrize(
    ("windows", "stable"),
    [
        ([(100, 0.01)] * 2, False),
        ([(100, 0.01)] * 3, True),
        ([(100, 0.01), (109, 0.01), (105, 0.0105)], True),
        ([(100, 0.01), (111, 0.01), (105, 0.01)], False),
        ([(100, 0.01), (100, 0.0111), (100, 0.01)], False),
        ([(0, 0.01)] * 3, False),
    ],
)
def test_a_measurement_counts_when_three_windows_agree_within_ten_percent(windows, stable):
    assert _agree([window(*values) for values in windows], open_loop=False) is stable


def test_a_percentile_needs_enough_samples():
    few = _percentiles(np.arange(1, 101.0))
    assert few["p99"] == pytest.approx(99.01)
    assert few["p99.9"] is None
    assert _percentiles(np.arange(1000.0))["p99.9"] is not None
    assert _percentiles(np.array([]))["p50"] is None


def point(batch=1, concurrency=1, rows=100.0, p99=10.0, **more):
    latency = dict.fromkeys(("p50", "p90", "p95", "p99", "p99.9", "mean", "max"), p99)
    values = {
        "rate": None, "requests_per_s": rows / batch, "rows_per_s": rows, "latency_ms": latency, "errors": {},
        "requests": 1000, "windows": 3, "stable": True, "processes": 1, "client_cpu": 0.1,
    } | more  # fmt: skip
    return Point(batch=batch, concurrency=concurrency, **values)


def test_the_best_point_is_the_fastest_that_is_stable_clean_and_within_the_limit():
    good = point(rows=200, p99=9)
    points = [
        point(),
        good,
        point(rows=900, p99=11),
        point(rows=900, stable=False),
        point(rows=900, errors={"X": 1}),
    ]
    assert best(points, 10) is good
    assert best(points, 1) is None


def test_a_busy_client_is_named():
    [text] = warnings([point(client_limited=True, client_cpu=0.97)])
    assert "client's own processes were busy" in text
    assert not warnings([point()])


def test_more_processes_join_when_one_is_the_limit(monkeypatch):
    monkeypatch.setattr("atelier_client.load.BUSY", 0.01)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with small_server(memory()) as running:
        [both] = measure(running, Load(1, 4))
    assert both.processes == 2
    assert both.client_limited


def test_the_plot_is_a_picture_and_the_csv_a_table():
    points = [point(1, 1, 100, 5), point(1, 8, 300, 20), point(32, 1, 2000, 8)]
    picture = ElementTree.fromstring(plot(points))
    assert len(picture.findall(".//circle")) == 3
    assert len(picture.findall(".//polyline")) == 2
    assert plot(points[:1]) == ""
    rows = list(csv.DictReader(to_csv(points).splitlines()))
    assert [row["concurrency"] for row in rows] == ["1", "8", "1"]
    assert rows[0]["p99_ms"] == "5"


QUICK = ("--window", "0.15", "--warm-up", "0.1")


def test_bench_writes_what_it_measured(server, tmp_path):
    done = command(
        "bench", "--target", server.grpc, "--concurrency", "1,4", "--batch", "8", "--p99", "5000",
        "--reports", tmp_path, *QUICK,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["model"]["version"] == 1
    assert [(item["batch"], item["concurrency"]) for item in report["points"]] == [(8, 1), (8, 4)]
    assert all(item["requests"] > 10 and not item["errors"] for item in report["points"])
    assert not report["partial"]
    assert (done.returncode == 0) == (report["best"] is not None)
    assert report["verdict"] in done.stderr
    page = (tmp_path / "bench.html").read_text()
    assert "<svg" in page
    assert "http" not in page
    assert len((tmp_path / "bench.csv").read_text().splitlines()) == 3


def test_a_limit_that_nothing_keeps_is_a_negative_verdict(server, tmp_path):
    done = command(
        "bench", "--target", server.grpc, "--concurrency", "1", "--batch", "1", "--p99", "0.001", "--json",
        "--reports", tmp_path, *QUICK,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Nothing measured stays under p99 <= 0.001 ms" in done.stderr
    assert json.loads(done.stdout)["best"] is None


def start_bench(server, reports, *more):
    arguments = ["bench", "--target", server.grpc, "--concurrency", "2", "--reports", str(reports), *more]
    return subprocess.Popen([COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_keeps_what_was_measured(server, tmp_path):
    with start_bench(server, tmp_path, "--batch", "1,2,3,4,5,6,7,8", *QUICK) as process:
        time.sleep(3)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["partial"]
    assert len(report["points"]) < 8


def test_a_server_killed_under_load_is_told_and_ends_the_sweep(models, tmp_path):
    with (
        running_server(models) as server,
        start_bench(server, tmp_path, "--batch", "1,2,3", "--window", "0.5") as process,
    ):
        time.sleep(1.5)
        os.kill(server.process.pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "UNAVAILABLE" in errors
    assert "Traceback" not in errors
    assert json.loads((tmp_path / "bench.json").read_text())["partial"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--concurrency", "0"], 2, "whole numbers above 0"),
        (["--batch", "1,x"], 2, "whole numbers above 0"),
        (["--rate", "nan"], 2, "numbers above 0"),
        (["--model", "nix"], 2, "nix"),
        (["--input", "nowhere.npy"], 2, "nowhere.npy does not exist"),
        (["--target", "127.0.0.1:1"], 3, "Cannot reach"),
    ],
)
def test_a_users_mistake_is_one_message(server, tmp_path, arguments, code, said):
    done = command("bench", "--target", server.grpc, "--reports", tmp_path, *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_requests_have_the_rows_asked_for(client, images, server):
    requests = Requests(client, "serving_default", None, None, images[:3])
    answer = requests.ask(7)
    np.testing.assert_array_equal(answer["class_id"][:3], answer["class_id"][3:6])
    assert len(answer["label"]) == 7


def test_the_probe_tells_a_server_that_batches(client):
    plain = Requests(client, "serving_default", None, None)
    assert probe(plain)[0] is False
    server = memory()
    with server.client("m") as opened:
        requests = Requests(opened, "serving_default", None, None)
        text = "Task size 4096 is larger than maximum input batch size 64"
        server.fail("INVALID_ARGUMENT", text)
        assert probe(requests) == (True, text)
        server.fail("INTERNAL", "broken")
        assert probe(requests)[0] is None


def test_tune_finds_the_batch_and_the_threads_a_server_has(tmp_path):
    """Up to 16 rows take 5 ms, more take longer in proportion; two at a time."""
    two = threading.Semaphore(2)

    def work(inputs):
        with two:
            time.sleep(0.005 * max(1, len(inputs["x"]) / 16))
        return inputs

    with small_server(memory(work)) as running:
        done = command(
            "bench", "--tune", "--target", running.address, "--model", "m", "--reports", tmp_path, *QUICK
        )
    assert done.returncode == 0, done.stderr
    assert "This server does not batch" in done.stderr
    tuning = json.loads((tmp_path / "tuning.json").read_text())["tuning"]
    assert tuning["max_execution_batch_size"] in (16, 32)
    assert tuning["num_batch_threads"] in (2, 4)
    assert tuning["worthwhile"]
    text = (tmp_path / "batching.config").read_text()
    assert f"max_execution_batch_size {{ value: {tuning['max_execution_batch_size']} }}" in text
    assert f"num_batch_threads {{ value: {tuning['num_batch_threads']} }}" in text


def test_a_flat_cost_makes_waiting_worthwhile_and_a_server_that_batches_is_said():
    tuning = Tuning(True, "maximum input batch size 64", single=point(1, 32, 100))
    tuning.by_rows, tuning.by_threads = [point(1, 1, 100, 10), point(32, 1, 3000, 11)], [point(32, 1, 3000)]
    tuning.execution_batch, tuning.timeout_micros = 32, 10_000
    text = config_text(tuning, "m version 1", "today")
    assert "batches already (maximum input batch size 64)" in text
    assert "worth waiting" in text
    assert "30.0 times the rows a second" in text
