"""One suite for any TensorFlow Serving: the embedded server by default, a real one with ATELIER_TARGET.

A real server must serve version 1 of the model that `save_toy` of tests/support/toy_models.py writes, under the name
`toy`, with --enable_grpc_healthcheck_service.
ATELIER_TARGET is its gRPC host:port, ATELIER_REST_TARGET its REST address (http://host:port).
"""

import os
from types import SimpleNamespace

import grpc
import pytest

from tests.support.server import running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """`.grpc` and `.rest` of the server under test."""
    if target := os.environ.get("ATELIER_TARGET"):
        yield SimpleNamespace(grpc=target, rest=os.environ["ATELIER_REST_TARGET"])
        return
    from tests.support.toy_models import save_toy

    models = tmp_path_factory.mktemp("toys")
    save_toy(models)
    with running_server(models, "--enable_grpc_healthcheck_service=true", model="toy") as running:
        yield running


@pytest.fixture(scope="session")
def channel(server):
    """A channel without a limit on what it receives."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc, options=options) as opened:
        yield opened
