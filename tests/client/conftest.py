"""One served model for the client's tests, with a small labelled data set that the model gets partly right."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from atelier_client import Client

from tests.support.models import publish_untrained
from tests.support.server import running_server

COMMAND = str(Path(sys.executable).parent / "atelier-client")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A repository with version 1 of `fashion`."""
    folder = tmp_path_factory.mktemp("models")
    publish_untrained(folder)
    return folder


@pytest.fixture(scope="session")
def server(models):
    """The embedded server on that repository."""
    with running_server(models) as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.grpc, "fashion") as opened:
        yield opened


@pytest.fixture(scope="session")
def images():
    """2,500 random images: several requests' worth, the last one not full."""
    return np.random.default_rng(5).integers(0, 256, [2500, 28, 28], np.uint8)


@pytest.fixture(scope="session")
def data(tmp_path_factory, images):
    """A data folder with those images, as the contract lays it out."""
    folder = tmp_path_factory.mktemp("data")
    labels = np.random.default_rng(6).integers(0, 10, len(images)).astype(np.uint8)
    write_split(folder, images, labels)
    return folder


def write_split(folder, images, labels):
    """Write a test split as IDX."""
    target = folder / "fashion-mnist"
    target.mkdir(parents=True, exist_ok=True)
    header = b"\0\0\x08\x03" + np.array(images.shape, ">u4").tobytes()
    (target / "t10k-images-idx3-ubyte").write_bytes(header + images.tobytes())
    header = b"\0\0\x08\x01" + np.array(labels.shape, ">u4").tobytes()
    (target / "t10k-labels-idx1-ubyte").write_bytes(header + labels.tobytes())


def command(*arguments: object, **kwargs) -> subprocess.CompletedProcess:
    """Run the console script to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ,
        **kwargs,
    )
