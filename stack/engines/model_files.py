"""Where a version's files are: in the checkout's folder (ENGINE=local) or in the containers' volume (compose)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from stack.console import run_logged
from stack.engines import docker
from stack.engines.project import Project
from stack.errors import StackError, UsageError
from stack.settings import Settings
from stack.state import State


class ModelFiles(Protocol):
    """The model repository of an engine."""

    engine: str

    def versions(self, model: str) -> list[int]:
        """The versions of a model that were published, rising; none for a model that is not there."""

    def fetch(self, model: str, version: int, work: Path) -> Path:
        """The version's folder, for which `work` is free to be used."""


class Folder:
    """The repository in the checkout."""

    engine = "local"

    def __init__(self, settings: Settings) -> None:
        self._models = settings.root / "models"

    def versions(self, model: str) -> list[int]:
        """As in `ModelFiles`."""
        folder = self._models / model
        return _numbers(os.listdir(folder)) if folder.is_dir() else []

    def fetch(self, model: str, version: int, work: Path) -> Path:
        """As in `ModelFiles`: the folder itself."""
        return self._models / model / str(version)


class Volume:
    """The repository in the volume of the compose project. The client's image, which `make up` has built, reads it."""

    engine = "compose"

    def __init__(self, settings: Settings) -> None:
        project = Project(settings)
        self._name = f"{project.name}_models"
        self._image = project.image("client")
        self._logs = settings.state_dir / "logs"

    def versions(self, model: str) -> list[int]:
        """As in `ModelFiles`."""
        # A volume that is not there would be made by naming it.
        if docker.ask("volume", "inspect", self._name).returncode:
            return []
        listed = docker.ask("run", "--rm", *self._mount, "--entrypoint=ls", self._image, f"/models/{model}")
        return _numbers(listed.stdout.split())

    def fetch(self, model: str, version: int, work: Path) -> Path:
        """As in `ModelFiles`: a copy in `work`. Raises `StackError`."""
        made = docker.ask("create", *self._mount, self._image)
        container = made.stdout.strip()
        if made.returncode:
            raise StackError(f"The volume {self._name} cannot be read: {made.stderr.strip()}")
        try:
            command = ["docker", "cp", f"{container}:/models/{model}/{version}", str(work)]
            run_logged(
                command, f"Copying the version out of volume {self._name}", self._logs / "image-copy.log"
            )
        finally:
            docker.ask("rm", "--force", container)
        return work / str(version)

    @property
    def _mount(self) -> list[str]:
        return ["--network=none", f"--volume={self._name}:/models:ro"]


def find(settings: Settings, state: State | None, model: str) -> ModelFiles:
    """The repository that has the model: that of ENGINE, else of the service of `state`, else the one that has it.

    Raises `UsageError` when both or none have it.
    """
    places: list[ModelFiles] = [Folder(settings), Volume(settings)]
    asked = settings.engine if settings.engine != "auto" else state.engine if state else ""
    having = [place for place in places if asked in ("", place.engine) and place.versions(model)]
    if len(having) > 1:
        raise UsageError(
            f"MODEL={model}: both the folder models and the containers' volume have it; say ENGINE=local or "
            "ENGINE=compose."
        )
    if not having:
        where = {"local": "in the folder models", "compose": "in the containers' volume"}.get(
            asked, "in the folder models or the containers' volume"
        )
        raise UsageError(
            f"MODEL={model}: there is no published version of it {where}. `make up` publishes one."
        )
    return having[0]


def _numbers(names: list[str]) -> list[int]:
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())
