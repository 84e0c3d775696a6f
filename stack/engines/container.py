"""The serving container of a compose project, looked up in the engine itself, without starting a compose tool."""

from __future__ import annotations

from dataclasses import dataclass

from stack.engines import docker

_FIELDS = "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}}"


@dataclass(frozen=True)
class Container:
    """A container that exists. `restarts` is how often its restart policy has started it again."""

    id: str
    status: str
    started_at: str
    restarts: int

    @property
    def serves(self) -> bool:
        """True when it runs, or is just being started again after a crash: its address and its models stay."""
        return self.status in ("running", "restarting", "paused")

    @property
    def run(self) -> str:
        """A text that is different for every run of the server."""
        return f"{self.id} {self.started_at}"


def find(project: str, service: str = "serving") -> Container | None:
    """The container of a service of the project, running or not; None when there is none."""
    labels = {"project": project, "service": service, "oneoff": "False"}
    filters = [
        word
        for name, value in labels.items()
        for word in ("--filter", f"label=com.docker.compose.{name}={value}")
    ]
    found = docker.ask("ps", "--all", "--quiet", "--no-trunc", *filters).stdout.split()
    seen = docker.ask("inspect", "--format", _FIELDS, *found).stdout.splitlines() if found else []
    containers = [_parse(line) for line in seen]
    return next((item for item in containers if item.serves), containers[0] if containers else None)


def _parse(line: str) -> Container:
    identity, status, started_at, restarts = line.split()
    return Container(identity, status, started_at, int(restarts))
