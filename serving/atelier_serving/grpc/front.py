"""What the server needs of a gRPC front, and which of the two it gets."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

GRPCIO = "grpcio"
NATIVE = "native"
AUTO = "auto"
CHOICES = (AUTO, GRPCIO, NATIVE)


@dataclass(frozen=True)
class ListenSettings:
    """Where the server listens: `host:port` or empty, the path of a Unix socket or empty; gRPC's channel arguments.

    `workers` is the number of server processes that share the port and the memory.
    """

    address: str
    socket_path: str
    arguments: list[tuple[str, int | str]]
    workers: int


class Front(Protocol):
    """A gRPC server with all services, grpc.health.v1 and reflection."""

    def start(self) -> None:
        """Accept requests."""

    def set_ready(self, ready: bool) -> None:
        """Set the state that grpc.health.v1 reports. It tells watchers of a change."""

    def refuse(self) -> None:
        """Report NOT_SERVING, and refuse new requests with UNAVAILABLE, so that clients send them to another server."""

    def stop(self, seconds: float) -> None:
        """Close the port. Requests in flight have up to `seconds` to end.

        A request that arrives at the moment of the stop may get another status than UNAVAILABLE, and clients do not
        retry that. So call `refuse` REFUSE_SECONDS earlier.
        """


def without_native(listen: ListenSettings, tls: bool) -> str:
    """Why the native front cannot be used here; empty when it can."""
    if tls:
        return "the native front has no TLS"
    if not listen.address:
        return "the native front listens on a port, and --port is 0"
    if listen.arguments:
        return "--grpc_channel_arguments are arguments of grpcio"
    if sys.platform != "linux":
        # grpc/connections.py reads Linux' numbers of each connection.
        return "on this system the native front could not bound the memory of its clients"
    if find_spec("pygrpc_native") is None:
        return "pygrpc-native is not installed (pip install 'atelier-serving[fast]')"
    return ""
