"""Debian's podman, which runs a pod of Kubernetes' manifests without a cluster."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support import debian


@dataclass(frozen=True)
class Podman:
    """The command, with the settings that this machine needs."""

    command: str
    settings: Path

    def ask(self, *arguments: str | Path, timeout: float = 120) -> str:
        """Run a command of podman's; return its stdout. Raises `AssertionError` with its words."""
        done = subprocess.run(
            [self.command, *arguments],
            env={**os.environ, "CONTAINERS_CONF": str(self.settings)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"podman {arguments}: {done.stderr}{done.stdout}"
        return done.stdout

    def take_image(self, image: str) -> None:
        """Take an image over from docker, unless podman has the very same."""
        wanted = subprocess.run(
            ["docker", "image", "inspect", "--format", "{{.Id}}", image],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
        known = json.loads(self.ask("image", "ls", "--format", "json"))
        name = f"localhost/{image}"
        if any(f"sha256:{item['Id']}" == wanted and name in (item["Names"] or []) for item in known):
            return
        self.ask("pull", "--quiet", f"docker-daemon:{image}", timeout=900)
        self.ask("tag", wanted.removeprefix("sha256:"), name)


def podman(folder: Path) -> Podman:
    """A podman that works here, or a skip that names the package. Its settings are written in `folder`."""
    # catatonit holds the pod's network while no other process runs.
    command = debian.command("podman", "podman", "catatonit")
    settings = folder / "containers.conf"
    # By itself it asks for more open files than a machine may allow.
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1048576)
    processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], 32768)
    limits = f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]'
    settings.write_text(f"[containers]\n{limits}\n", encoding="utf-8")
    return Podman(command, settings)
