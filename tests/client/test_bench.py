"""The load test: what counts as measured, what is written, and what a user sees when it goes wrong."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import pytest
from atelier_client import Client
from atelier_client.bench.generator import AGREEING, LoadGenerator, _agree, _percentiles
from atelier_client.bench.points import LoadPoint, Point, best, warnings
from atelier_client.bench.report import plot, to_csv
from atelier_client.bench.requests import Requests
from atelier_client.bench.tune import Tuning, config_text, find, probe
from atelier_client.bench.worker import Window
from atelier_client.testing import InMemoryServer
from atelier_client.transports.base import PREDICT
from numpy.typing import NDArray

from tests.support.client_command import command, start
from tests.support.page_layout import what_overflows
from tests.support.server import running_server
from tests.support.small_server import small_server

SETTINGS = {"timeout": 5.0, "tls": False, "token": None}
SPEC = {"x": ("float32", (-1,))}


def memory(function: Any = lambda inputs: inputs) -> Any:
    server = InMemoryServer()
    server.serve("m", function, inputs=SPEC, outputs=SPEC)
    return server


@pytest.fixture(scope="module")
def slow() -> Iterator[Any]:
    """Takes 20 ms a request, whatever its size, eight at a time."""
    server = memory()
    server.delay(0.02)
    with small_server(server) as running:
        yield running


def measure(running: Any, *loads: Any, window: Any = 0.15) -> Any:
    with Client(running.address, "m") as client:
        requests = Requests(client, "serving_default", None, None)
    with LoadGenerator(running.address, SETTINGS, window=window, warm_up=0.1) as generator:
        return [generator.measure(load, requests.of(load.batch)) for load in loads]


def test_rates_and_latencies_are_those_of_the_server(slow: Any) -> None:
    one, four = measure(slow, LoadPoint(1, 1), LoadPoint(8, 4))
    assert one.latency_ms["p50"] > 20
    # Little's law: requests in flight are rate times latency, however busy the machine is.
    assert one.requests_per_s * one.latency_ms["mean"] / 1000 == pytest.approx(1, rel=0.3)
    assert four.requests_per_s * four.latency_ms["mean"] / 1000 == pytest.approx(4, rel=0.3)
    assert four.rows_per_s == pytest.approx(8 * four.requests_per_s, rel=0.01)
    assert not one.errors
    assert one.windows >= AGREEING


def test_an_open_loop_shows_the_queue_that_a_closed_loop_hides(
    slow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1600 requests a second at a server of 400: latency grows with every window, and no measurement is stable."""
    monkeypatch.setattr("atelier_client.bench.generator.ARRIVALS_A_WINDOW", 20)
    monkeypatch.setattr("atelier_client.bench.generator.MOST_WINDOWS", 6)
    light, heavy = measure(slow, LoadPoint(1, rate=100), LoadPoint(1, rate=1600))
    assert 50 < light.requests_per_s < 150
    assert heavy.requests_per_s < 1600 / 2
    assert heavy.latency_ms["p50"] > max(200, 2 * light.latency_ms["p50"])
    assert not heavy.stable
    # The requests leave one by one, not in bunches after a tick; the latency has the lateness in it.
    assert 0 <= light.lag_ms["p50"] < light.latency_ms["p50"]
    assert "the queue grows" in " ".join(warnings([heavy]))


def window(rate: Any, latency: Any, lag: Any = 0.0) -> Any:
    return [Window(1.0, np.full(rate, latency), Counter(), 0.0, rate, np.full(rate, lag))]


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
def test_a_measurement_counts_when_three_windows_agree_within_ten_percent(windows: Any, stable: Any) -> None:
    assert _agree([window(*values) for values in windows], open_loop=False) is stable


def test_a_window_in_which_the_generator_was_late_does_not_count() -> None:
    late, punctual = window(100, 0.010, lag=0.0012), window(100, 0.010, lag=0.0008)
    assert _agree([punctual] * 3, open_loop=True)
    assert not _agree([punctual, late, punctual], open_loop=True)
    [text] = warnings([point(rate=100.0, requests_per_s=100, lag_ms={"mean": 1.2})])
    assert "The requests left late" in text
    assert not warnings([point(rate=100.0, requests_per_s=100, lag_ms={"mean": 0.8})])


def test_waking_up_is_not_lateness_however_fast_the_server_is() -> None:
    assert _agree([window(500, 0.0008, lag=0.0002)] * 3, open_loop=True)
    assert not _agree([window(500, 0.0008, lag=0.0003)] * 3, open_loop=True)
    assert not point(rate=500.0, p99=0.8, lag_ms={"mean": 0.2}).late
    assert point(rate=500.0, p99=0.8, lag_ms={"mean": 0.3}).late


