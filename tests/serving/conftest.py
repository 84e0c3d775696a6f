"""One server for the tests of the lifecycle; each test has a model of its own on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.peer import ONCE, Peer, fresh_name
from tests.support.server import RunningServer, running_server
from tests.support.toy_models import save_toy


@pytest.fixture(scope="session")
def lifecycle_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without models; tests give it theirs by reload."""
    models = tmp_path_factory.mktemp("none")
    config = models / "models.config"
    config.write_text("model_config_list {}")
    with running_server(models, f"--model_config_file={config}", *ONCE) as server:
        yield server


@pytest.fixture
def peer(lifecycle_server: RunningServer, tmp_path: Path) -> Iterator[Peer]:
    """The shared server with version 1 of a model whose name is this test's own."""
    opened = Peer(lifecycle_server, tmp_path, fresh_name())
    opened.save(1)
    opened.reload(opened.config())
    yield opened
    opened.reload()
    opened.channel.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with version 1 of `toy`, for a module that starts servers of its own."""
    folder = tmp_path_factory.mktemp("models")
    save_toy(folder, version=1, factor=1.0)
    return folder


@pytest.fixture(scope="session")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of version 1 of `toy`, for tests that change nothing of it; bodies have 1.5 s to arrive."""
    models = tmp_path_factory.mktemp("small")
    save_toy(models, version=1, factor=1.0)
    with running_server(models, *ONCE, "--rest_api_timeout_in_ms=1500", model="toy") as server:
        yield server


@pytest.fixture
def small_peer(small_server: RunningServer, tmp_path: Path) -> Iterator[Peer]:
    """A connection to the small server."""
    opened = Peer(small_server, tmp_path, "toy")
    yield opened
    opened.channel.close()
