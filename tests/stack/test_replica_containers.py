"""Several servers as containers: one name, ports of their own, and nobody's request fails."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack import replicas, served
from stack.engines import container, docker
from stack.engines.compose import Compose
from stack.settings import Settings, read_settings
from stack.state import State, load, save
from tests.support.checkout import Checkout
from tests.support.embedded_image import IMAGE, build_image
from tests.support.models import publish_untrained
from tests.support.replica_load import room, under_load


@dataclass
class Service:
    """A compose project with a published version, and its servers."""

    settings: Settings
    engine: Compose
    state: State
    project: str

    def await_all(self, seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while served.newest(self.state.rest_ports, "fashion") != 1:
            assert time.monotonic() < deadline, served.versions(self.state.rest_ports, "fashion")
            time.sleep(0.1)

    def names(self) -> set[str]:
        """The addresses behind the name `serving` in the project's network."""
        code = "import socket; print(*{a[4][0] for a in socket.getaddrinfo('serving', 8500)})"
        first = container.replicas(self.project)[0].id
        return set(docker.ask("exec", first, "python3", "-c", code).stdout.split())


@pytest.fixture
def service(
    checkout: Checkout, engine: docker.Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    project = f"atelier-test-{os.getpid()}"
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", project)
    settings = read_settings(checkout.path, {"ENGINE": "compose"})
    base = build_image(tmp_path / "logs")
    first = room(3)
    state = State("compose", first, first + 1, "fashion", base_image=base, embedded=True, replicas=2)
    save(settings.state_dir, state)
    _fill_volume(f"{project}_models", tmp_path)
    compose = Compose(settings, engine)
    try:
        compose.serve(state)
        yield Service(settings, compose, state, project)
    finally:
        compose.stop(state)
        left = docker.ask("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}")
        docker.ask("volume", "rm", f"{project}_models", f"{project}_requests", f"{project}_data")
    assert not left.stdout, "a container is left"


def _fill_volume(name: str, folder: Path) -> None:
    """Publish a version into the volume, as the trainer's container would."""
    publish_untrained(folder / "models")
    config = folder / "models" / "models.config"
    config.write_text(config.read_text().replace(str(folder), ""))
    labels = ["--label", f"com.docker.compose.project={name.removesuffix('_models')}"]
    docker.ask("volume", "create", *labels, "--label", "com.docker.compose.volume=models", name)
    made = docker.ask("create", "--volume", f"{name}:/models", IMAGE).stdout.strip()
    copied = docker.ask("cp", f"{folder / 'models'}/.", f"{made}:/models", timeout=60)
    docker.ask("rm", "--force", made)
    assert copied.returncode == 0, copied.stderr


@pytest.mark.timeout(1700)
def test_servers_come_go_die_and_start_again_and_no_request_fails(service: Service) -> None:
    service.await_all()
    before = container.replicas(service.project)
    assert set(before) == {0, 1}
    assert len(service.names()) == 2

    # Each in turn, on its ports.
    with under_load(service.state.target):
        replicas.restart(service.settings)
    now = container.replicas(service.project)
    assert [now[number].id for number in now] == [before[number].id for number in before]
    assert all(now[number].started_at != before[number].started_at for number in now)

    # One that dies is started again by the engine.
    with under_load(service.state.target):
        subprocess.run(
            ["docker", "exec", now[1].id, "bash", "-c", "kill -9 -1"], check=False, capture_output=True
        )
        deadline = time.monotonic() + 120
        while container.replicas(service.project)[1].restarts == 0:
            assert time.monotonic() < deadline, "it was not started again"
            time.sleep(0.2)
        service.await_all()

    with under_load(service.state.target):
        assert replicas.scale(service.engine, service.state, 3, {})
        service.await_all()
        assert len(service.names()) == 3
        assert replicas.scale(service.engine, service.state, 1, {})
    assert load(service.settings.state_dir) == service.state
    assert set(container.replicas(service.project)) == {0}
    assert len(service.names()) == 1
