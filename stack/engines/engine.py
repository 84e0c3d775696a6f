"""Which engine runs the loop: the one that is running, the one asked for, or the one this machine can offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from stack.console import note
from stack.engines import docker, gpu
from stack.engines.compose import Compose
from stack.engines.local import Local
from stack.errors import StackError, Unavailable, UsageError
from stack.imports import Import
from stack.jobs import JobFile
from stack.settings import Settings
from stack.state import State


class Companions(Protocol):
    """What runs beside the service: the console, Prometheus, Grafana, each by its name."""

    def start(self, name: str, port: int, state: State) -> None:
        """Start one and note it in the state. Raises `StackError` with the one reason why it cannot be."""

    def running(self, name: str, state: State) -> bool:
        """Whether the one of this state runs."""

    def address(self, name: str, state: State) -> str:
        """Where a browser finds it."""

    def stop(self, name: str, state: State) -> None:
        """Stop one, forget it, and leave the service alone."""

    def follow(self, state: State) -> None:
        """Tell what watches the servers where they are now."""


class Engine(Protocol):
    """What the loop needs of an engine."""

    name: str

    @property
    def companions(self) -> Companions:
        """What runs beside the service."""

    def prepare(self, running: State | None) -> dict[str, Any]:
        """Set up what the components need; return the State fields that say how the service is started."""

    def job(self, job: JobFile) -> str:
        """The name or path by which the trainer finds the job, on the host or in a container."""

    def file(self, path: Path) -> str:
        """The path by which the trainer finds a file or folder of the host, which it may read."""

    def inputs(self, source: JobFile | Import) -> str | None:
        """A digest of all that a training or import depends on; None where asking the trainer costs nothing."""

    def service(self, state: State) -> str:
        """A text that is different for every run of the service."""

    def trainer(self, arguments: Sequence[str], workers: int = 1) -> str:
        """Run the trainer, return its stdout; with `workers` as the chief of that many."""

    def client(self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None) -> None:
        """Run the client against the service."""

    def release(
        self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None
    ) -> None:
        """Run a command of the client that changes what is served, with the rules and hooks of GATE."""

    def serve(self, state: State) -> State:
        """Start the service."""

    def scale(self, state: State, replicas: int) -> list[int]:
        """Start what is missing of so many servers, end those beyond; return the numbers of the started, from 0."""

    def restart(self, state: State, number: int) -> None:
        """Let one server drain, and start it again on its ports."""

    def running(self, state: State) -> bool:
        """Whether a server of this state runs."""

    def halted(self, state: State) -> str:
        """The command that lets a halted service go on; empty for one that is not halted."""

    def watch(self, state: State) -> Callable[[], bool]:
        """A function that returns True as long as the servers that run now go on."""

    def stop(self, state: State) -> None:
        """Stop the service, letting it drain, and its companions."""

    def stop_forgotten(self) -> bool:
        """Stop a service of this checkout that no state file tells of; True when there was one."""

    def logs(self, state: State) -> None:
        """Print the service's log."""

    def log_tail(self) -> str:
        """The end of the first server's log."""

    def ps(self, state: State) -> None:
        """Print what runs."""

    def requests(self, state: State) -> str | None:
        """Where the client finds the requests that the server has kept; None for a server that keeps none."""

    def models(self, state: State) -> str:
        """The text of models.config, as the server reads it."""

    def clean(self, state: State | None) -> None:
        """Remove what only this engine made."""


def of_state(settings: Settings, state: State) -> Engine:
    """The engine that started the remembered service."""
    if state.engine == "local":
        return Local(settings)
    return Compose(settings, _docker())


def prepare_running(settings: Settings, engine: Engine, running: State) -> dict[str, Any]:
    """Set up what the components need beside a service that runs."""
    if settings.engine not in ("auto", running.engine):
        raise UsageError(
            f"ENGINE={settings.engine}: a service runs with ENGINE={running.engine}; `make down` first."
        )
    return engine.prepare(running)


def prepare(settings: Settings, stopped: State | None) -> tuple[Engine, dict[str, Any]]:
    """Choose an engine and set it up; `auto` falls back to local, with the reason in one line.

    `stopped` is a service that ended without `make down`: it comes back with the engine it had.
    """
    if settings.engine == "auto" and stopped and stopped.engine == "local":
        note("ENGINE=auto: local, as before; `make down` makes the choice free again.")
        local = Local(settings)
        return local, local.prepare(None)
    if settings.engine != "local":
        try:
            compose = Compose(settings, docker.find() if settings.engine == "auto" else _docker())
            _require_gpu(settings, compose)
            return compose, compose.prepare(None)
        except UsageError:
            raise
        except StackError as reason:
            if settings.engine == "compose":
                raise
            note(f"ENGINE=auto: running as local processes, because {reason}")
    local = Local(settings)
    return local, local.prepare(None)


def _require_gpu(settings: Settings, compose: Compose) -> None:
    """Raise `UsageError` for GPU=1 on an engine without the NVIDIA runtime. It is no reason to fall back to a CPU."""
    if not settings.gpu:
        return
    if not compose.docker.has_nvidia:
        found = ", ".join(compose.docker.runtimes) or "none"
        raise UsageError(f"GPU=1 needs the NVIDIA container runtime, and the engine has only: {found}.")
    gpu.require_drivable()


def _docker() -> docker.Docker:
    try:
        return docker.find()
    except Unavailable as reason:
        raise Unavailable(
            f"ENGINE=compose needs a container engine, but {reason}. Install or start one, or use ENGINE=local."
        ) from None


def stop_forgotten(settings: Settings) -> bool:
    """Stop what this checkout started and no state file tells of, with either engine; True when there was something."""
    stopped = Local(settings).stop_forgotten()
    try:
        compose = Compose(settings, docker.find())
    except Unavailable:
        return stopped
    return compose.stop_forgotten() or stopped


def clean_all(settings: Settings, state: State | None) -> str:
    """Let each engine remove what it made. Return why the container engine could not be asked, empty when it was."""
    Local(settings).clean(state)
    try:
        Compose(settings, docker.find()).clean(state)
    except Unavailable as reason:
        return str(reason)
    return ""
