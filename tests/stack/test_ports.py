"""A taken port is found before anything starts."""

from __future__ import annotations

import socket

import pytest

from stack.errors import UsageError
from stack.ports import require_free


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(UsageError, match=rf"Port {port} .*REST_PORT="):
            require_free(REST_PORT=port)
    require_free(REST_PORT=port)
