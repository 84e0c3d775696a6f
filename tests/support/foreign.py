"""Environments of programs that no one here wrote and that need other releases of packages than this project's.

`tests/foreign/NAME.lock` says what is in one. It is made once, in `foreign` beside this environment's packages, and
made anew when its lock file or Python's version changes. Scripts of `tests/foreign` run in it and print one JSON
document.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "foreign"
INSTALL_SECONDS = 280
RUN_SECONDS = 120


def python(name: str) -> Path:
    """The interpreter of the environment `name` (`clients`, `mlserver`). Skips when no package index is in reach."""
    lock = FOLDER / f"{name}.lock"
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    places = Path(sys.prefix) / "foreign"
    places.mkdir(exist_ok=True)
    place = places / f"{name}-{key}"
    # The tests run in two processes.
    with (places / f"{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            for old in places.glob(f"{name}-*"):
                shutil.rmtree(old)
            _make(place, lock)
            (place / "complete").touch()
    return place / "bin" / "python"


def _make(place: Path, lock: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=60)
    command: list[str | Path] = [sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install"]
    # Compiling what is never imported would take most of the time.
    options = ["--quiet", "--no-compile", "--no-deps", "--require-hashes", "--disable-pip-version-check"]
    limits = ["--retries=1", "--timeout=15"]
    done = subprocess.run(
        [*command, *options, *limits, "-r", lock],
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode and "Retrying (" in done.stderr:
        pytest.skip(f"tests/foreign/{lock.name} cannot be installed: no package index is in reach")
    assert not done.returncode, done.stderr[-3000:]


def run(name: str, script: str, *arguments: str, given: str = "", seconds: float = RUN_SECONDS) -> Any:
    """What `tests/foreign/<script>` prints, as JSON; `given` is its standard input.

    Its standard error is in the message when it fails.
    """
    done = subprocess.run(
        [python(name), FOLDER / script, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert not done.returncode, done.stderr[-3000:]
    return json.loads(done.stdout)
