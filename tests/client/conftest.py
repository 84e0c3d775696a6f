"""One served model for the client's tests, with a small labelled data set that the model gets partly right.

It is served by the embedded server; by another, such as a real TensorFlow Serving, with ATELIER_TARGET (host:port of
its gRPC), ATELIER_REST_TARGET (http://host:port) and ATELIER_MODELS, the folder it serves, which
`python -m tests.support.models FOLDER` has written:

    tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name=fashion --model_base_path=FOLDER/fashion
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from atelier_client import Client
from numpy.typing import NDArray

from tests.support.idx_files import split_examples, write_split
from tests.support.models import publish_untrained
from tests.support.server import running_server


# Not for the session: other tests run in this process too.
@pytest.fixture(scope="module", autouse=True)
def model() -> Iterator[Any]:
    """The commands ask for the served model, unless told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_MODEL", os.environ.get("ATELIER_MODEL", "fashion"))
        yield


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A repository with version 1 of `fashion`."""
    if "ATELIER_TARGET" in os.environ:
        return Path(os.environ["ATELIER_MODELS"])
    folder = tmp_path_factory.mktemp("models")
    publish_untrained(folder)
    return folder


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Any]:
    """`.grpc` and `.rest` of the server of that repository."""
    if target := os.environ.get("ATELIER_TARGET"):
        yield SimpleNamespace(grpc=target, rest=os.environ["ATELIER_REST_TARGET"])
        return
    with running_server(models) as running:
        yield running


@pytest.fixture
def client(server: Any) -> Iterator[Any]:
    with Client(server.grpc, "fashion") as opened:
        yield opened


@pytest.fixture(scope="session")
def images() -> NDArray[Any]:
    """The images of `split_examples`."""
    return split_examples()[0]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A data folder with those images, as the contract lays it out."""
    folder = tmp_path_factory.mktemp("data")
    write_split(folder, *split_examples())
    return folder
