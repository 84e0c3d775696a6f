"""The container engine: whether one answers, which compose tool there is, and which runtimes it has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from stack.errors import Unavailable

ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Docker:
    """A container engine that answered, and the command of its compose tool."""

    compose: tuple[str, ...]
    runtimes: tuple[str, ...]

    @property
    def has_nvidia(self) -> bool:
        """True when containers can be given NVIDIA devices."""
        return "nvidia" in self.runtimes


def find() -> Docker:
    """Ask for an engine and a compose tool; `Unavailable` says in one sentence which is missing."""
    if shutil.which("docker") is None:
        raise Unavailable("no docker command was found")
    info = ask("info", "--format", "{{json .}}")
    if info.returncode:
        reason = info.stderr.strip().splitlines()
        raise Unavailable(
            f"the container engine does not answer ({reason[-1] if reason else 'no reason given'})"
        )
    # An old client exits 0 and reports the daemon's absence inside the document.
    answer = json.loads(info.stdout)
    if answer.get("ServerErrors"):
        raise Unavailable(f"the container engine does not answer ({answer['ServerErrors'][0]})")
    if ask("compose", "version").returncode == 0:
        compose: tuple[str, ...] = ("docker", "compose")
    elif shutil.which("docker-compose"):
        compose = ("docker-compose",)
    else:
        raise Unavailable("neither `docker compose` nor docker-compose was found")
    return Docker(compose, tuple(answer.get("Runtimes") or ()))


def ask(*arguments: str, timeout: float = ANSWER_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a short docker command; one that hangs counts as failed."""
    command: Sequence[str] = ("docker", *arguments)
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, env=os.environ
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {timeout:.0f} s")


def has_image(name: str) -> bool:
    """True when the engine holds the image."""
    return ask("image", "inspect", name).returncode == 0


def images(pattern: str) -> list[str]:
    """The names of the engine's images that match a pattern, such as `atelier-*`."""
    listed = ask("image", "ls", "--filter", f"reference={pattern}", "--format", "{{.Repository}}:{{.Tag}}")
    return sorted(line.removesuffix(":latest") for line in listed.stdout.split())


def size_of(names: Sequence[str]) -> int:
    """The bytes on disk of some images together; a layer that several share counts once."""
    layers: dict[str, int] = {}
    for name in names:
        seen = ask(
            "history",
            "--human=false",
            "--no-trunc",
            "--format",
            "{{.Size}} {{.ID}} {{.CreatedAt}} {{.CreatedBy}}",
            name,
        )
        layers |= {line: int(line.split()[0]) for line in seen.stdout.splitlines()}
    return sum(layers.values())
