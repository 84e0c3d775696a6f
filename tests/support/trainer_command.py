"""The trainer's command for tests, and a job that it trains in a second."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).parent / "atelier-trainer")

TINY_JOB = """
name: tiny
model: fashion
data: fashion-mnist
network: {hidden: [8]}
fit: {batch_size: 512, epochs: 1, seed: 1}
"""


def trainer(
    *arguments: object, environ: dict[str, str] | None = None, **kwargs: Any
) -> subprocess.CompletedProcess[str]:
    """Run the console script to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        **kwargs,
    )


@dataclass(frozen=True)
class Done:
    """What a command that ran in this process printed; `message` is the error's sentence, empty without one."""

    exit_code: int
    stdout: str
    stderr: str
    message: str = ""


def in_process(*arguments: object) -> Done:
    """Run a command in this process, which has imported TensorFlow already."""
    from atelier_trainer.cli.app import app
    from atelier_trainer.errors import AtelierTrainerError
    from typer.testing import CliRunner

    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, AtelierTrainerError):
        return Done(done.exception.exit_code, done.stdout, done.stderr, str(done.exception))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)
