"""The documentation site, built for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(config: Path, target: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Build strictly; Python's warnings are errors. (With `--quiet` MkDocs would not count its own.)"""
    # It would tell of MkDocs' successors in each build.
    settings = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1", **environ}
    command = [sys.executable, "-W", "error", "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(
        [*command, "--config-file", str(config), "--site-dir", str(target)],
        cwd=config.parent,
        env=settings,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
