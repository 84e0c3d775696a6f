"""Several servers on one repository: more and fewer of them, restarts and deaths, and nobody's request fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stack import ports, replicas, served
from stack.engines.local import Local
from stack.errors import NotRunning, UsageError
from stack.settings import Settings, read_settings
from stack.state import State, load, save
from tests.support.client_command import start
from tests.support.models import publish_untrained
from tests.support.replica_load import room, under_load

# The servers outlive the command that starts them, so it waits for none.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
# Under the checkout's own name, as the stack knows its servers; the environment is that of the tests.
SCRIPT = f"#!{sys.executable}\nfrom atelier_serving.cli import main\nraise SystemExit(main())\n"


@dataclass
class Service:
    """A checkout with a published version, and its servers."""

    settings: Settings
    engine: Local
    state: State

    def scale(self, count: int) -> bool:
        return replicas.scale(self.engine, self.state, count, {})

    def pids(self) -> list[int]:
        return [self.state.pid, *self.state.more_pids]

    def answering(self) -> list[bool]:
        return [served.newest([port], "fashion") == 1 for port in self.state.rest_ports]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("checkout")
    script = root / ".venv" / "bin" / "atelier-serving"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    script.chmod(0o755)
    publish_untrained(root / "models")
    settings = read_settings(root, {})
    engine = Local(settings)
    first = room(3)
    state = State("local", first, first + 1, "fashion")
    save(settings.state_dir, state)
    try:
        engine.serve(state)
        replicas._await_server(state, ["fashion"], 0)
        yield (service := Service(settings, engine, state))
        # A test may have read it anew.
        state = service.state
    finally:
        engine.stop(state)
    assert not engine.running(state)


@pytest.fixture
def three(service: Service) -> Service:
    service.scale(3)
    return service


def test_more_and_fewer_servers_fail_no_request(service: Service) -> None:
    service.scale(1)
    (only,) = service.pids()
    with under_load(service.state.target):
        assert service.scale(3)
        assert service.answering() == [True] * 3
    assert load(service.settings.state_dir) == service.state
    assert service.pids()[0] == only
    assert len(set(service.pids())) == 3
    assert not service.scale(3), "nothing was to be done"
    gone = service.state.rest_ports[1:]
    with under_load(service.state.target) as seen:
        while seen.answers < 50:
            time.sleep(0.01)
        assert service.scale(1)
    assert service.pids() == [only]
    assert all(served.newest([port], "fashion") is None for port in gone)


def test_every_server_is_started_again_and_no_request_fails(three: Service) -> None:
    before = three.pids()
    with under_load(three.state.target):
        replicas.restart(three.settings)
    three.state = load(three.settings.state_dir) or three.state
    assert three.answering() == [True] * 3
    assert not set(before) & set(three.pids())


def test_a_server_that_is_killed_fails_no_request_and_is_replaced(
    three: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = three.pids()
    alive = three.engine.watch(three.state)
    with under_load(three.state.target) as seen:
        while seen.answers < 50:
            time.sleep(0.01)
        os.kill(pids[1], signal.SIGKILL)
        asked = seen.answers
        while seen.answers < asked + 200:
            time.sleep(0.01)
    assert three.engine.running(three.state)
    assert not alive()
    # What one of three does not answer is not served by the set.
    assert served.newest(three.state.rest_ports, "fashion") is None
    assert served.versions(three.state.rest_ports, "fashion") == {1: "AVAILABLE on 2 of 3"}
    three.engine.ps(three.state)
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        "running",
        "stopped",
        "running",
    ]
    assert three.scale(3)
    assert three.answering() == [True] * 3
    assert [three.pids()[0], three.pids()[2]] == [pids[0], pids[2]]
    assert served.versions(three.state.rest_ports, "fashion") == {1: "AVAILABLE"}


def test_an_evaluation_goes_on_when_a_server_is_killed_and_counts_every_example_once(
    three: Service, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60_000, 28, 28), np.uint8)
    file = tmp_path / "examples.npz"
    np.savez(file, images=images, labels=random.integers(0, 10, len(images)))
    models = three.settings.root / "models"
    options = ["evaluate", file, "--target", three.state.target, "--models", models, "--json"]

    def evaluated(process: subprocess.Popen[str]) -> Any:
        out, said = process.communicate(timeout=200)
        # Guesses, so it is 1 in 10: the numbers alone matter.
        assert process.returncode == 0, said
        return json.loads(out)

    whole = evaluated(start(*options, "--reports", tmp_path / "whole"))
    assert whole["dataset"]["examples"] == len(images)
    page = f"http://127.0.0.1:{three.state.rest_ports[2]}/monitoring/prometheus/metrics"
    before = predictions(page)
    running = start(*options, "--reports", tmp_path / "disturbed")
    while predictions(page) < before + 3:
        assert running.poll() is None, "it ended before the server could be killed"
        time.sleep(0.005)
    os.kill(three.pids()[2], signal.SIGKILL)
    disturbed = evaluated(running)
    assert disturbed["dataset"]["examples"] == len(images)
    assert disturbed["metrics"] == whole["metrics"]
    assert disturbed["confusion_matrix"] == whole["confusion_matrix"]


def predictions(page: str) -> float:
    """How many predictions a server has answered, by its metrics."""
    with urllib.request.urlopen(page, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    wanted = ':tensorflow:serving:request_count{model_name="fashion",status="OK"}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))


def test_a_restart_leaves_the_last_server_that_answers(three: Service) -> None:
    pids = three.pids()
    for pid in pids[1:]:
        os.kill(pid, signal.SIGKILL)
    save(three.settings.state_dir, three.state)
    with pytest.raises(NotRunning, match="no other server answers for fashion"):
        replicas.restart(three.settings)
    assert three.answering() == [True, False, False]
    assert three.pids()[0] == pids[0]


def test_prometheus_is_told_of_every_server(three: Service) -> None:
    source = Path(__file__).resolve().parents[2] / "deploy"
    (three.settings.root / "deploy").symlink_to(source)
    three.state.companions["prometheus"] = {"port": 1, "pid": 0}
    three.engine.companions.follow(three.state)
    del three.state.companions["prometheus"]
    written = (three.settings.state_dir / "observe" / "prometheus" / "serving.json").read_text()
    assert all(f'"127.0.0.1:{port}"' in written for port in three.state.rest_ports)


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "00", "1e3", "100000", "\u0663"])
def test_a_number_of_servers_that_is_none(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match=f"REPLICAS={value}: expected a number from 1 to 64"):
        read_settings(tmp_path, {"REPLICAS": value})


@pytest.mark.parametrize(
    ("grpc", "rest", "count", "said"),
    [
        (65530, 65531, 4, "up to 65537, and the last port is 65535"),
        (8500, 8501, 99999, "the last port is 65535"),
        (9500, 9502, 2, "some of them are the same: choose REST_PORT=9501"),
    ],
)
def test_servers_that_find_no_ports(grpc: int, rest: int, count: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ports.require_room(grpc, rest, count)
    ports.require_room(grpc, rest, 1)


def test_a_state_file_of_before_is_one_server(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(
        '{"engine": "local", "grpc_port": 8500, "rest_port": 8501, "model": "m", "pid": 7}'
    )
    state = load(tmp_path)
    assert state is not None
    assert (state.replicas, state.target, state.rest_ports) == (1, "127.0.0.1:8500", [8501])
