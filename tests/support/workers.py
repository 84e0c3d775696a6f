"""Several workers of the trainer that train together on this machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port
from tests.support.trainer_command import COMMAND

LIMIT = 240


@dataclass(frozen=True)
class Ended:
    """One worker's exit code and what it wrote."""

    code: int
    stdout: str
    stderr: str


@contextmanager
def workers(
    count: int, *arguments: object, only: tuple[int, ...] | None = None
) -> Iterator[list[subprocess.Popen[str]]]:
    """`atelier-trainer train` with these arguments as `count` workers (or those of them in `only`)."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    started = []
    for index in range(count) if only is None else only:
        task = {"type": "worker", "index": index}
        environ = {**os.environ, "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}
        command = [COMMAND, "train", *map(str, arguments), "--set", "fit.strategy=multi_worker"]
        started.append(
            subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def ended(started: list[subprocess.Popen[str]]) -> list[Ended]:
    """Wait for each."""
    written = [process.communicate(timeout=LIMIT) for process in started]
    return [Ended(process.returncode, *texts) for process, texts in zip(started, written, strict=True)]


def train_together(count: int, *arguments: object) -> list[Ended]:
    """Start the workers and wait for all."""
    with workers(count, *arguments) as started:
        return ended(started)


def places(folder: Path) -> tuple[object, ...]:
    """The options that put everything under a folder."""
    return ("--models", folder / "models", "--data", folder / "data", "--runs", folder / "runs")
