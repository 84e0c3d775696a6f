"""The embedded server's speed, against the session without a server and against LitServe and FastAPI with Keras."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from atelier_client import Client

from benchmarks import fronts
from benchmarks.canned_server import canned
from benchmarks.row import Row
from benchmarks.served import Served
from benchmarks.server import free_port, running_server

_HERE = Path(__file__).resolve().parent
_PEERS = _HERE.parent / ".atelier" / "bench-peers"
_ROUNDS = 3
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}


def measure(served: Served) -> Iterator[Row]:
    """Every row."""
    yield large_batches(served)
    yield serial(served)
    yield from many_in_flight(served)
    yield start(served)


def large_batches(served: Served) -> Row:
    """uint8 batches of 512, 4 in flight, in turns with the session callable on the same machine, and with no model."""
    folder, mine, theirs = next(p for p in (served.models / "fashion").iterdir() if p.name.isdigit()), [], []
    transport = []
    with canned(served.server.grpc) as ready:
        for _ in range(_ROUNDS):
            theirs.append(float(_run("benchmarks.session_rate", str(folder), "512", "4", "4")))
            mine.append(512 * _grpc(served.server.grpc, 512, 4)["per_second"])
            transport.append(512 * _grpc(ready, 512, 4)["per_second"])
    ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
    # Model and transport have the same cores: their times, 1 / rate, add up.
    most = statistics.median(a / (a + b) for a, b in zip(transport, theirs, strict=True))
    return Row(
        "uint8 batches of 512, 4 in flight: images per second; the session callable in process; ratio. The same to a "
        "grpcio server that has its answers ready; the ratio that leaves when both share the cores",
        f"{statistics.median(mine):,.0f}; {statistics.median(theirs):,.0f}; {ratio:.2f}. "
        f"{statistics.median(transport):,.0f}; {most:.2f}",
        "at least 0.8",
        ratio >= 0.8,
    )


def serial(served: Served) -> Row:
    """One row, one in flight."""
    p50 = statistics.median(_grpc(served.server.grpc, 1, 1)["p50"] for _ in range(_ROUNDS))
    return Row("Batch of 1, 1 in flight over gRPC: p50", f"{p50:.2f} ms", "under 1 ms", p50 < 1)


def many_in_flight(served: Served) -> Iterator[Row]:
    """One row, 64 in flight: over gRPC, and with one HTTP client against all three servers."""
    folder = next(p for p in (served.models / "fashion").iterdir() if p.name.isdigit())
    image = np.random.default_rng(0).integers(0, 256, (28, 28)).tolist()
    with (
        tempfile.TemporaryDirectory() as bodies,
        _peer("litserve_server.py", folder) as litserve,
        _peer("fastapi_server.py", folder) as fastapi,
    ):
        rows, one = Path(bodies, "rows.json"), Path(bodies, "one.json")
        rows.write_text(json.dumps({"instances": [image]}))
        one.write_text(json.dumps({"image": image}))
        _until_answered(litserve, one)
        _until_answered(fastapi, one)
        rest = served.server.rest.removeprefix("http://")
        grpc = _median(lambda: _grpc(served.server.grpc, 1, 64))
        http = _median(lambda: _http(rest, "/v1/models/fashion:predict", rows))
        peers = [
            _median(lambda target=target: _http(target, "/predict", one)) for target in (litserve, fastapi)
        ]
        compiled = list(fronts.measure(served, litserve, one, rows))
    best = max(peer["per_second"] for peer in peers)
    names = f"LitServe; FastAPI + Keras: {peers[0]['per_second']:,.0f}; {peers[1]['per_second']:,.0f}"
    yield Row(
        f"Batch of 1, 64 in flight over gRPC: requests per second; {names} over HTTP; ratio to the faster",
        f"{grpc['per_second']:,.0f}; {grpc['per_second'] / best:.1f} times",
        "3,000 or more; at least 3 times",
        grpc["per_second"] >= 3000 and grpc["per_second"] >= 3 * best,
    )
    spread = grpc["p99"] / grpc["p50"]
    yield Row(
        "The same: p50; p99; ratio",
        f"{grpc['p50']:.1f} ms; {grpc['p99']:.1f} ms; {spread:.1f}",
        "p99 at most 3 times p50",
        spread <= 3,
    )
    yield Row(
        "The same over REST, with the one HTTP client for all: requests per second; ratio to the faster peer",
        f"{http['per_second']:,.0f}; {http['per_second'] / best:.1f} times",
        "at least 3 times",
        http["per_second"] >= 3 * best,
    )
    yield workers(served, best)
    yield from compiled


def workers(served: Served, peer: float) -> Row:
    """One row, 64 in flight over 8 channels: one process and two workers, in turns; `peer`: requests per second."""
    rates: list[list[float]] = [[], []]
    with running_server(served.models, "--workers=2", *served.flags) as two:
        for _ in range(_ROUNDS):
            for server, measured in zip((served.server, two), rates, strict=True):
                measured.append(_grpc(server.grpc, 1, 64, 8)["per_second"])
    one, both = (statistics.median(measured) for measured in rates)
    ratio = statistics.median(b / a for a, b in zip(*rates, strict=True))
    return Row(
        "The same over 8 channels: requests per second of one process; with `--workers=2`; ratio; the latter to the "
        "faster peer",
        f"{one:,.0f}; {both:,.0f}; {ratio:.2f} times; {both / peer:.1f} times",
        "3,000 or more; at least 3 times",
        both >= 3000 and both >= 3 * peer,
    )


def start(served: Served) -> Row:
    """From the process's start to the first answer, and `import tensorflow` in a process of its own; medians of 3."""
    whole, importing = [], []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        with running_server(served.models) as server, Client(server.grpc, "fashion") as client:
            client.predict(np.zeros((1, 28, 28), np.uint8))
            whole.append(time.perf_counter() - began)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import tensorflow"], check=True, capture_output=True)
        importing.append(time.perf_counter() - began)
    first, library = statistics.median(whole), statistics.median(importing)
    return Row(
        "From the server's start to the first answer; `import tensorflow` (the server imports less of it); difference",
        f"{first:.1f} s; {library:.1f} s; {first - library:.1f} s",
        "under 3 s of difference",
        first - library < 3,
    )


