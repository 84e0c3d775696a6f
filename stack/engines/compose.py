"""ENGINE=compose: the loop in containers. The compose files say what each container is; this says when it runs."""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stack import files
from stack import state as states
from stack.console import note, run_logged, run_shown
from stack.engines import build, container, docker
from stack.engines.companion_containers import CompanionContainers
from stack.engines.images import PYTHON_IMAGE, Images, choose
from stack.engines.mounts import HOST, HostNames, Mounts, writable
from stack.engines.project import Project
from stack.engines.serving_containers import ServingContainers
from stack.engines.workers import Worker, beside, tf_config
from stack.errors import NotRunning
from stack.imports import Import
from stack.jobs import JobFile
from stack.settings import TRACKING, Settings
from stack.state import State

# Each worker has a container of its own, and so the same port.
WORKER_PORT = 2222
# Where a container finds the folder of GATE.
GATE = "/gate"
# Variables that may name a local copy of a data set. The copy is then mounted into the container.
LOCAL_SOURCES = ("ATELIER_FASHION_MNIST", "ATELIER_IMDB")


class Compose:
    """Runs the components as containers of one compose project."""

    name = "compose"

    def __init__(self, settings: Settings, engine: docker.Docker) -> None:
        self.settings = settings
        self.docker = engine
        self.project = Project(settings)
        self.mounts = Mounts()
        self.images = Images(PYTHON_IMAGE, embedded=False)
        self.companions = CompanionContainers(settings, engine.compose, self.project)
        self.servers = ServingContainers(settings, engine.compose, self.project)

    def prepare(self, running: State | None) -> dict[str, Any]:
        """Find and build the images; a running service keeps the images it was started with."""
        for folder in (self.project.runs, self.project.reports):
            files.require_folder(folder)
        logs = self.settings.state_dir / "logs"
        if running:
            self.images = Images(running.base_image, running.embedded)
        else:
            self.images = choose(self.settings.state_dir, self.settings.gpu)
        environment = self.project.environment(self.images, self.settings.gpu)
        built = build.Built(self.settings.root, self.settings.state_dir)
        services = ["trainer", "client", *(["serving"] if self.images.embedded and not running else [])]
        for service in services:
            image = self.project.image(service)
            how = self.project.recipe(self.images)
            if not built.is_current(service, image, how):
                command = [*self.docker.compose, "build", service]
                run_logged(command, f"Image {image}", logs / f"build-{service}.log", environment)
                built.remember(service, image, how)
        return {"base_image": self.images.base, "embedded": self.images.embedded}

    def job(self, job: JobFile) -> str:
        """The job's name or path in the container. A user's job is mounted, with its folder and the data it names."""
        return job.name if job.shipped else self.mounts.show_job(job)

    def file(self, path: Path) -> str:
        """The path in the container, where the file or folder is mounted."""
        self.mounts.show(path, f"{HOST}{path}")
        return f"{HOST}{path}"

    def inputs(self, source: JobFile | Import) -> str | None:
        """A digest of the job or import, of size and time of the files it names, and of the images.

        The trainer's container could be asked instead, but it takes seconds to start.
        """
        seen = [(str(path), path.stat()) for path in source.seen()]
        parts = (
            source.text,
            [(name, status.st_size, status.st_mtime_ns) for name, status in seen],
            [os.environ.get(name, "") for name in LOCAL_SOURCES],
            [build.image_id(self.project.image(service)) for service in ("trainer", "client")],
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def service(self, state: State) -> str:
        """The serving containers, and when their processes began."""
        return ", ".join(found.run for found in container.replicas(self.project.name).values())

    def trainer(self, arguments: Sequence[str], workers: int = 1) -> str:
        """Run the trainer's container, those of other workers beside it; return its stdout."""
        if os.environ.get(TRACKING):
            note(
                f"{TRACKING}: the trainer's image has no MLflow, so nothing is tracked; ENGINE=local tracks."
            )
        environment = self.project.environment(self.images, self.settings.gpu)
        options: list[str] = []
        names = self.project.host_names()
        for variable in LOCAL_SOURCES:
            given = os.environ.get(variable, "")
            local = Path(given).resolve() if given and Path(given).exists() else None
            if local:
                self.mounts.show(local, f"/sources/{local.name}")
                names[f"/sources/{local.name}"] = str(local)
            if given:
                options += ["-e", f"{variable}={f'/sources/{local.name}' if local else given}"]
        options += self.mounts.options()
        with contextlib.ExitStack() as held:
            held.enter_context(writable(self.project.runs))
            held.enter_context(writable(self.project.reports))
            # On the containers' own network a container's name is its address.
            runs = [held.enter_context(self._one_off("trainer")) for _ in range(workers)]
            addresses = [f"{run[-1]}:{WORKER_PORT}" for run in runs]
            commands = [
                [*run, *self._tf_config(addresses, index), *options, "trainer", *arguments]
                for index, run in enumerate(runs)
            ]
            others = [
                Worker(command, environment, functools.partial(docker.ask, "rm", "--force", run[-1]))
                for command, run in zip(commands[1:], runs[1:], strict=True)
            ]
            alive = held.enter_context(beside(others, self.settings.state_dir / "logs"))
            rewrite = HostNames(names)
            return run_shown(
                commands[0], environment, capture=True, quiet_engine=True, rewrite=rewrite, alive=alive
            )

    def _tf_config(self, addresses: Sequence[str], index: int) -> list[str]:
        return ["-e", f"TF_CONFIG={tf_config(addresses, index)}"] if len(addresses) > 1 else []

    def client(self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None) -> None:
        """Run the client's container against the serving one."""
        self._client("client", [], arguments, state, alive)

    def release(
        self, arguments: Sequence[str], state: State, alive: Callable[[], bool] | None = None
    ) -> None:
        """Run a command of the client that changes what is served, with the rules and hooks of GATE.

        The folder of GATE is mounted, because the rules may name a file of examples in it.
        """
        options = ["-e", f"ATELIER_WHO={_who()}"]
        gate = self.settings.releases.gate
        if gate:
            mounts = Mounts()
            mounts.show(gate.parent.resolve(), GATE)
            options += [*mounts.options(), "-e", f"ATELIER_GATE={GATE}/{gate.name}"]
        self._client("release", options, arguments, state, alive)

    def _client(
        self,
        service: str,
        options: Sequence[str],
        arguments: Sequence[str],
        state: State,
        alive: Callable[[], bool] | None,
    ) -> None:
        with writable(self.project.reports), self._one_off(service) as run:
            given = ["--no-deps", "-e", f"ATELIER_MODEL={state.model}", "-e", f"TZ={_zone()}", *options]
            # In the container the service has another address than on the host.
            address = {"serving:8500": state.target}
            gate = self.settings.releases.gate
            shown = {GATE: str(gate.parent)} if gate else {}
            run_shown(
                [*run, *given, service, *arguments],
                self.project.state_environment(state),
                quiet_engine=True,
                rewrite=HostNames(self.project.host_names() | address | shown),
                alive=alive,
            )

    @contextlib.contextmanager
    def _one_off(self, service: str) -> Iterator[list[str]]:
        """The begin of a command that runs a container of its own. Whatever ends it, the container is removed."""
        name = f"{self.project.name}_{service}_run_{secrets.token_hex(6)}"
        try:
            yield [*self.docker.compose, "run", "--rm", "-T", "--name", name]
        except BaseException:
            # A compose tool that is interrupted between creating and starting a container leaves it behind.
            docker.ask("rm", "--force", name)
            raise

    def serve(self, state: State) -> State:
        """Start the serving containers (no effect on one that runs as configured)."""
        state.labels = True
        # The state is saved first. If this command is interrupted, `make down` still finds the servers.
        states.save(self.settings.state_dir, state)
        self.companions.write_files(state)
        for number in range(state.replicas):
            self.servers.start(number, state)
        self.companions.follow(state)
        return state

    def scale(self, state: State, replicas: int) -> list[int]:
        """Start what is missing of so many servers, end those beyond; return the numbers of the started, from 0."""
        state.replicas = replicas
        states.save(self.settings.state_dir, state)
        return self.servers.scale(state)

    def restart(self, state: State, number: int) -> None:
        """Let one server drain, and start it again on its ports."""
        self.servers.restart(number)

    def running(self, state: State) -> bool:
        """True when a serving container runs, also while its process is being started again."""
        return bool(self.servers.serving())

    def halted(self, state: State) -> str:
        """The command that lets paused containers go on; empty when none is paused."""
        paused = [item.id[:12] for item in self.servers.serving() if item.status == "paused"]
        return f"docker unpause {' '.join(paused)}" if paused else ""

    def watch(self, state: State) -> Callable[[], bool]:
        """A function that returns True as long as the servers run that do now, and none was started again."""
        return self.servers.watch()

    def stop(self, state: State) -> None:
        """Stop and remove the project's containers and network; the volumes stay."""
        log = self.settings.state_dir / "logs" / "down.log"
        run_logged(
            [*self.docker.compose, "down"],
            "Stopping the containers",
            log,
            self.project.state_environment(state),
        )

    def stop_forgotten(self) -> bool:
        """Stop a service that no state file tells of; True when there was one."""
        if not container.replicas(self.project.name) and not self.companions.any_left():
            return False
        log = self.settings.state_dir / "logs" / "down.log"
        environment = self.project.environment(self.images, gpu=False)
        run_logged([*self.docker.compose, "down"], "Stopping the containers", log, environment)
        return True

    def logs(self, state: State) -> None:
        """Print the serving containers' logs, and then those of their companions."""
        found = container.replicas(self.project.name)
        if not found:
            raise NotRunning("The serving container is gone, and its log with it. `make up` starts one.")
        for number, item in found.items():
            if number:
                print(f"\n-- serving-{number + 1}", flush=True)
            # The server logs to stdout and stderr. In one stream the lines keep their order.
            subprocess.run(["docker", "logs", item.id], stderr=subprocess.STDOUT, check=False)
        self.companions.print_logs(state)

    def log_tail(self) -> str:
        """The last lines of the serving container's log, for an error."""
        found = container.find(self.project.name)
        if found is None:
            return "Its container is gone."
        seen = docker.ask("logs", "--tail=15", found.id)
        names = HostNames(self.project.host_names())
        return "The end of its log:\n" + names(seen.stdout + seen.stderr)

    def ps(self, state: State) -> None:
        """The project's containers."""
        if not container.replicas(self.project.name):
            print("compose  serving  its container has been removed", flush=True)
            return
        run_shown([*self.docker.compose, "ps"], self.project.state_environment(state))

    def requests(self, state: State) -> str | None:
        """The volume of the embedded server's request log; TensorFlow Serving has none."""
        return "/requests" if state.embedded else None

    def models(self, state: State) -> str:
        """The text of models.config, as the server reads it."""
        running = self.servers.serving()
        return docker.ask("exec", running[0].id, "cat", "/models/models.config").stdout if running else ""

    def clean(self, state: State | None) -> None:
        """Remove containers and volumes; the images stay, as the cache of the next build."""
        environment = (
            self.project.state_environment(state)
            if state
            else self.project.environment(self.images, gpu=False)
        )
        log = self.settings.state_dir / "logs" / "clean.log"
        command = [*self.docker.compose, "down", "--volumes", "--remove-orphans"]
        run_logged(command, "Removing containers and volumes", log, environment)
        if kept := docker.images("atelier-*"):
            total = docker.size_of(list(kept))
            note(
                f"Kept for the next build, of this checkout or another: {len(kept)} images ({total / 1e9:.1f} GB)."
            )
            note(f"To remove them too: docker image rm {' '.join(kept)} && docker image prune")


def _zone() -> str:
    """The caller's time zone, as an offset, for times in messages and in AT: images have no list of zones."""
    minutes = (datetime.now().astimezone().utcoffset() or timedelta()) // timedelta(minutes=1)
    hours, rest = divmod(abs(minutes), 60)
    # POSIX counts the other way round: what is added to local time to get UTC.
    sign, name = ("-", "+") if minutes >= 0 else ("+", "-")
    return f"<{name}{hours:02d}{rest:02d}>{sign}{hours:02d}:{rest:02d}"


def _who() -> str:
    """The caller, for the record of releases: in the container nobody has a name. ATELIER_WHO is another name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # This user id has no name here either.
        user = str(os.getuid())
    return os.environ.get("ATELIER_WHO") or f"{user}@{socket.gethostname()}"
