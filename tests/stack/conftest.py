"""A fresh checkout per test, and the container engine of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.engines import docker
from stack.engines.docker import Docker
from stack.errors import Unavailable
from tests.support.checkout import Checkout, copy_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout in a folder whose name has a space."""
    folder = tmp_path / "my checkout"
    # Containers run as another user when the tests run as root, and have to reach what is mounted.
    tmp_path.chmod(0o755)
    folder.mkdir()
    return copy_checkout(folder)


@pytest.fixture(scope="session")
def engine() -> Docker:
    """The container engine, or a skip that names what this machine lacks."""
    try:
        return docker.find()
    except Unavailable as reason:
        pytest.skip(f"this machine has no container engine: {reason}")
