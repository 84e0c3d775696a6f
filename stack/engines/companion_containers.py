"""ENGINE=compose: companions of the server as containers of the same project."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack import files
from stack import state as states
from stack.console import note, run_logged
from stack.engines import build, container, images, observe_files
from stack.engines.project import Project
from stack.errors import Unavailable
from stack.settings import CONSOLE, GRAFANA, PROMETHEUS, Settings, container_user
from stack.state import State

ALL = (CONSOLE, PROMETHEUS, GRAFANA)
_DEBIAN = "deploy/observe/debian"
_DEBIAN_IMAGE = "atelier-prometheus"


class CompanionContainers:
    """Starts and stops them; builds or pulls their images first."""

    def __init__(self, settings: Settings, compose: Sequence[str], project: Project) -> None:
        self._settings = settings
        self._compose = compose
        self._project = project
        self._logs = settings.state_dir / "logs"

    def start(self, name: str, port: int, state: State) -> None:
        """Start one. Raises `StackError`, `OSError`."""
        image = {
            CONSOLE: self._console_image,
            PROMETHEUS: self._prometheus_image,
            GRAFANA: self._grafana_image,
        }
        state.companions[name] = {"port": port, "image": image[name](state)}
        # The state is saved first. If this command is interrupted, `make down` still finds the container.
        states.save(self._settings.state_dir, state)
        self.write_files(state)
        self._run(["up", "-d", "--no-build", "--no-deps", name], f"Starting {name}", state)

    def write_files(self, state: State) -> None:
        """Write what containers read of the host."""
        console = "console:8600" if CONSOLE in state.companions else None
        observe_files.write(self._settings, self._servers(state), console, self.token())

    def follow(self, state: State) -> None:
        """Prometheus reads the file of addresses again when it changes."""
        self.write_files(state)

    def _servers(self, state: State) -> list[str]:
        """The name `serving` is that of all servers: one behind it would be asked by chance."""
        if state.replicas == 1:
            return ["serving:8501"]
        found = container.replicas(self._project.name).values()
        return [f"{item.name}:8501" for item in found]

    def running(self, name: str, state: State) -> bool:
        """True when its container runs, also while its process is being started again."""
        found = container.find(self._project.name, name)
        return found is not None and found.serves

    def any_left(self) -> bool:
        """True when a container is there, running or not."""
        return any(container.find(self._project.name, name) for name in ALL)

    def address(self, name: str, state: State) -> str:
        """Where a browser finds it. In its container the console listens to others too, so it asks for a token."""
        query = f"/?token={self.token()}" if name == CONSOLE else ""
        return f"http://127.0.0.1:{state.companions[name]['port']}{query}"

    def stop(self, name: str, state: State) -> None:
        """Stop one and remove its container."""
        self._run(["rm", "--stop", "--force", name], f"Stopping {name}", state)
        state.companions.pop(name, None)
        self.write_files(state)

    def print_logs(self, state: State) -> None:
        """Print what each has said."""
        for name in state.companions:
            if found := container.find(self._project.name, name):
                print(f"\n-- {name}", flush=True)
                subprocess.run(["docker", "logs", found.id], stderr=subprocess.STDOUT, check=False)

    def environment(self, state: State) -> Mapping[str, str]:
        """That of the compose tool, with the console's token."""
        return {**self._project.state_environment(state), "ATELIER_CONSOLE_TOKEN": self.token()}

    def token(self) -> str:
        """The console's token: drawn once, and kept beside the state for its owner alone."""
        path = self._settings.state_dir / observe_files.TOKEN
        if not path.exists():
            files.make_folder(path.parent)
            files.replace(path, secrets.token_hex(16), mode=0o600)
        return files.read_text(path)

    def _run(self, words: Sequence[str], what: str, state: State) -> None:
        log = self._logs / "companions.log"
        run_logged([*self._compose, *words], what, log, self.environment(state))

    def _console_image(self, state: State) -> str:
        _give(self._project.feedback)
        image = self._project.image(CONSOLE)
        how = self._project.recipe(images.Images(state.base_image, state.embedded))
        self._build(CONSOLE, CONSOLE, image, how + build.image_id(self._project.image("client")), state)
        return image

    def _prometheus_image(self, state: State) -> str:
        if images.pull(images.PROMETHEUS_IMAGE, self._logs):
            return images.PROMETHEUS_IMAGE
        note(f"{images.PROMETHEUS_IMAGE} cannot be pulled: using an image with Debian's package instead.")
        how = self._project.recipe(images.Images(state.base_image, state.embedded))
        self._build(PROMETHEUS, _DEBIAN, _DEBIAN_IMAGE, how, state)
        return _DEBIAN_IMAGE

    def _grafana_image(self, state: State) -> str:
        if images.pull(images.GRAFANA_IMAGE, self._logs):
            return images.GRAFANA_IMAGE
        raise Unavailable(
            f"{images.GRAFANA_IMAGE} cannot be pulled. Prometheus shows the same numbers, and "
            "deploy/observe/grafana/dashboards/atelier.json goes into any Grafana."
        )

    def _build(self, service: str, folder: str, image: str, how: str, state: State) -> None:
        built = build.Built(self._settings.root, self._settings.state_dir)
        if built.is_current(folder, image, how):
            return
        log = Path(self._logs / f"build-{service}.log")
        command = [*self._compose, "build", service]
        named = {f"{service.upper()}_IMAGE": image}
        run_logged(command, f"Image {image}", log, {**self.environment(state), **named})
        built.remember(folder, image, how)


def _give(folder: Path) -> None:
    """Let the container's user write a folder, which is another user for root alone."""
    files.require_folder(folder)
    files.make_folder(folder)
    if not os.getuid():
        for path in (folder, *folder.iterdir()):
            os.chown(path, *container_user(), follow_symlinks=False)
