"""Debian's packages, installed for a test where root has apt."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def command(name: str, *packages: str) -> str:
    """The path of a command. Where it is missing, root installs the packages with apt; else the test is skipped."""
    found = shutil.which(name)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(packages)
        found = shutil.which(name)
    if found is None:
        pytest.skip(f"Debian's package {packages[0]} is not installed")
    return found


def _install(packages: tuple[str, ...]) -> None:
    for arguments in (("update",), ("install", "--yes", "--no-install-recommends", *packages)):
        line = ["apt-get", "--quiet", *arguments]
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(line, env=environ, capture_output=True, timeout=600, check=False)
