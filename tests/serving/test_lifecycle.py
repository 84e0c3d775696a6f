"""Start and end of the process, and its configuration file: each test has a server of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.support.models import publish_untrained
from tests.support.open_inference import ask, call, infer_body, infer_message, outputs_of
from tests.support.peer import AVAILABLE, END, LOADING, ONCE, Peer, entry, replace
from tests.support.ports import free_port
from tests.support.server import COMMAND, running_server
from tests.support.toy_models import save_toy


@pytest.fixture
def models(tmp_path: Path) -> Path:
    save_toy(tmp_path, version=1, factor=1.0)
    return tmp_path


@pytest.fixture
def own(models: Path) -> Iterator[Peer]:
    """A server of this test's own, with `toy`."""
    with running_server(models, *ONCE, model="toy") as server:
        yield Peer(server, models, "toy")


def test_the_published_models_warm_up_file_is_replayed(tmp_path: Path) -> None:
    publish_untrained(tmp_path)
    with running_server(tmp_path, *ONCE) as server:
        log = server.log_text()
    assert "AVAILABLE" in log
    assert "WARNING" not in log
    assert "cudart" not in log


def test_a_broken_and_a_missing_model_keep_no_other_from_starting(models: Path) -> None:
    """The broken one is in its retries for an hour; the missing one comes later."""
    broken = save_toy(models, name="broken")
    (broken / "saved_model.pb").write_bytes((broken / "saved_model.pb").read_bytes()[:100])
    entries = [entry(models, name) for name in ("broken", "toy", "missing")]
    config = models / "models.config"
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    flags = ("--file_system_poll_wait_seconds=0.1", "--load_retry_interval_micros=3600000000")
    with running_server(models, f"--model_config_file={config}", *flags) as server:
        peer = Peer(server, models, "toy")
        assert peer.scale() == (1.0, 1)
        # While it is tried again a version is LOADING, without an error.
        assert peer.history("broken") == [(1, LOADING, "")]
        assert peer.history("missing") == []
        peer.save(1, name="missing", factor=3.0)
        peer.wait(lambda: peer.states("missing") == {1: AVAILABLE})
        assert peer.scale(name="missing") == (3.0, 1)
        peer.save(2, name="broken")
        peer.wait(lambda: peer.states("broken").get(2) == AVAILABLE)
        assert peer.scale(name="broken") == (2.0, 2)


def test_a_load_is_tried_again_until_it_succeeds_or_the_tries_are_used_up(models: Path) -> None:
    flags = (
        "--file_system_poll_wait_seconds=0.1",
        "--load_retry_interval_micros=300000",
        "--max_num_load_retries=3",
    )
    with running_server(models, *flags, model="toy") as server:
        peer = Peer(server, models, "toy")
        broken = peer.staged(factor=2.0)
        graph = (broken / "saved_model.pb").read_bytes()
        (broken / "saved_model.pb").write_bytes(b"")
        folder = peer.publish(broken, 2)
        peer.wait(lambda: peer.states().get(2) == LOADING)
        (folder / "saved_model.pb").write_bytes(graph)
        peer.wait(lambda: peer.states()[2] == AVAILABLE)
        assert peer.scale() == (2.0, 2)
        broken = peer.staged()
        (broken / "saved_model.pb").unlink()
        peer.publish(broken, 3)
        peer.wait(lambda: peer.states().get(3) == END)
        retry = "Retrying of Loading servable: {name: toy version: 3} retry: "
        assert [f"{retry}{number} " in server.log_text() for number in (1, 2, 3, 4)] == [True] * 3 + [False]


def test_a_version_that_goes_away_in_its_retries_is_given_up(models: Path) -> None:
    flags = ("--file_system_poll_wait_seconds=0.1", "--load_retry_interval_micros=1500000")
    with running_server(models, *flags, model="toy") as server:
        peer = Peer(server, models, "toy")
        broken = peer.staged()
        (broken / "saved_model.pb").unlink()
        folder = peer.publish(broken, 2)
        peer.wait(lambda: peer.states().get(2) == LOADING)
        folder.rename(models / "gone")
        peer.wait(lambda: peer.states()[2] == END, seconds=4)
        assert peer.scale() == (1.0, 1)


