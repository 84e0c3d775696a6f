"""The trainer's command for tests, and a job that it trains in a second."""

from __future__ import annotations

import os
import subprocess
import sys
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
