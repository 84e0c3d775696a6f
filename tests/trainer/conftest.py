"""Shared by the trainer's tests: the fetched data set, and a job."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.trainer_command import TINY_JOB, trainer


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB: less than a version or a run needs."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


TABLE = "a,b,label\n" + "".join(f"{row % 7},{row % 5},{row % 2}\n" for row in range(40))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny job, its run and its version."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "a.csv").write_text(TABLE)
    (folder / "job.json").write_text(
        json.dumps(
            {
                "name": "tiny",
                "model": "tiny",
                "data": {"csv": "a.csv"},
                "network": {"hidden": [2]},
                "fit": {"batch_size": 8, "epochs": 1, "validation_split": 0.1},
            }
        )
    )
    places = ["--models", folder / "models", "--data", folder / "data", "--runs", folder / "runs"]
    done = trainer("train", folder / "job.json", *places)
    assert done.returncode == 0, done.stderr
    return folder
