"""One embedded server for the examples that ask the demo's classifier."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.models import publish_untrained
from tests.support.server import RunningServer, running_server


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with version 1 of `fashion`, of untrained weights."""
    folder = tmp_path_factory.mktemp("models")
    publish_untrained(folder)
    return folder


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[RunningServer]:
    """The embedded server of that repository."""
    with running_server(models) as running:
        yield running
