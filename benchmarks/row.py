"""One measured number, and the tools to get it: where the commands are, how a process is timed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Row:
    """One line of docs/benchmarks.md; `met` is None where nothing was aimed at."""

    what: str
    measured: str
    target: str
    met: bool | None


@dataclass(frozen=True)
class Ended:
    """A process that ended well: seconds from its start to its end, when it started, its stdout, its peak memory."""

    seconds: float
    started: float
    stdout: str
    peak_mb: float


def run(command: Sequence[Any], environ: Mapping[str, str] | None = None) -> Ended:
    """Run a command of the checkout to its end. Raises `RuntimeError` with its stderr when it fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.time()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=out,
            stderr=err,
            cwd=ROOT,
            env={**os.environ, **(environ or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.time() - started
        # Told, so that Popen does not wait for a process that is gone.
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, err):
            file.seek(0)
        if process.returncode:
            raise RuntimeError(f"{command} exited {process.returncode}:\n{err.read()[-2000:]}")
        return Ended(seconds, started, out.read(), usage.ru_maxrss / 1024)


def timed(command: Sequence[Any]) -> tuple[float, str]:
    """Seconds from process start to its end, and its stdout."""
    ended = run(command)
    return ended.seconds, ended.stdout
