"""Several workers: one that dies is replaced and missed by nobody else, and all answer as one; on real processes."""

from __future__ import annotations

import abc
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import pytest
from atelier_client import Client
from atelier_serving.workers.cluster_view import combined

from tests.support.http import get
from tests.support.open_inference import call, infer_body, infer_message, outputs_of
from tests.support.peer import AVAILABLE, BOTH, END, LOADING, ONCE, Peer, entry, label, refused, replace
from tests.support.ports import free_port
from tests.support.server import COMMAND, RunningServer, running_server
from tests.support.toy_models import save_toy

START, UNLOADING = 10, 40
METRICS = "/monitoring/prometheus/metrics"
GAUGES = ("#", "atelier_version_available", "process_resident_memory_bytes")
_numbers = itertools.count()


class Connection(abc.ABC):
    """One connection to a model: the worker that has it, and what a test has collected from it."""

    pid: int
    results: list[Any]

    @abc.abstractmethod
    def __init__(self, server: RunningServer, models: Path, name: str) -> None: ...

    @abc.abstractmethod
    def call(self) -> float:
        """Predict."""

    @abc.abstractmethod
    def close(self) -> None:
        """No more calls."""


_Connection = TypeVar("_Connection", bound=Connection)


class GrpcConnection(Peer, Connection):
    """One channel, which is one connection."""

    def call(self) -> float:
        """Predict."""
        return self.scale()[0]

    def close(self) -> None:
        """No more calls."""
        self.channel.close()


class InferConnection(GrpcConnection):
    """One channel, over which the Open Inference Protocol is spoken."""

    def call(self) -> float:
        """ModelInfer."""
        message = infer_message({"x": np.ones(1, np.float32)}, raw=True, model_name=self.name)
        return float(outputs_of(call(self.channel, "ModelInfer", message))["y"][0])


class RestConnection(Connection):
    """One keep-alive connection, opened again after an error."""

    def __init__(self, server: RunningServer, models: Path, name: str) -> None:
        self.name = name
        self.http = http.client.HTTPConnection(server.rest.removeprefix("http://"), timeout=20)

    def ask(self, path: str, body: str | None = None) -> str:
        """The text of an answer with status 200."""
        try:
            self.http.request("POST" if body else "GET", path, body)
            answer = self.http.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            self.http.close()
            raise
        assert answer.status == 200, text
        return text

    def call(self) -> float:
        """Predict."""
        return json.loads(self.ask(f"/v1/models/{self.name}:predict", '{"instances": [1]}'))["predictions"][0]

    def close(self) -> None:
        """No more calls."""
        self.http.close()


def counters(peer: Peer) -> dict[str, float]:
    """Each series but the gauges, on a new connection to any worker."""
    status, text = get(peer.server, METRICS)
    assert status == 200
    return series(text)


def series(text: str) -> dict[str, float]:
    """Each series but the gauges."""
    lines = [line for line in text.splitlines() if not line.startswith(GAUGES)]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def workers(server: RunningServer) -> list[int]:
    """The process ids of the supervisor's children."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sockets_of_the_system() -> list[list[str]]:
    """The columns of /proc/net/tcp; gRPC's are of IPv6."""
    return [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]


def owners(server: RunningServer) -> dict[int, int]:
    """The client's port of each connection to the worker that has it."""
    held = {}
    for pid in workers(server):
        # One that has just ended has no files, and one that opens and closes them has some no longer.
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    held[os.readlink(file)] = pid
    sockets = {
        int(row[2][-4:], 16): f"socket:[{row[9]}]" for row in sockets_of_the_system() if row[3] == "01"
    }
    return {port: held[name] for port, name in sockets.items() if name in held}


def connect(kind: type[_Connection], peer: Peer) -> _Connection:
    """A new connection to the peer's model, with `.pid` of the worker that has it."""
    before = owners(peer.server)
    opened = kind(peer.server, peer.models, peer.name)
    assert opened.call() >= 1
    (opened.pid,) = {pid for port, pid in owners(peer.server).items() if port not in before}
    return opened


