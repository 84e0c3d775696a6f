"""The serving container of a compose project, looked up in the engine itself, without starting a compose tool."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from stack.engines import docker
from stack.errors import Unavailable

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
    """The container of a service of the project, running or not; None when there is none.

    Raises `Unavailable` when the engine does not say: an engine that fails is no engine without the container.
    """
    labels = {"project": project, "service": service, "oneoff": "False"}
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
        return None
    seen = docker.ask("inspect", "--format", _FIELDS, *found)
    # One that was removed since it was listed is an error of docker's too: what is left is told beside it.
    if seen.returncode and "no such" not in seen.stderr.lower():
        raise _unanswered(seen)
    containers = [_parse(line) for line in seen.stdout.splitlines() if line.strip()]
    return next((item for item in containers if item.serves), containers[0] if containers else None)


def _unanswered(answer: subprocess.CompletedProcess[str]) -> Unavailable:
    said = answer.stderr.strip().splitlines()
    reason = said[-1] if said else f"exit {answer.returncode}"
    return Unavailable(
        f"The container engine does not say whether the service runs ({reason}). The same command may be given again."
    )


def _parse(line: str) -> Container:
    identity, status, started_at, restarts = line.split()
    return Container(identity, status, started_at, int(restarts))
