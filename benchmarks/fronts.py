"""The server's two gRPC fronts and REST under the load of a compiled client, in turns, and LitServe beside them."""

from __future__ import annotations

import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import h2load
from benchmarks.row import Row
from benchmarks.served import Served
from benchmarks.server import Server, running_server

_ROUNDS = 5
_Rounds = list[list[h2load.Load]]


def measure(served: Served, litserve: str, image: Path, rows: Path) -> Iterator[Row]:
    """Every row. `litserve` is where it answers (host:port), with `image`; REST is asked with `rows`."""
    if not h2load.installed():
        yield Row("The gRPC fronts, one by one", h2load.MISSING, "", None)
        return
    with (
        running_server(served.models, "--grpc_front=native", *served.flags) as native,
        running_server(served.models, "--grpc_front=grpcio", *served.flags) as grpcio,
        tempfile.TemporaryDirectory() as folder,
    ):
        one, many = h2load.grpc_body(Path(folder), 1), h2load.grpc_body(Path(folder), 512)
        both = (native, grpcio)
        yield from _in_flight(both, one, litserve, image)
        yield _fronts(both, one, 8, 8, "1 row, 64 in flight over 8 connections", None)
        yield _fronts(both, one, 1, 1, "1 row, 1 in flight", 2.5)
        yield _fronts(both, many, 4, 1, "uint8 batches of 512, 4 in flight", 1.6)
        yield _beside(both, one, many)
        yield _rest(native, rows, litserve, image)


def _in_flight(both: tuple[Server, Server], one: Path, litserve: str, image: Path) -> Iterator[Row]:
    native, grpcio, peer = _turns(
        lambda: h2load.grpc(both[0], one, 1, 64),
        lambda: h2load.grpc(both[1], one, 1, 64),
        lambda: h2load.http(f"http://{litserve}/predict", image, 64),
    )
    front, other = _ratio(native, grpcio), _ratio(native, peer)
    yield Row(
        "h2load, 1 row, 64 in flight on one connection: requests per second of the native front; grpcio; LitServe "
        "over HTTP; ratios to both",
        f"{_rate(native):,.0f}; {_rate(grpcio):,.0f}; {_rate(peer):,.0f}; {front:.1f} and {other:.1f} times",
        "at least 6 and 10 times",
        front >= 6 and other >= 10,
    )
    p50, p99 = (statistics.median(getattr(load, name) for load in native) for name in ("p50", "p99"))
    yield Row(
        "The same, native front: p50; p99; ratio",
        f"{p50:.1f} ms; {p99:.1f} ms; {p99 / p50:.1f}",
        "p99 at most 3 times p50",
        p99 <= 3 * p50,
    )


def _fronts(
    both: tuple[Server, Server], body: Path, connections: int, streams: int, what: str, target: float | None
) -> Row:
    native, grpcio = _turns(*(_asks(server, body, connections, streams) for server in both))
    ratio = _ratio(native, grpcio)
    return Row(
        f"h2load, {what}: requests per second of the native front; of grpcio; ratio",
        f"{_rate(native):,.0f}; {_rate(grpcio):,.0f}; {ratio:.2f} times",
        f"at least {target:g} times" if target else "stated",
        ratio >= target if target else None,
    )


def _beside(both: tuple[Server, Server], one: Path, many: Path) -> Row:
    """Single rows beside a stream of large batches."""

    def ask(server: Server) -> Callable[[], h2load.Load]:
        def once() -> h2load.Load:
            thread = threading.Thread(target=h2load.grpc, args=(server, many, 1, 2, 6))
            thread.start()
            try:
                return h2load.grpc(server, one, 1, 1)
            finally:
                thread.join()

        return once

    native, grpcio = _turns(*(ask(server) for server in both))
    p50 = [statistics.median(load.p50 for load in loads) for loads in (native, grpcio)]
    p99 = [statistics.median(load.p99 for load in loads) for loads in (native, grpcio)]
    numbers = "; ".join(f"{a:.1f} and {b:.1f} ms" for a, b in zip(p50, p99, strict=True))
    return Row(
        "h2load, 1 row, 1 in flight beside batches of 512, 2 in flight: p50 and p99 of the native front; of grpcio",
        numbers,
        "stated",
        None,
    )


def _rest(server: Server, rows: Path, litserve: str, image: Path) -> Row:
    rest, peer = _turns(
        lambda: h2load.http(f"{server.rest}/v1/models/fashion:predict", rows, 64),
        lambda: h2load.http(f"http://{litserve}/predict", image, 64),
    )
    ratio = _ratio(rest, peer)
    return Row(
        "h2load, 1 row over REST, 64 in flight: requests per second; of LitServe; ratio",
        f"{_rate(rest):,.0f}; {_rate(peer):,.0f}; {ratio:.1f} times",
        "at least 3 times",
        ratio >= 3,
    )


def _asks(server: Server, body: Path, connections: int, streams: int) -> Callable[[], h2load.Load]:
    return lambda: h2load.grpc(server, body, connections, streams)


def _turns(*ways: Callable[[], h2load.Load]) -> _Rounds:
    """The rounds of each way, all ways in each round."""
    rounds = [[once() for once in ways] for _ in range(_ROUNDS)]
    return [list(loads) for loads in zip(*rounds, strict=True)]


def _rate(loads: list[h2load.Load]) -> float:
    return statistics.median(load.per_second for load in loads)


def _ratio(ours: list[h2load.Load], theirs: list[h2load.Load]) -> float:
    return statistics.median(a.per_second / b.per_second for a, b in zip(ours, theirs, strict=True))