class InferRestConnection(RestConnection):
    """One keep-alive connection, over which the Open Inference Protocol is spoken."""

    def call(self) -> float:
        """An inference."""
        body = infer_body({"x": np.ones(1, np.float32)}, binary=False)[0].decode()
        return json.loads(self.ask(f"/v2/models/{self.name}/infer", body))["outputs"][0]["data"][0]


BOTH_PROTOCOLS = (GrpcConnection, RestConnection, InferConnection, InferRestConnection)


@contextlib.contextmanager
def to_each(peer: Peer, *kinds: type[_Connection]) -> Iterator[list[_Connection]]:
    """Connections of each kind, so many that each worker has at least one."""
    with contextlib.ExitStack() as stack:
        opened = []
        for kind in kinds:
            for _ in range(40):
                opened.append(stack.enter_context(contextlib.closing(connect(kind, peer))))
                if {one.pid for one in opened if isinstance(one, kind)} == set(workers(peer.server)):
                    break
        assert {(type(one), one.pid) for one in opened} == {
            (kind, pid) for kind in kinds for pid in workers(peer.server)
        }
        yield opened


def gone(pid: int) -> bool:
    """Whether the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def kill(peer: Peer, pid: int) -> None:
    """Kill a worker, and wait until the supervisor has seen it."""
    os.kill(pid, signal.SIGKILL)
    peer.wait(lambda: pid not in workers(peer.server))


def wait_for_all(peer: Peer, count: int = 2) -> None:
    """Until so many workers listen."""

    port = f":{int(peer.server.rest.rsplit(':', 1)[1]):04X}"

    def listening() -> bool:
        return sum(row[3] == "0A" and row[1].endswith(port) for row in sockets_of_the_system()) == count

    peer.wait(listening, seconds=60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two workers without models; tests give them theirs by reload, which replacements have to know of."""
    folder = tmp_path_factory.mktemp("none")
    config = folder / "models.config"
    config.write_text("model_config_list {}")
    with running_server(folder, f"--model_config_file={config}", *ONCE, "--workers=2") as running:
        yield running


@pytest.fixture
def peer(server: RunningServer, tmp_path: Path) -> Iterator[GrpcConnection]:
    """All workers with version 1 of a model whose name is this test's own."""
    opened = GrpcConnection(server, tmp_path, f"toy{next(_numbers)}")
    wait_for_all(opened)
    opened.save(1)
    opened.reload(opened.config())
    yield opened
    opened.close()
    # What a test has killed is replaced with the configuration of that test.
    wait_for_all(opened)
    last = GrpcConnection(server, tmp_path, "")
    last.reload()
    last.close()


def test_the_supervisor_has_neither_tensorflow_nor_grpc_and_its_workers_a_session_each(peer: Peer) -> None:
    maps = Path(f"/proc/{peer.server.process.pid}/maps").read_text()
    assert "tensorflow" not in maps
    assert "cygrpc" not in maps
    assert len(workers(peer.server)) == 2
    assert len({os.getsid(pid) for pid in (os.getpid(), *workers(peer.server))}) == 3


