"""The front that has everything: the services, grpc.health.v1, reflection, and TLS.

It is grpcio's synchronous server with our own thread pool. It handles three times as many requests of one row as
grpcio's asyncio server (docs/decisions.md). A session releases the interpreter while it runs, so threads run in
parallel.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from atelier_serving import memory
from atelier_serving.grpc.answering import Answering
from atelier_serving.grpc.front import ListenSettings
from atelier_serving.grpc.grpcio_handlers import handlers
from atelier_serving.grpc.large_messages import LargeMessages
from atelier_serving.grpc.message_guard import MessageGuard
from atelier_serving.grpc.reflection import add_reflection
from atelier_serving.grpc.slow_clients import SlowClients
from atelier_serving.thread_pool import ThreadPool

_log = logging.getLogger(__name__)

MAX_MESSAGE = 2**31 - 1
# Requests of one connection, and of all connections. Each waiting request keeps its message in memory.
MAX_STREAMS = 1000
MAX_REQUESTS = 10_000
_MAX_CONNECTIONS = 10_000
# When the client no longer responds, its connection is closed, and all memory for it is freed.
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
_UNKNOWN_SERVICE = "unknown"


class GrpcioFront:
    """Answers calls until it is stopped. Raises `OSError` when the port is in use."""

    def __init__(
        self,
        answering: Answering,
        large: LargeMessages,
        listen: ListenSettings,
        pool: ThreadPool,
        credentials: grpc.ServerCredentials | None,
    ) -> None:
        self._workers = workers = listen.workers
        self._answering = answering
        given = {name for name, _ in listen.arguments}
        self._slow_clients = SlowClients(pool)
        self._large = large
        self._server = grpc.server(
            self._slow_clients,  # type: ignore[arg-type]
            interceptors=[MessageGuard(self._large, self._slow_clients)],
            options=[
                *listen.arguments,
                *(option for option in _options(workers) if option[0] not in given),
            ],
            maximum_concurrent_rpcs=MAX_REQUESTS,
        )
        self._server.add_generic_rpc_handlers(handlers(answering))
        services = list(answering.services)
        # By the full names, and as TensorFlow Serving by the last part alone.
        self._health = _Health(["", *services, *(name.rpartition(".")[2] for name in services)])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_reflection(self._server, [*services, health.SERVICE_NAME])
        self.set_ready(False)
        if listen.address:
            self._bind(listen.address, credentials)
        if listen.socket_path:
            # The file permissions say who may connect. TensorFlow Serving uses no TLS here, either.
            self._bind(f"unix:{listen.socket_path}", None)

    def _bind(self, address: str, credentials: grpc.ServerCredentials | None) -> None:
        try:
            if credentials:
                self._server.add_secure_port(address, credentials)
            else:
                self._server.add_insecure_port(address)
        except RuntimeError:
            host, _, port = address.rpartition(":")
            what = f"socket {port}" if host == "unix" else f"port {port} on {host}"
            raise OSError(f"{what} cannot be bound: another program has it") from None

    def start(self) -> None:
        """Accept requests."""
        # `available` is measured now, because the models are loaded.
        free = memory.available() // self._workers
        self._slow_clients.start(free)
        self._large.start(free)
        self._server.start()

    def set_ready(self, ready: bool) -> None:
        """Set the state that grpc.health.v1 reports. It tells watchers of a change."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in self._health.names:
            self._health.set(name, status)

    def refuse(self) -> None:
        """Report NOT_SERVING, and refuse new requests with UNAVAILABLE, so that clients send them to another server."""
        self._health.enter_graceful_shutdown()
        self._answering.closed = True

    def stop(self, seconds: float) -> None:
        """Close the port. Requests in flight have up to `seconds` to end.

        A request that arrives at the moment of the stop gets CANCELLED from gRPC, and clients do not retry that. So
        call `refuse` REFUSE_SECONDS earlier.
        """
        self._server.stop(seconds).wait()


class _Health(health.HealthServicer):  # type: ignore[misc]  # the library has no types
    """The health service of the library. It does not keep every name that a client ever watched."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names

    def Watch(self, request: Any, context: Any, send_response_callback: Any = None) -> Any:
        # All unknown names share one entry: they stay unknown.
        if request.service not in self.names:
            request.service = _UNKNOWN_SERVICE
        return super().Watch(request, context, send_response_callback)


def _options(workers: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_send_message_length", MAX_MESSAGE),
        # Without workers the port must not be shared: a second server would silently get half of the requests.
        ("grpc.so_reuseport", int(workers > 1)),
        # Further requests of a connection wait in the client.
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.max_allowed_incoming_connections", _MAX_CONNECTIONS),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ]