def test_a_percentile_needs_enough_samples() -> None:
    few = _percentiles(np.arange(1, 101.0))
    assert few["p99"] == pytest.approx(99.01)
    assert few["p99.9"] is None
    assert _percentiles(np.arange(1000.0))["p99.9"] is not None
    assert _percentiles(np.array([]))["p50"] is None


def point(batch: Any = 1, concurrency: Any = 1, rows: Any = 100.0, p99: Any = 10.0, **more: Any) -> Any:
    latency = dict.fromkeys(("p50", "p90", "p95", "p99", "p99.9", "mean", "max"), p99)
    values = {
        "rate": None, "requests_per_s": rows / batch, "rows_per_s": rows, "latency_ms": latency, "errors": {},
        "requests": 1000, "windows": 3, "stable": True, "processes": 1, "client_cpu": 0.1,
    } | more  # fmt: skip
    return Point(batch=batch, concurrency=concurrency, **values)


def test_the_best_point_is_the_fastest_that_is_stable_clean_and_within_the_limit() -> None:
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


def test_a_busy_client_is_named() -> None:
    [text] = warnings([point(client_limited=True, client_cpu=0.97)])
    assert "client's own processes were busy" in text
    assert not warnings([point()])


def test_more_processes_join_when_one_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atelier_client.bench.generator.BUSY", 0.01)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with small_server(memory()) as running:
        [both] = measure(running, LoadPoint(1, 4), window=0.1)
    assert both.processes == 2
    assert both.client_limited


def test_the_plot_is_a_picture_and_the_csv_a_table() -> None:
    points = [point(1, 1, 100, 5), point(1, 8, 300, 20), point(32, 1, 2000, 8)]
    picture = ElementTree.fromstring(plot(points))
    assert len(picture.findall(".//circle")) == 3
    assert len(picture.findall(".//polyline")) == 2
    assert plot(points[:1]) == ""
    rows = list(csv.DictReader(to_csv(points).splitlines()))
    assert [row["concurrency"] for row in rows] == ["1", "8", "1"]
    assert rows[0]["p99_ms"] == "5"


QUICK = ("--window", "0.15", "--warm-up", "0.1")


def test_bench_writes_what_it_measured(server: Any, tmp_path: Path) -> None:
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
    assert what_overflows(page) == []
    assert "<svg" in page
    assert "http" not in page
    assert len((tmp_path / "bench.csv").read_text().splitlines()) == 3


