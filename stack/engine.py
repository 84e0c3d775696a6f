"""Which engine runs the loop: the one that is running, the one asked for, or the one this machine can offer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from stack import docker
from stack.compose import Compose
from stack.console import note
from stack.errors import StackError, Unavailable, UsageError
from stack.local import Local
from stack.settings import Settings
from stack.state import State


class Engine(Protocol):
    """What the loop needs of an engine."""

    name: str

    def prepare(self, running: State | None) -> dict[str, Any]:
        """Set up what the components need; return the State fields that say how the service is started."""

    def job(self, name: str) -> str:
        """The job as the trainer finds it, wherever the trainer runs."""

    def trainer(self, arguments: Sequence[str]) -> str:
        """Run the trainer, return its stdout."""

    def client(self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None) -> None:
        """Run the client against the service."""

    def serve(self, state: State) -> State:
        """Start the service."""

    def running(self, state: State) -> bool:
        """Whether the service of this state runs."""

    def stop(self, state: State) -> None:
        """Stop the service, letting it drain."""

    def logs(self, state: State | None) -> None:
        """Print the service's log."""

    def log_tail(self) -> str:
        """The end of the service's log."""

    def ps(self, state: State) -> None:
        """Print what runs."""

    def clean(self, state: State | None) -> None:
        """Remove what only this engine made."""


def of_state(settings: Settings, state: State) -> Engine:
    """The engine that started the remembered service."""
    if state.engine == "local":
        return Local(settings)
    return Compose(settings, _docker())


def prepare(settings: Settings, running: State | None) -> tuple[Engine, dict[str, Any]]:
    """Choose an engine and set it up; `auto` falls back to local, with the reason in one line."""
    if running:
        if settings.engine not in ("auto", running.engine):
            raise UsageError(
                f"ENGINE={settings.engine}: a service runs with ENGINE={running.engine}; `make down` first."
            )
        engine = of_state(settings, running)
        return engine, engine.prepare(running)
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
    """GPU=1 on an engine without the runtime is a mistake to tell, not a reason to fall back to a CPU."""
    if settings.gpu and not compose.docker.has_nvidia:
        found = ", ".join(compose.docker.runtimes) or "none"
        raise UsageError(f"GPU=1 needs the NVIDIA container runtime, and the engine has only: {found}.")


def _docker() -> docker.Docker:
    try:
        return docker.find()
    except Unavailable as reason:
        raise Unavailable(
            f"ENGINE=compose needs a container engine, but {reason}. Start it, or use ENGINE=local."
        ) from None


def clean_all(settings: Settings, state: State | None) -> None:
    """Let each engine that is there remove what it made; one that is absent made nothing."""
    Local(settings).clean(state)
    try:
        compose = Compose(settings, docker.find())
    except Unavailable:
        return
    compose.clean(state)