def test_a_killed_worker_fails_only_calls_on_its_own_connections_and_is_replaced(peer: Peer) -> None:
    stop = threading.Event()

    def load(connection: Connection) -> None:
        while not stop.is_set():
            try:
                connection.results.append(connection.call())
            except (grpc.RpcError, OSError, http.client.HTTPException) as error:
                connection.results.append(error)

    def load_with_the_client(results: list[float]) -> None:
        with Client(peer.server.grpc, peer.name) as client:
            while not stop.is_set():
                results.append(float(client.predict(np.ones(1, np.float32))["y"][0]))

    of_clients: list[list[float]] = [[] for _ in range(4)]
    with to_each(peer, *BOTH_PROTOCOLS) as connections:
        victim = connections[0].pid
        for connection in connections:
            connection.results = []
        threads = [threading.Thread(target=load, args=(one,)) for one in connections]
        threads += [threading.Thread(target=load_with_the_client, args=(one,)) for one in of_clients]
        for thread in threads:
            thread.start()
        try:
            peer.wait(lambda: all(len(one.results) > 20 for one in connections))
            peer.wait(lambda: all(len(one) > 20 for one in of_clients))
            kill(peer, victim)
            wait_for_all(peer)
        finally:
            stop.set()
            for thread in threads:
                thread.join(timeout=30)
        spared = [one for one in connections if one.pid != victim]
        assert {type(one) for one in spared} == set(BOTH_PROTOCOLS)
        assert all(set(one.results) == {1.0} for one in spared)
        assert all(set(results) == {1.0} for results in of_clients)
        for one in (one for one in connections if one.pid == victim):
            # Answers, the end of the connection, and answers of a worker that lives.
            assert [good for good, _ in itertools.groupby(one.results, lambda x: x == 1.0)] in (
                [True, False, True],
                [True],
            )
            codes = {result.code() for result in one.results if isinstance(result, grpc.RpcError)}
            assert codes <= {grpc.StatusCode.UNAVAILABLE}
    assert f"Worker {victim} was killed by signal 9; it is being replaced." in peer.server.log_text()
    with to_each(peer, GrpcConnection, RestConnection) as connections:
        assert victim not in {one.pid for one in connections}


def test_no_counter_falls_when_a_worker_dies_and_when_its_successor_dies_before_it_is_ready(
    peer: Peer,
) -> None:
    calls = f':tensorflow:serving:request_count{{model_name="{peer.name}",status="OK"}}'
    with to_each(peer, GrpcConnection, RestConnection) as connections:
        before = counters(peer)[calls]
        for one in connections:
            one.call()
        peer.wait(lambda: counters(peer)[calls] == before + len(connections))
    seen, (victim, survivor) = [counters(peer)], workers(peer.server)
    kill(peer, victim)
    seen.append(counters(peer))
    peer.wait(lambda: len(workers(peer.server)) == 2)
    (successor,) = set(workers(peer.server)) - {survivor}
    kill(peer, successor)
    text = f"Worker {successor} was killed by signal 9 before it was ready; the next one starts in 1 s."
    peer.wait(lambda: text in peer.server.log_text())
    seen.append(counters(peer))
    wait_for_all(peer)
    seen.append(counters(peer))
    for older, newer in itertools.pairwise(seen):
        assert [name for name, value in older.items() if newer[name] < value] == []
    assert seen[-1][calls] == seen[0][calls]
    # Two workers have it, and one of them is new.
    available = f'atelier_version_available{{model_name="{peer.name}",model_version="1"}} 1'
    assert available in get(peer.server, METRICS)[1].splitlines()


def test_a_configuration_is_all_workers_and_their_successors(peer: Peer) -> None:
    peer.save(2)
    peer.reload(peer.config(BOTH))
    with to_each(peer, GrpcConnection) as connections:
        # Both versions answer in all workers, so the label is taken at once.
        peer.wait(lambda: peer.states() == {1: AVAILABLE, 2: AVAILABLE})
        peer.reload(peer.config(BOTH, label(1)))
        assert {one.scale(label="stable") for one in connections} == {(1.0, 1)}
        # The Open Inference Protocol in each of them too.
        for one in connections:
            tells = [
                list(call(one.channel, "ModelMetadata", name=peer.name, version=version).versions)
                for version in ("stable", "2", "")
            ]
            assert tells == [["1"], ["2"], ["2", "1"]]
        victim = connections[0].pid
    kill(peer, victim)
    deadline = time.monotonic() + 60
    seen: set[int] = set()
    while len(seen) < 2 and time.monotonic() < deadline:
        # Whoever takes a new connection knows the label and both versions.
        with contextlib.closing(connect(GrpcConnection, peer)) as one:
            assert (one.scale(label="stable"), one.scale()) == ((1.0, 1), (2.0, 2))
            assert one.states() == {1: AVAILABLE, 2: AVAILABLE}
            seen.add(one.pid)
    assert seen == set(workers(peer.server))
    assert victim not in seen