def test_a_limit_that_nothing_keeps_is_a_negative_verdict(server: Any, tmp_path: Path) -> None:
    done = command(
        "bench", "--target", server.grpc, "--concurrency", "1", "--batch", "1", "--p99", "0.001", "--json",
        "--reports", tmp_path, *QUICK,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Nothing measured stays under p99 <= 0.001 ms" in done.stderr
    assert json.loads(done.stdout)["best"] is None


def start_bench(target: str, reports: Path, *more: Any) -> Any:
    arguments = ["bench", "--target", target, "--model", "m", "--concurrency", "2", "--reports", str(reports)]
    return start(*arguments, *more)


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """Interrupted once batches of two rows come: the first point is done, the second under way."""
    seen = threading.Event()

    def work(inputs: Any) -> Any:
        if len(inputs["x"]) == 2:
            seen.set()
        return inputs

    batches = ",".join(map(str, range(1, 31)))
    with (
        small_server(memory(work)) as running,
        start_bench(running.address, tmp_path, "--batch", batches, *QUICK) as process,
    ):
        assert seen.wait(60)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["partial"]
    assert 1 <= len(report["points"]) < 30


def test_a_server_killed_under_load_is_told_and_ends_the_sweep(tmp_path: Path) -> None:
    """A process of its own, killed in the middle of its hundredth request."""
    code = (
        "import os, signal, sys\n"
        "from tests.client.test_bench import memory\n"
        "from tests.support.small_server import small_server\n"
        "left = list(range(100))\n"
        "def work(inputs):\n"
        "    if not left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left.pop()\n"
        "    return inputs\n"
        "with small_server(memory(work)) as running:\n"
        "    print(running.address, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            with start_bench(
                address, tmp_path, "--batch", "1,2,3", "--window", "0.2", "--timeout", "5"
            ) as process:
                _, errors = process.communicate(timeout=60)
        finally:
            server.kill()
    assert server.returncode == -signal.SIGKILL
    assert process.returncode == 3, errors
    assert "UNAVAILABLE" in errors
    assert "Traceback" not in errors
    report = json.loads((tmp_path / "bench.json").read_text())
    assert report["partial"]
    assert len(report["points"]) == 1


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
def test_a_users_mistake_is_one_message(
    server: Any, tmp_path: Path, arguments: list[Any], code: int, said: str
) -> None:
    done = command("bench", "--target", server.grpc, "--reports", tmp_path, *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_requests_have_the_rows_asked_for(client: Client, images: NDArray[Any], server: Any) -> None:
    requests = Requests(client, "serving_default", None, None, images[:3])
    prediction = requests.ask(7)
    np.testing.assert_array_equal(prediction["class_id"][:3], prediction["class_id"][3:6])
    assert len(prediction["label"]) == 7


def test_the_probe_tells_a_server_that_batches(client: Client) -> None:
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


class Simulated:
    """Up to 16 rows take `flat` ms, more take longer in proportion; two at a time; 5,000 calls a second at most."""

    def __init__(self, flat: Any) -> None:
        self.flat = flat

    def measure(self, load: Any, request: Any, method: Any = PREDICT) -> Any:
        millis = self.flat * max(1, load.batch / 16)
        rate = min(5000, 1000 / millis * min(load.concurrency, 2)) if method is PREDICT else 5000
        return point(load.batch, load.concurrency, rate * load.batch, 1000 * load.concurrency / rate)


@pytest.mark.parametrize(("flat", "worthwhile"), [(5.0, True), (0.5, False)])
def test_the_parameters_are_those_the_costs_call_for(client: Client, flat: Any, worthwhile: Any) -> None:
    requests = Requests(client, "serving_default", None, None)
    tuning = find(requests, cast("LoadGenerator", Simulated(flat)), (False, ""), None)
    assert tuning.execution_batch == 16
    assert tuning.threads == 2
    # Two executions of 5 ms at a time are 400 requests of one row a second; the server can take in 5,000.
    assert tuning.plain()["worthwhile"] is worthwhile
    assert tuning.gain == pytest.approx(5000 / min(5000, 2000 / flat))


def test_a_limit_leaves_half_of_it_for_the_queue(client: Client) -> None:
    requests = Requests(client, "serving_default", None, None)
    assert find(requests, cast("LoadGenerator", Simulated(5.0)), (False, ""), 100).execution_batch == 16
    assert find(requests, cast("LoadGenerator", Simulated(5.0)), (False, ""), 6).execution_batch == 1


def test_the_written_file_starts_a_batching_server_whose_effect_is_then_measured(
    server: Any, client: Client, models: Path, images: NDArray[Any], tmp_path: Path
) -> None:
    """Tune a server, start another with the file, ask it from many threads, and measure it against the first."""
    quick = ("--reports", tmp_path, "--window", "0.02", "--warm-up", "0.01")
    done = command("bench", "--tune", "--target", server.grpc, *quick)
    assert done.returncode == 0, done.stderr
    assert "This server does not batch" in done.stderr
    tuning = json.loads((tmp_path / "tuning.json").read_text())["tuning"]
    config = tmp_path / "batching.config"
    text = config.read_text()
    for name in ("max_execution_batch_size", "num_batch_threads", "max_enqueued_batches"):
        assert f"{name} {{ value: {tuning[name]} }}" in text
    with running_server(models, "--enable_batching", f"--batching_parameters_file={config}") as batching:
        with Client(batching.grpc, "fashion") as opened, ThreadPoolExecutor(16) as threads:
            assert probe(Requests(opened, "serving_default", None, None))[0] is True
            rows = [images[number : number + 1] for number in range(64)]
            probabilities = [row["probabilities"][0] for row in threads.map(opened.predict, rows)]
            np.testing.assert_allclose(probabilities, client.predict(images[:64])["probabilities"], atol=1e-6)
            assert len(opened.predict(images)["label"]) == len(images)
        done = command("bench", "--tune", "--target", batching.grpc, *quick)
    assert done.returncode == 0, done.stderr
    assert "now that the server batches" in done.stderr
    assert config.read_text() == text
    tuned = json.loads((tmp_path / "tuned.json").read_text())
    assert tuned["with"]["concurrency"] == tuned["without"]["concurrency"] == 32
    assert tuned["ratio"] > 0


def test_a_flat_cost_makes_waiting_worthwhile_and_a_server_that_batches_is_said() -> None:
    tuning = Tuning(True, "maximum input batch size 64", single=point(1, 32, 100), idle=point(1, 32, 3000))
    tuning.by_rows, tuning.by_threads = [point(1, 1, 100, 10), point(32, 1, 3000, 11)], [point(32, 1, 3000)]
    tuning.execution_batch, tuning.timeout_micros = 32, 10_000
    text = config_text(tuning, "m version 1", "today")
    assert "batches already (maximum input batch size 64)" in text
    assert "worth waiting" in text
    assert "at most 30.0 times their rate" in text
