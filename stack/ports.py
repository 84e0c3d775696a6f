"""Ports on 127.0.0.1: a taken one is found before anything is started, and named."""

from __future__ import annotations

import socket

from stack.errors import UsageError

LAST = 65535


def require_free(**ports: int) -> None:
    """Raise `UsageError` naming the first port (setting name = number) on which something else listens."""
    for setting, port in ports.items():
        if (why := _why_not(port)) is None:
            continue
        if why == _FORBIDDEN:
            raise UsageError(f"Port {port} {why}; choose {setting}=1024 or above.")
        other = port + 1000 if port < 64000 else port - 1000
        raise UsageError(f"Port {port} {why}. Stop it, or choose another: make up {setting}={other}")


def of_replicas(first: int, replicas: int) -> list[int]:
    """The ports of several servers: gRPC and REST are mostly neighbours, so each has them two above the one before."""
    return [first + 2 * number for number in range(replicas)]


def require_room(grpc_port: int, rest_port: int, replicas: int) -> None:
    """Raise `UsageError` when the ports of so many servers do not exist, or are not all different."""
    found = [*of_replicas(grpc_port, replicas), *of_replicas(rest_port, replicas)]
    if max(found) > LAST:
        raise UsageError(
            f"REPLICAS={replicas} takes every second port from {grpc_port} and {rest_port} on, up to {max(found)}, "
            f"and the last port is {LAST}: ask for fewer servers, or choose a lower GRPC_PORT and REST_PORT."
        )
    if len(set(found)) < len(found):
        raise UsageError(
            f"REPLICAS={replicas} takes every second port from {grpc_port} and {rest_port} on, and some of them "
            f"are the same: choose REST_PORT={grpc_port + 1}."
        )


def require_free_for_replicas(grpc_ports: list[int], rest_ports: list[int]) -> None:
    """Raise `UsageError` for a port of a server beside the first on which something else listens."""
    for port in [*grpc_ports, *rest_ports]:
        if why := _why_not(port):
            raise UsageError(
                f"Port {port} {why}; a server of REPLICAS would take it. Stop it, or choose another GRPC_PORT "
                "and REST_PORT: each server takes ports two above those of the one before."
            )


_FORBIDDEN = "needs privileges this user lacks"


def _why_not(port: int) -> str | None:
    """Why nothing can listen on the port, as the end of a sentence; None when it is free."""
    with socket.socket() as probe:
        # Servers set this option, too: a port whose last connection is still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return _FORBIDDEN
        except OSError:
            return "on 127.0.0.1 is taken by another program"
    return None
