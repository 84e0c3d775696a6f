"""Several servers behind one client: round robin, and a dead one that loses no request."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atelier_client import AsyncClient, Client, Retry
from atelier_client._targets import Replicas, parse_targets
from atelier_client.errors import ModelNotFound, NotReachable, SettingsError, TimedOut
from atelier_client.testing import InMemoryServer
from atelier_client.transports.addresses import each_address

from tests.support.ports import free_port
from tests.support.server import running_server
from tests.support.small_server import small_server

IMAGE = np.zeros((1, 28, 28), np.uint8)


def doubling() -> Any:
    memory = InMemoryServer()
    memory.serve(
        "double",
        lambda inputs: {"y": inputs["x"] * 2},
        inputs={"x": ("float32", (-1,))},
        outputs={"y": ("float32", (-1,))},
    )
    return memory


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_replica_killed_under_load_loses_no_request(server: Any, models: Path, kind: Any) -> None:
    with running_server(models) as doomed:
        targets = [server.grpc, doomed.grpc]
        versions: list[Any] = []
        failures: list[Any] = []
        if kind == "threads":
            with Client(targets, "fashion") as client:
                _load_by_threads(client, versions, failures, doomed.process.pid)
        else:
            asyncio.run(_load_by_tasks(targets, versions, failures, doomed.process.pid))
    assert not failures
    assert len(versions) > 200


def _load_by_threads(client: Client, versions: Any, failures: Any, pid: Any) -> None:
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                versions.append(client.predict(IMAGE).versions)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    time.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join()


async def _load_by_tasks(targets: Any, versions: Any, failures: Any, pid: Any) -> None:
    async with AsyncClient(targets, "fashion") as client:
        end = time.monotonic() + 2

        async def ask() -> None:
            while time.monotonic() < end:
                try:
                    versions.append((await client.predict(IMAGE)).versions)
                except Exception as error:
                    failures.append(error)

        tasks = [asyncio.ensure_future(ask()) for _ in range(16)]
        await asyncio.sleep(0.5)
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*tasks)


def test_requests_go_round_the_replicas() -> None:
    one, two = doubling(), doubling()
    with (
        small_server(one) as first,
        small_server(two) as second,
        Client([first.address, second.address], "double") as client,
    ):
        for _ in range(40):
            client.predict([1.0])
    assert abs(len(one.calls) - len(two.calls)) <= 1


def test_a_host_name_with_several_addresses_is_several_replicas() -> None:
    """models.test is 127.0.0.1 and 127.0.0.2, says a DNS server of ours; one of the two dies under load."""
    one, two, port = doubling(), doubling(), free_port()
    with (
        _dns_server("127.0.0.1", "127.0.0.2") as dns,
        small_server(one, f"127.0.0.1:{port}"),
        Client(f"dns://{dns}/models.test:{port}", "double", timeout=10) as client,
    ):
        with small_server(two, f"127.0.0.2:{port}"):
            deadline = time.monotonic() + 10
            while not (one.calls and two.calls) and time.monotonic() < deadline:
                client.predict([1.0])
            assert one.calls
            assert two.calls
            for _ in range(50):
                client.predict([1.0])
        for _ in range(50):
            client.predict([1.0])


@contextlib.contextmanager
def _dns_server(*addresses: Any) -> Iterator[Any]:
    """Answers every question with these IPv4 addresses (RFC 1035); AAAA questions with none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    query, client = udp.recvfrom(512)
                except TimeoutError:
                    continue
                end = query.index(b"\0", 12) + 5
                records = addresses if query[end - 4 : end - 2] == b"\0\x01" else ()
                header = query[:2] + struct.pack(">5H", 0x8180, 1, len(records), 0, 0)
                answers = [
                    struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
                    for address in records
                ]
                udp.sendto(header + query[12:end] + b"".join(answers), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{udp.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


def test_a_replica_that_is_down_from_the_start_costs_nothing_but_a_try() -> None:
    with small_server(doubling()) as alive:
        targets = f"127.0.0.1:{free_port()},{alive.address}"
        with Client(targets, "double", retry=Retry(attempts=1)) as client:
            for _ in range(20):
                assert client.predict([1.0])["y"] == [2.0]
        with Client(targets, "double") as client, pytest.raises(TimedOut, match="not ready at 127"):
            client.wait_ready(0.2)


def test_a_replica_that_comes_back_is_used_again() -> None:
    one, two, port = doubling(), doubling(), free_port()
    with small_server(one) as first, Client([first.address, f"127.0.0.1:{port}"], "double") as client:
        for _ in range(5):
            client.predict([1.0])
        with small_server(two, f"127.0.0.1:{port}"):
            deadline = time.monotonic() + 10
            while not two.calls and time.monotonic() < deadline:
                client.predict([1.0])
                time.sleep(0.02)
            assert two.calls


def test_all_replicas_dead_is_one_clear_error() -> None:
    targets = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    with (
        Client(targets, "double", retry=Retry(attempts=2, first=0.01)) as client,
        pytest.raises(NotReachable, match=r"Cannot reach .*\(6 attempts\)"),
    ):
        client.predict([1.0])


def test_a_replica_without_a_model_is_not_failed_over() -> None:
    """An answer is an answer: what the request is wrong about is wrong everywhere."""
    one, two = doubling(), doubling()
    with (
        small_server(one) as first,
        small_server(two) as second,
        Client([first.address, second.address], "double") as client,
    ):
        client.metadata()
        one.fail("NOT_FOUND", "gone")
        two.fail("NOT_FOUND", "gone")
        with pytest.raises(ModelNotFound, match="gone"):
            client.predict([1.0])
    assert sum(call.method == "predict" for call in one.calls + two.calls) == 1


@pytest.mark.parametrize(
    ("second", "newest"), [((1, 2), 2), ((1,), 1), ((2,), 2), ((3,), None), (None, 2)], ids=str
)
def test_the_newest_version_is_one_that_every_replica_answers_for(second: Any, newest: Any) -> None:
    """The first replica has 1 and 2. One that is down takes no requests, so it has no say."""
    one, two = InMemoryServer(), InMemoryServer()
    for memory, versions in ((one, (1, 2)), (two, second or ())):
        for version in versions:
            memory.serve(
                "double",
                lambda inputs: {"y": inputs["x"]},
                inputs={"x": ("float32", (-1,))},
                outputs={"y": ("float32", (-1,))},
                version=version,
            )
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(small_server(one)).address
        other = stack.enter_context(small_server(two)).address if second else f"127.0.0.1:{free_port()}"
        client = stack.enter_context(Client([first, other], "double", timeout=5))
        if newest is None:
            with pytest.raises(ModelNotFound, match="No version of double answers on all 2 servers"):
                client.newest_available()
        else:
            assert client.newest_available() == newest


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("servers:8500", ["10.0.0.1:8500", "10.0.0.2:8500"]),
        ("dns:servers:8500", ["10.0.0.1:8500", "10.0.0.2:8500"]),
        ("one:8500", ["one:8500"]),
        ("unknown:8500", ["unknown:8500"]),
        ("unix:/tmp/a", ["unix:/tmp/a"]),
        ("http://servers:8501", ["http://servers:8501"]),
        ("[::1]:8500", ["[::1]:8500"]),
    ],
)
def test_a_name_is_taken_apart_where_each_server_is_asked_by_itself(
    monkeypatch: pytest.MonkeyPatch, target: str, expected: list[str]
) -> None:
    """Names are the system's, which a test cannot give any."""
    known = {"servers": ["10.0.0.2", "10.0.0.1", "10.0.0.2"], "one": ["10.0.0.3"]}

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(host)
        found = [(socket.AF_INET, 1, 6, "", (address, port)) for address in known[host]]
        # The same servers by their other addresses.
        return [*found, (socket.AF_INET6, 1, 6, "", ("fd00::1", port, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert each_address(target) == expected


def test_the_turn_passes_over_a_resting_replica() -> None:
    now = [0.0]
    replicas = Replicas(3, clock=lambda: now[0])
    assert sorted(replicas.pick() for _ in range(3)) == [0, 1, 2]
    replicas.rest(1)
    assert 1 not in {replicas.pick() for _ in range(30)}
    assert {replicas.pick(tried={0, 2}) for _ in range(3)} == {1}
    now[0] = 2.0
    assert {replicas.pick() for _ in range(3)} == {0, 1, 2}
    assert replicas.pick(tried={0, 1, 2}) in (0, 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        "host:0",
        "host:70000",
        "host:1,",
        "http://",
        "http://h:1/x",
        "a b:1",
        "ftp://h:1",
        "h:1,http://h:1",
    ],
)
def test_what_is_no_address_is_refused_with_the_form_it_should_have(text: str) -> None:
    with pytest.raises(SettingsError, match=r"Expected HOST:PORT|all speak"):
        parse_targets(text)


def test_addresses_are_read() -> None:
    parsed = parse_targets("a:1, [::1]:2,unix:/tmp/x,dns:///b:3")
    assert [target.scheme for target in parsed] == ["grpc", "grpc", "unix", "grpc"]
    assert parse_targets(["https://h:1/"])[0].address == "https://h:1"
    assert [target.local for target in parse_targets("localhost:1,127.9.9.9:1,[::1]:1,unix:/x,h:1")] == [
        True, True, True, True, False,
    ]  # fmt: skip
