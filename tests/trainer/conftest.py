"""Shared by the trainer's tests: the fetched data set, and a job."""

from pathlib import Path

import pytest

from tests.support.trainer_command import TINY_JOB


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