def test_a_successor_does_not_answer_in_the_place_of_others_before_it_can(peer: Peer) -> None:
    """They hold a version that has gone from the disk; it comes when there is one that all can load."""
    peer.save(1, name="other")
    peer.reload(peer.config(), peer.config(name="other"))
    (peer.models / peer.name).rename(peer.models / "away")
    victim = workers(peer.server)[0]
    kill(peer, victim)
    peer.wait(lambda: f" waits until it has {peer.name} version 1, as" in peer.server.log_text(), seconds=60)
    (survivor,) = set(workers(peer.server)) - {
        int(peer.server.log_text().split(f" waits until it has {peer.name}")[0].rsplit(" ", 1)[1])
    }
    for _ in range(10):
        with contextlib.closing(connect(GrpcConnection, peer)) as one:
            assert (one.pid, one.scale()) == (survivor, (1.0, 1))
    # Whole: a folder without versions would unload the model.
    peer.save(2, name="staged")
    (peer.models / "staged").rename(peer.models / peer.name)
    wait_for_all(peer)
    with to_each(peer, GrpcConnection) as connections:
        assert {one.scale() for one in connections} == {(2.0, 2)}


def test_a_reload_that_is_refused_changes_no_worker(peer: Peer) -> None:
    code, text = refused(peer, peer.config(label(7)))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "Request to assign label to version 7" in text
    broken = peer.staged(name="broken")
    (broken / "saved_model.pb").write_bytes(b"\x08")
    peer.publish(broken, 1, name="broken")
    code, text = refused(peer, peer.config(), peer.config(name="broken"))
    assert (code, text[:40]) == (grpc.StatusCode.UNKNOWN, "1 model(s) did not become available: {{{")
    with to_each(peer, GrpcConnection) as connections:
        assert {one.scale() for one in connections} == {(1.0, 1)}
        assert {one.error(1, name="broken") for one in connections} == {"Read less bytes than requested"}


def test_a_worker_that_is_stuck_keeps_no_scrape_waiting_and_nothing_is_available_without_it(
    peer: Peer,
) -> None:
    available = f'atelier_version_available{{model_name="{peer.name}",model_version="2"}} '
    with to_each(peer, GrpcConnection, RestConnection) as connections:
        rest = next(one for one in connections if isinstance(one, RestConnection))
        lively = next(one for one in connections if isinstance(one, GrpcConnection) and one.pid == rest.pid)
        before = series(rest.ask(METRICS))
        stuck = next(pid for pid in workers(peer.server) if pid != rest.pid)
        os.kill(stuck, signal.SIGSTOP)
        try:
            after = series(rest.ask(METRICS))
            assert [name for name, value in before.items() if after[name] < value] == []
            peer.save(2)
            # Idle for 5 s, the HTTP connection would be closed.
            lively.wait(lambda: rest.call() == lively.scale()[0] == 2.0)
            assert lively.states()[2] == START
            # It answers here, but a client that waits for it may come to the other worker next.
            ready = [call(lively.channel, "ModelReady", name=peer.name, version=v).ready for v in ("", "2")]
            assert ready == [True, False]
            assert list(call(lively.channel, "ModelMetadata", name=peer.name).versions) == ["2"]
            assert available + "0" in rest.ask(METRICS).splitlines()
            assert refused(lively, lively.config(BOTH)) == (
                grpc.StatusCode.UNAVAILABLE,
                "A worker does not answer; nothing is changed.",
            )
        finally:
            os.kill(stuck, signal.SIGCONT)
        lively.wait(lambda: lively.states() == {2: AVAILABLE, 1: END})
        assert call(lively.channel, "ModelReady", name=peer.name, version="2").ready
        # A client that has waited for it may be any worker's.
        assert {one.scale() for one in connections if isinstance(one, GrpcConnection)} == {(2.0, 2)}
        with contextlib.closing(connect(RestConnection, peer)) as rest:
            assert available + "1" in rest.ask(METRICS).splitlines()


