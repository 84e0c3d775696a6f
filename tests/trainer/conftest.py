"""Shared by the trainer's tests: the command, and the fetched data set."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMMAND = str(Path(sys.executable).parent / "atelier-trainer")

TINY_JOB = """
name: tiny
model: fashion
data: fashion-mnist
network: {hidden: [8]}
fit: {batch_size: 512, epochs: 1, seed: 1}
"""


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder, filled through the product's own sources."""
    folder = tmp_path_factory.mktemp("data")
    from atelier_trainer.data import fashion_mnist
    from atelier_trainer.errors import DataUnavailable

    try:
        fashion_mnist.fetch(folder)
    except DataUnavailable as reason:
        pytest.skip(f"this machine reaches no source of the data set: {reason}")
    return folder


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job that trains in a second."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_JOB)
    return path


@pytest.fixture(autouse=True)
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs go where the test's other files go."""
    monkeypatch.setenv("ATELIER_RUNS", str(tmp_path / "runs"))


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
