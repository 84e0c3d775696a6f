"""ENGINE=compose: the containers of the servers, of which the first is the service `serving` of the compose project.

The others are one-off containers of the same service: a compose tool scales only what has no fixed ports, and would
give a server another port each time it starts. In the project's network all have the name `serving`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stack.console import run_logged
from stack.engines import container, docker
from stack.engines.container import Container
from stack.engines.project import Project
from stack.errors import NotRunning, StepFailed, Unavailable
from stack.ports import require_free_for_replicas
from stack.settings import Settings
from stack.state import State

# As `stop_grace_period` in compose.yaml.
STOP_SECONDS = 15


class ServingContainers:
    """Starts, restarts and ends them; a server's number counts from 0."""

    def __init__(self, settings: Settings, compose: Sequence[str], project: Project) -> None:
        self._logs = settings.state_dir / "logs"
        self._compose = compose
        self._project = project

    def all(self) -> dict[int, Container]:
        """By number, running or not."""
        return container.replicas(self._project.name)

    def serving(self) -> list[Container]:
        """Those that run, or are just being started again."""
        return [item for item in self.all().values() if item.serves]

    def start(self, number: int, state: State) -> None:
        """Start one (no effect on a first one that runs as configured)."""
        environment = self._project.state_environment(state, number)
        if not number:
            command = [*self._compose, "up", "-d", "--no-build", "serving"]
            run_logged(command, "Starting the serving container", self._logs / "serving-up.log", environment)
            return
        name = container.replica_name(self._project.name, number)
        docker.ask("rm", "--force", name)
        command = [*self._compose, "run", "--detach", "--no-deps", "--service-ports", "--use-aliases"]
        command += ["--name", name, "serving"]
        log = self._logs / f"serving-{number + 1}-up.log"
        run_logged(command, f"Starting serving container {number + 1}", log, environment)
        # Some compose tools take the policy away from what they `run`.
        docker.ask("update", "--restart", "unless-stopped", name)

    def scale(self, state: State) -> list[int]:
        """End those beyond the state's number of servers, start what is missing; return the numbers of the started."""
        found = self.all()
        for number, item in found.items():
            if number >= state.replicas:
                docker.ask("stop", "--time", str(STOP_SECONDS), item.id, timeout=STOP_SECONDS + 60)
                docker.ask("rm", "--force", item.id)
        missing = [n for n in range(state.replicas) if n not in found or not found[n].serves]
        beside = [number for number in missing if number]
        require_free_for_replicas(
            [state.grpc_ports[number] for number in beside], [state.rest_ports[number] for number in beside]
        )
        for number in missing:
            self.start(number, state)
        return missing

    def restart(self, number: int) -> None:
        """Let one drain, and start it again."""
        found = self.all().get(number)
        if found is None:
            raise NotRunning(f"The container of server {number + 1} is gone. `make up` starts one.")
        done = docker.ask("restart", "--time", str(STOP_SECONDS), found.id, timeout=STOP_SECONDS + 60)
        if done.returncode:
            raise StepFailed(f"Server {number + 1} was not started again: {done.stderr.strip()}")

    def watch(self) -> Callable[[], bool]:
        """A function that returns True as long as those run that do now, and none was started again.

        An engine that does not answer for a moment says nothing of the servers, which are then left to go on.
        """
        first = {item.id: item.restarts for item in self.serving()}

        def alive() -> bool:
            try:
                now = {item.id: item.restarts for item in self.serving()}
            except Unavailable:
                return True
            return bool(first) and first.items() <= now.items()

        return alive
