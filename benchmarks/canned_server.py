"""What gRPC alone takes: a grpcio server that repeats what another server said to the first call of that kind and size.

python -m benchmarks.canned_server HOST:PORT      prints its own address; ends with its stdin
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from benchmarks.row import ROOT

_UNLIMITED = [("grpc.max_receive_message_length", -1)]


class Canned(grpc.GenericRpcHandler):
    """Serialized answers, by method and by the size of the request: fewer rows get fewer answers."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=_UNLIMITED)
        self._answers: dict[tuple[str, int], bytes] = {}

    def service(self, details: Any) -> Any:
        """The handler of any method: bytes in, bytes out."""
        return grpc.unary_unary_rpc_method_handler(lambda request, _: self._answer(details.method, request))

    def _answer(self, method: str, request: bytes) -> bytes:
        kind = (method, len(request))
        if kind not in self._answers:
            self._answers[kind] = self._channel.unary_unary(method)(request)
        return self._answers[kind]


@contextlib.contextmanager
def canned(target: str) -> Iterator[str]:
    """Such a server's address, for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.canned_server", target]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # Its stdin is closed at the end, and with it the server ends.
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdout
        yield process.stdout.readline().strip()


def main(target: str) -> None:
    """Serve until stdin is closed."""
    server = grpc.server(ThreadPoolExecutor(8), handlers=(Canned(target),), options=_UNLIMITED)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main(sys.argv[1])
