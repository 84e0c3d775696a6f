"""One measured number, and the tools to get it: where the commands are, how a process is timed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Row:
    """One line of docs/benchmarks.md."""

    what: str
    measured: str
    target: str
    met: bool


def timed(command: Sequence[Any], environ: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Seconds from process start to its end, and what it printed on stdout. Raises when it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{command} exited {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, done.stdout
