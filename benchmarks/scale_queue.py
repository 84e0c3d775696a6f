"""The simulated queue against the measured one: two numbers of a server give its latencies under other loads."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.row import BIN, Row, timed
from benchmarks.served import served_model
from benchmarks.server import Server as Address
from benchmarks.simulation.replicas import Server, latencies

MOST = 64
LOADS = (0.25, 0.5, 0.75)
ROUNDS = 3
SIMULATED_SECONDS = 20.0


def measure() -> Iterator[Row]:
    """A row a load: medians of 3 measurements, and the simulation."""
    with served_model() as served:
        alone, full = _points(served.server, "--concurrency", f"1,{MOST}")
        server = Server.measured(alone["latency_ms"]["p50"] / 1000, full["requests_per_s"], MOST)
        yield Row(
            f"One row, 1 and {MOST} in flight, one server: p50; requests per second. A run of n rows, from both",
            f"{alone['latency_ms']['p50']:.2f} ms; {full['requests_per_s']:,.0f}. "
            f"{server.fixed * 1000:.3f} ms + n * {server.each * 1000:.3f} ms",
            "stated",
            None,
        )
        for load in LOADS:
            yield _row(served.server, server, load)


def _row(address: Address, server: Server, load: float) -> Row:
    rate = load * server.capacity
    rounds = [_points(address, "--rate", f"{rate:.0f}")[0]["latency_ms"] for _ in range(ROUNDS)]
    measured = [statistics.median(point[name] for point in rounds) for name in ("p50", "p99")]
    expected = np.percentile(latencies(rate, SIMULATED_SECONDS, 1, server, seed=1), [50, 99]) * 1000
    return Row(
        f"{rate:,.0f} requests per second at random times ({load:.0%} of what the server can): p50 and p99 as "
        "measured; as simulated",
        f"{measured[0]:.2f} and {measured[1]:.2f} ms; {expected[0]:.2f} and {expected[1]:.2f} ms",
        "stated",
        None,
    )


def _points(address: Address, *load: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as reports:
        command = [
            BIN / "atelier-client",
            "bench",
            "--json",
            "--target",
            address.grpc,
            "--model",
            "fashion",
            "--batch",
            "1",
            *load,
        ]
        printed = json.loads(timed([*command, "--reports", reports])[1])
    points: list[dict[str, Any]] = printed["points"]
    return points