def test_the_configuration_file_is_read_again(models: Path) -> None:
    config = models / "models.config"
    toy, second, missing = (entry(models, name) for name in ("toy", "second", "missing"))

    def write(*entries: str) -> None:
        replace(config, f"model_config_list {{ {' '.join(entries)} }}")

    write(toy)
    flags = (
        *ONCE,
        "--model_config_file_poll_wait_seconds=0.1",
        "--allow_version_labels_for_unavailable_models",
    )
    with running_server(models, f"--model_config_file={config}", *flags) as server:
        peer = Peer(server, models, "toy")
        peer.save(1, name="second", factor=5.0)
        write(toy, second)
        peer.wait(lambda: peer.states("second") == {1: AVAILABLE})
        # A model that is not there keeps no later change from being read.
        write(toy, second, missing)
        peer.wait(lambda: "Could not find base path" in server.log_text())
        peer.save(2)
        every = 'model_version_policy { all {} } version_labels { key: "new" value: 2 }'
        write(entry(models, "toy", every))
        peer.wait(lambda: peer.states() == {1: AVAILABLE, 2: AVAILABLE})
        peer.wait(lambda: peer.states("second") == {1: END})
        assert peer.scale(label="new") == (2.0, 2)
        for wrong, said in (
            ("model_config_list { config {", "Invalid protobuf file"),
            ("", "Cannot transition to requested config."),
            (f"model_config_list {{ {toy} {toy} }}", "Illegal to list model toy multiple times"),
        ):
            replace(config, wrong)
            peer.wait(lambda: said in server.log_text())  # noqa: B023 - called before the next round
            assert peer.scale(label="new") == (2.0, 2)
        # The flag excuses new labels, not one that is moved.
        write(entry(models, "toy", 'version_labels { key: "new" value: 7 }'))
        peer.wait(lambda: "Request to assign label to version 7 of model toy" in server.log_text())
        assert peer.scale(label="new") == (2.0, 2)
        write(entry(models, "toy", 'version_labels { key: "newer" value: 7 }'))
        peer.wait(lambda: peer.states()[1] == END)
        with pytest.raises(grpc.RpcError, match=r"Specific\(toy, 7\)"):
            peer.scale(label="newer")


def test_an_empty_configuration_file_starts_a_server_that_waits_for_a_reload(models: Path) -> None:
    config = models / "models.config"
    config.write_text("")
    with running_server(models, f"--model_config_file={config}", *ONCE) as server:
        peer = Peer(server, models, "toy")
        with pytest.raises(grpc.RpcError, match=r"Servable not found for request: Latest\(toy\)"):
            peer.scale()
        with pytest.raises(grpc.RpcError, match=r"Model labels does not init yet\.best") as error:
            peer.scale(label="best")
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        peer.reload(peer.config())
        assert peer.scale() == (1.0, 1)
        with pytest.raises(grpc.RpcError, match="Unrecognized servable version label: best"):
            peer.scale(label="best")


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_requests_in_flight(own: Peer, which: signal.Signals) -> None:
    x = {"x": np.ones(1, np.float32)}
    message, (body, headers) = infer_message(x, raw=True), infer_body(x, binary=True)
    stop = threading.Event()

    def infer() -> float:
        return float(outputs_of(call(own.channel, "ModelInfer", message))["y"][0])

    def infer_over_http() -> float:
        return float(ask(own.server.rest, "/v2/models/toy/infer", body, headers).outputs()["y"][0])

    def load(question: Callable[[], float], results: list[object]) -> None:
        while not stop.is_set():
            try:
                results.append(question())
            except grpc.RpcError as error:
                results.append(error.code())
                return
            except urllib.error.URLError as error:
                results.append(type(error.reason))
                return

    # What ends a load: a clean refusal, of a call or of a connection.
    ends = [
        (lambda: own.scale()[0], grpc.StatusCode.UNAVAILABLE),
        (infer, grpc.StatusCode.UNAVAILABLE),
        (infer_over_http, ConnectionRefusedError),
    ]
    seen: list[list[object]] = [[] for _ in ends * 2]
    threads = [
        threading.Thread(target=load, args=(question, results))
        for (question, _), results in zip(ends * 2, seen, strict=True)
    ]
    for thread in threads:
        thread.start()
    own.wait(lambda: all(len(results) > 10 for results in seen))
    own.server.process.send_signal(which)
    assert own.server.process.wait(timeout=15) == 0
    stop.set()
    for thread in threads:
        thread.join()
    # Answers until then: nothing that was accepted was dropped.
    for (_, end), results in zip(ends * 2, seen, strict=True):
        assert (set(results[:-1]), results[-1]) == ({1.0}, end)


def test_a_taken_port_is_named(models: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for flags in ([f"--port={port}"], [f"--port={free_port()}", f"--rest_api_port={port}"]):
            command = [COMMAND, "--host=127.0.0.1", f"--model_base_path={models}/toy", *flags]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 255
            assert f"port {port} on 127.0.0.1 cannot be bound" in done.stdout


def test_a_model_that_cannot_load_ends_the_start_with_255(models: Path) -> None:
    (models / "toy" / "1" / "saved_model.pb").write_bytes(b"\x08")
    assert _failed_start(f"--model_base_path={models}/toy", "--model_name=toy") == (
        "UNKNOWN: 1 servable(s) did not become available: "
        "{{{name: toy version: 1} due to error: OUT_OF_RANGE: Read less bytes than requested}, }"
    )


def test_a_label_at_the_start_needs_the_flag(models: Path) -> None:
    config = models / "models.config"
    labelled = entry(models, "toy", 'version_labels { key: "a" value: 1 }')
    config.write_text(f"model_config_list {{ {labelled} }}")
    assert _failed_start(f"--model_config_file={config}") == (
        "FAILED_PRECONDITION: Request to assign label to version 1 of model toy, "
        "which is not currently available for inference"
    )


def _failed_start(*flags: str) -> str:
    """The error of a start that ends with 255."""
    command = [COMMAND, "--host=127.0.0.1", f"--port={free_port()}", *ONCE, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 255
    return done.stdout.strip().removeprefix("Failed to start server. Error: ")