def test_the_index_page_speaks_for_all_workers(peer: Peer) -> None:
    with to_each(peer, RestConnection) as connections:
        assert all(f"<h2>{peer.name}</h2>" in one.ask("/") for one in connections)
        assert all("<td>1<td>AVAILABLE<td>" in one.ask("/") for one in connections)


@contextlib.contextmanager
def own_session(folder: Path, *more: str) -> Iterator[GrpcConnection]:
    """Two workers with `toy` and `more` flags, in a session of their own, as a shell starts it."""
    save_toy(folder, version=1, factor=1.0)
    grpc_port, rest_port = free_port(), free_port()
    flags = [f"--port={grpc_port}", f"--rest_api_port={rest_port}", f"--model_base_path={folder}/toy", *more]
    command = [COMMAND, "--host=127.0.0.1", "--model_name=toy", "--workers=2", *flags, *ONCE]
    log = folder / "server.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True) as process,
    ):
        server = RunningServer(f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{rest_port}", process, log)
        peer = GrpcConnection(server, folder, "toy")
        try:
            wait_for_all(peer)
            yield peer
        finally:
            peer.close()
            if process.poll() is None:
                process.terminate()


def test_a_successor_begins_with_the_newest_file_that_was_right(tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    config.write_text(f"model_config_list {{ {entry(tmp_path, 'toy')} }}")
    flags = (f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=0.1")
    with own_session(tmp_path, *flags) as peer:
        replace(config, f"model_config_list {{ {entry(tmp_path, 'toy', label(1))} }}")
        with to_each(peer, GrpcConnection) as connections:
            peer.wait(lambda: all(labelled(one) for one in connections))
        replace(config, "model_config_list {")
        peer.wait(lambda: peer.server.log_text().count("failed to ReloadConfig: INVALID_ARGUMENT") >= 2)
        kill(peer, workers(peer.server)[0])
        wait_for_all(peer)
        with to_each(peer, GrpcConnection) as connections:
            assert all(labelled(one) for one in connections)


def labelled(connection: GrpcConnection) -> bool:
    """Whether the label is known."""
    try:
        return connection.scale(label="stable") == (1.0, 1)
    except grpc.RpcError:
        return False


def interrupted(peer: Peer, pids: Sequence[int]) -> None:
    """Ctrl-C in a terminal: SIGINT for the supervisor's whole process group."""
    os.killpg(peer.server.process.pid, signal.SIGINT)
    assert peer.server.process.wait(timeout=15) == 0


def terminated(peer: Peer, pids: Sequence[int]) -> None:
    """As systemd does: SIGTERM for every process of the service."""
    for pid in (peer.server.process.pid, *pids):
        os.kill(pid, signal.SIGTERM)
    assert peer.server.process.wait(timeout=15) == 0


def killed(peer: Peer, pids: Sequence[int]) -> None:
    """The supervisor alone, without a chance to tell anybody."""
    peer.server.process.kill()
    assert peer.server.process.wait(timeout=15) == -signal.SIGKILL


@pytest.mark.parametrize("end", [interrupted, terminated, killed])
def test_all_workers_drain_when_the_supervisor_is_told_to_end_or_has_died(
    tmp_path: Path, end: Callable[[Peer, Sequence[int]], None]
) -> None:
    with own_session(tmp_path) as peer:
        pids, stop = workers(peer.server), threading.Event()

        def load(connection: GrpcConnection) -> None:
            while not stop.is_set():
                try:
                    connection.results.append(connection.call())
                except grpc.RpcError as error:
                    connection.results.append(error.code())
                    return

        with to_each(peer, GrpcConnection, InferConnection) as connections:
            for one in connections:
                one.results = []
            threads = [threading.Thread(target=load, args=(one,)) for one in connections]
            for thread in threads:
                thread.start()
            peer.wait(lambda: all(len(one.results) > 10 for one in connections))
            end(peer, pids)
            peer.wait(lambda: all(gone(pid) for pid in pids))
            stop.set()
            for thread in threads:
                thread.join(timeout=30)
        # Answers until then, and a clean refusal: nothing that was accepted was dropped.
        ends = [(set(one.results[:-1]), one.results[-1]) for one in connections]
        assert ends == [({1.0}, grpc.StatusCode.UNAVAILABLE)] * len(connections)
        assert peer.server.log_text().count("Draining: ") == 2
        assert peer.server.log_text().count("Stopped.") == 2
        assert "replaced" not in peer.server.log_text()


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    with own_session(tmp_path) as peer, contextlib.ExitStack() as stack:
        pids = workers(peer.server)
        host, port = peer.server.rest.removeprefix("http://").split(":")
        for _ in range(8):
            held = stack.enter_context(socket.create_connection((host, int(port))))
            held.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        peer.wait(lambda: len(owners(peer.server)) >= 8)
        peer.server.process.send_signal(signal.SIGTERM)
        peer.wait(lambda: peer.server.log_text().count("Draining: ") == 2)
        peer.server.process.send_signal(signal.SIGTERM)
        assert peer.server.process.wait(timeout=3) == 128 + signal.SIGTERM
        peer.wait(lambda: all(gone(pid) for pid in pids))
        assert "Stopped." not in peer.server.log_text()


def failed_start(*flags: str) -> str:
    """What a start prints that ends with 255."""
    command = [COMMAND, "--host=127.0.0.1", "--workers=2", *ONCE, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 255
    return done.stdout.strip()


def test_a_start_that_fails_says_so_once_and_leaves_nobody_behind(tmp_path: Path) -> None:
    (save_toy(tmp_path) / "saved_model.pb").write_bytes(b"\x08")
    port = free_port()
    assert failed_start(f"--port={port}", f"--model_base_path={tmp_path}/toy", "--model_name=toy") == (
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        "{{{name: toy version: 1} due to error: OUT_OF_RANGE: Read less bytes than requested}, }"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


@pytest.mark.parametrize("sharing", [0, 1])
def test_a_port_that_another_program_has_is_named_even_if_it_would_share_it(
    tmp_path: Path, sharing: int
) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, sharing)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for flags in ([f"--port={port}"], [f"--port={free_port()}", f"--rest_api_port={port}"]):
            said = failed_start(f"--model_base_path={tmp_path}", *flags)
            assert f"port {port} on 127.0.0.1 cannot be bound" in said


ERROR = [5, "why"]


@pytest.mark.parametrize(
    ("workers", "state"),
    [
        ([AVAILABLE, AVAILABLE], AVAILABLE),
        ([AVAILABLE, LOADING], LOADING),
        ([AVAILABLE, START], START),
        ([AVAILABLE, None], START),
        ([AVAILABLE, UNLOADING], UNLOADING),
        ([AVAILABLE, END], END),
        ([LOADING, END], LOADING),
        ([UNLOADING, END], END),
        ([END, None], END),
    ],
)
def test_a_version_is_available_when_it_is_so_in_every_worker(workers: list[int | None], state: int) -> None:
    rows = [[] if one is None else [[1, one, ERROR if one == END else None]] for one in workers]
    for order in (rows, rows[::-1]):
        (status,) = combined(order)
        assert (status.number, status.state) == (1, state)
        assert (status.error is not None) == (state == END)
