"""ENGINE=compose: the loop in containers. The compose files say what each container is; this says when it runs."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stack import docker
from stack.console import run_logged, run_shown
from stack.errors import StepFailed
from stack.images import PYTHON_IMAGE, Images, choose
from stack.settings import Settings, container_user
from stack.state import State

# What may name a local copy of a data set, which the container then needs to see.
LOCAL_SOURCES = ("ATELIER_FASHION_MNIST", "ATELIER_IMDB")


class Compose:
    """Runs the components as containers of one compose project."""

    name = "compose"

    def __init__(self, settings: Settings, engine: docker.Docker) -> None:
        self.settings, self.docker = settings, engine
        self.reports, self.runs = settings.root / "reports", settings.root / "runs"
        self.mounts: dict[str, str] = {}
        self.images = Images(PYTHON_IMAGE, embedded=False)

    def prepare(self, running: State | None) -> dict[str, Any]:
        """Find and build the images; a running service keeps the images it was started with."""
        logs = self.settings.state_dir / "logs"
        if running:
            self.images = Images(running.base_image, running.embedded)
        else:
            self.images = choose(self.settings.state_dir, self.settings.gpu)
        environment = self._environment(self.images, self.settings.gpu)
        services = ["trainer", "client", *(["serving"] if self.images.embedded and not running else [])]
        for service in services:
            command = [*self.docker.compose, "build", service]
            run_logged(command, f"Image atelier-{service}", logs / f"build-{service}.log", environment)
        return {"base_image": self.images.base, "embedded": self.images.embedded}

    def job(self, name: str) -> str:
        """The job as the container finds it: a file on the host is mounted with its folder (and the data in it)."""
        path = self.settings.root / name
        if not path.is_file():
            return name
        self.mounts[str(path.resolve().parent)] = "/job"
        return f"/job/{path.name}"

    def trainer(self, arguments: Sequence[str]) -> str:
        """Run the trainer's container; return its stdout."""
        environment = self._environment(self.images, self.settings.gpu)
        options = ["--rm", "-T"]
        for variable in LOCAL_SOURCES:
            given = os.environ.get(variable, "")
            inside = f"/sources/{Path(given).name}" if given and Path(given).exists() else given
            options += ["-e", f"{variable}={inside}"] if given else []
            if inside != given:
                self.mounts[str(Path(given).resolve())] = inside
        for outside, inside in self.mounts.items():
            options += ["-v", f"{outside}:{inside}:ro"]
        command = [*self.docker.compose, "run", *options, "trainer", *arguments]
        with self._writable(self.runs), self._writable(self.reports):
            return run_shown(command, environment, capture=True, quiet_engine=True)

    def client(self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None) -> None:
        """Run the client's container against the serving one."""
        options = ["--rm", "-T", "--no-deps", "-e", f"ATELIER_MODEL={state.model}"]
        command = [*self.docker.compose, "run", *options, "client", *arguments]
        with self._writable(self.reports):
            run_shown(command, self._state_environment(state), quiet_engine=True, alive=alive)

    def serve(self, state: State) -> State:
        """Start the serving container (no effect on one that runs as configured)."""
        command = [*self.docker.compose, "up", "-d", "--no-build", "serving"]
        log = self.settings.state_dir / "logs" / "serving-up.log"
        run_logged(command, "Starting the serving container", log, self._state_environment(state))
        return state

    def running(self, state: State) -> bool:
        """True when the serving container runs."""
        identity = self._serving_container(state)
        seen = (
            docker.ask("inspect", "--format", "{{.State.Running}} {{.RestartCount}}", identity)
            if identity
            else None
        )
        return bool(seen and seen.stdout.split() == ["true", "0"])

    def stop(self, state: State) -> None:
        """Stop and remove the project's containers and network; the volumes stay."""
        log = self.settings.state_dir / "logs" / "down.log"
        run_logged(
            [*self.docker.compose, "down"], "Stopping the containers", log, self._state_environment(state)
        )

    def logs(self, state: State | None) -> None:
        """Print the serving container's log."""
        environment = self._state_environment(state) if state else self._environment(self.images, False)
        sys.stdout.write(run_shown([*self.docker.compose, "logs", "serving"], environment, capture=True))

    def log_tail(self) -> str:
        """The last lines of the serving container's log, for an error."""
        command = [*self.docker.compose, "logs", "--tail=15", "serving"]
        return run_shown(command, self._environment(self.images, False), capture=True)

    def ps(self, state: State) -> None:
        """The project's containers."""
        run_shown([*self.docker.compose, "ps"], self._state_environment(state))

    def clean(self, state: State | None) -> None:
        """Remove containers and volumes; the images stay, as the cache of the next build."""
        environment = self._state_environment(state) if state else self._environment(self.images, False)
        log = self.settings.state_dir / "logs" / "clean.log"
        command = [*self.docker.compose, "down", "--volumes", "--remove-orphans"]
        run_logged(command, "Removing containers and volumes", log, environment)

    def _serving_container(self, state: State) -> str:
        command = [*self.docker.compose, "ps", "-q", "serving"]
        try:
            return run_shown(command, self._state_environment(state), capture=True, quiet_engine=True).strip()
        except StepFailed:
            return ""

    def _state_environment(self, state: State) -> dict[str, str]:
        environment = self._environment(Images(state.base_image, state.embedded), state.gpu)
        return {
            **environment,
            "GRPC_PORT": str(state.grpc_port),
            "REST_PORT": str(state.rest_port),
            "ATELIER_MODEL": state.model,
        }

    def _environment(self, images: Images, gpu: bool) -> dict[str, str]:
        layers = ["compose.yaml"]
        layers += ["compose.embedded.yaml"] if images.embedded else []
        layers += ["compose.gpu.yaml"] if gpu else []
        uid, gid = container_user()
        return {
            **os.environ,
            "COMPOSE_FILE": os.pathsep.join(str(self.settings.root / layer) for layer in layers),
            "COMPOSE_PROJECT_NAME": os.environ.get("COMPOSE_PROJECT_NAME")
            or project_name(self.settings.root),
            "ATELIER_UID": str(uid),
            "ATELIER_GID": str(gid),
            "ATELIER_REPORTS": str(self.reports),
            "ATELIER_RUNS": str(self.runs),
            "BASE_IMAGE": images.base,
        }

    @contextmanager
    def _writable(self, folder: Path) -> Iterator[None]:
        """The container's user writes there; what it wrote then belongs to the caller, also when that is root."""
        folder.mkdir(exist_ok=True)
        owner = (os.getuid(), os.getgid())
        if owner[0] == 0:
            _chown(folder, container_user())
        try:
            yield
        finally:
            if owner[0] == 0:
                _chown(folder, owner)


def project_name(root: Path) -> str:
    """One compose project a checkout: with shared volumes, `make clean` in one would empty the other."""
    return f"atelier-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}"


def _chown(folder: Path, owner: tuple[int, int]) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *owner)
