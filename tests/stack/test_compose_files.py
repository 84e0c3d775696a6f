"""What docs/security.md promises of the containers stands in the compose files."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from atelier_serving.flags import parse

from stack.engines.project import LAYERS
from tests.support.checkout import ROOT


def services(layer: str) -> dict[str, dict[str, Any]]:
    """The services of one compose file."""
    document: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load((ROOT / layer).read_text())
    return document["services"]


CONTAINERS = {
    **dict.fromkeys(("trainer", "serving", "client", "console"), "compose.yaml"),
    **dict.fromkeys(("prometheus", "grafana"), "compose.observe.yaml"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_is_contained(name: str) -> None:
    service = services(CONTAINERS[name])[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["user"].startswith("${ATELIER_UID:?")


def test_ports_are_published_on_this_machine_alone() -> None:
    ports = [port for layer in LAYERS for item in services(layer).values() for port in item.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_only_the_trainer_writes_data_and_only_releases_choose_beside_it() -> None:
    writers = {"models": {"trainer", "release"}, "data": {"trainer"}}
    for volume, names in writers.items():
        mounted = {
            name: mount
            for name, service in services("compose.yaml").items()
            for mount in service["volumes"]
            if mount.startswith(f"{volume}:")
        }
        assert {name for name, mount in mounted.items() if not mount.endswith(":ro")} == names


def test_both_servers_take_as_many_calls_at_a_time_as_clients_send() -> None:
    """TensorFlow Serving refuses calls beyond its threads; the embedded server knows every flag that it is given."""
    assert "--grpc_max_threads=1000" in services("compose.yaml")["serving"]["entrypoint"]
    own = services("compose.embedded.yaml")["serving"]["entrypoint"]
    command = services("compose.yaml")["serving"]["command"]
    flags = parse([*own[1:], *command])
    assert flags.host == "0.0.0.0"
    assert flags.model_config_file == "/models/models.config"
    assert parse(["--grpc_max_threads=1000"]).grpc_max_threads == 1000