def install_peers() -> None:
    """Put LitServe and FastAPI, at the locked versions, where only they see them."""
    lock = _HERE / "requirements.lock"
    if not (_PEERS / "litserve").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(_PEERS)]
        subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)


@contextlib.contextmanager
def _peer(script: str, folder: Path) -> Iterator[str]:
    install_peers()
    port = free_port()
    command = [sys.executable, str(_HERE / "peers" / script), str(folder), str(port)]
    environment = {**os.environ, **_QUIET, "PYTHONPATH": str(_PEERS)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # LitServe's workers outlive it: a session of its own is ended as a whole.
    process = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _until_answered(target: str, body: Path) -> None:
    request = urllib.request.Request(f"http://{target}/predict", body.read_bytes())
    request.add_header("Content-Type", "application/json")
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(request, timeout=30).close()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _median(once: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The round in the middle by rate."""
    return sorted((once() for _ in range(_ROUNDS)), key=lambda result: result["per_second"])[_ROUNDS // 2]


def _grpc(target: str, rows: int, in_flight: int, channels: int = 1) -> dict[str, float]:
    counts = [str(rows), str(in_flight), "4", str(channels)]
    return json.loads(_run("benchmarks.grpc_load", target, "fashion", *counts))


def _http(target: str, path: str, body: Path) -> dict[str, float]:
    result = json.loads(_run("benchmarks.http_load", target, path, str(body), "64", "4"))
    if result["failed"]:
        raise RuntimeError(f"{target}{path}: {result['failed']:.0f} requests failed")
    return result


def _run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, **_QUIET}
    done = subprocess.run(
        command, cwd=_HERE.parent, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout
