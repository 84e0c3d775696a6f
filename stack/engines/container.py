"""The serving container of a compose project, looked up in the engine itself, without starting a compose tool."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from stack.engines import docker
from stack.errors import Unavailable

_FIELDS = "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{.Name}}"
# The servers beside the first are one-off containers of the same service, called so, and their number, from 2.
_REPLICA = "{project}_serving_"


@dataclass(frozen=True)
class Container:
    """A container that exists. `restarts` is how often its restart policy has started it again."""

    id: str
    status: str
    started_at: str
    restarts: int
    name: str

    @property
    def serves(self) -> bool:
        """True when it runs, or is just being started again after a crash: its address and its models stay."""
        return self.status in ("running", "restarting", "paused")

    @property
    def run(self) -> str:
        """A text that is different for every run of the server."""
        return f"{self.id} {self.started_at}"


def find(project: str, service: str = "serving") -> Container | None:
    """The container of a service of the project, running or not; None when there is none.

    Raises `Unavailable` when the engine does not say: an engine that fails is no engine without the container.
    """
    containers = _all(project, service, "False")
    return next((item for item in containers if item.serves), containers[0] if containers else None)


def replica_name(project: str, number: int) -> str:
    """The name of the container of a server beside the first, whose number is 1 or more."""
    return f"{_REPLICA.format(project=project)}{number + 1}"


def replicas(project: str) -> dict[int, Container]:
    """The containers of the servers, running or not, by their number from 0. Raises `Unavailable` as `find` does."""
    first = find(project)
    prefix = _REPLICA.format(project=project)
    others = {
        int(item.name.removeprefix(prefix)) - 1: item
        for item in _all(project, "serving", "True")
        if item.name.startswith(prefix) and item.name.removeprefix(prefix).isdecimal()
    }
    return dict(sorted([*([(0, first)] if first else []), *others.items()]))


def _all(project: str, service: str, one_off: str) -> list[Container]:
    labels = {"project": project, "service": service, "oneoff": one_off}
    filters = [
        word
        for name, value in labels.items()
        for word in ("--filter", f"label=com.docker.compose.{name}={value}")
    ]
    listed = docker.ask("ps", "--all", "--quiet", "--no-trunc", *filters)
    if listed.returncode:
        raise _unanswered(listed)
    found = listed.stdout.split()
    if not found:
        return []
    seen = docker.ask("inspect", "--format", _FIELDS, *found)
    # One that was removed since it was listed is an error of docker's too: what is left is told beside it.
    if seen.returncode and "no such" not in seen.stderr.lower():
        raise _unanswered(seen)
    return [_parse(line) for line in seen.stdout.splitlines() if line.strip()]


def _unanswered(answer: subprocess.CompletedProcess[str]) -> Unavailable:
    said = answer.stderr.strip().splitlines()
    reason = said[-1] if said else f"exit {answer.returncode}"
    return Unavailable(
        f"The container engine does not say whether the service runs ({reason}). The same command may be given again."
    )


def _parse(line: str) -> Container:
    identity, status, started_at, restarts, name = line.split()
    return Container(identity, status, started_at, int(restarts), name.removeprefix("/"))
