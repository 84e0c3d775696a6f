"""The ports of several workers, held for them by their supervisor."""

from __future__ import annotations

import socket


def hold(host: str, port: int) -> socket.socket:
    """Take a port for this process and, with SO_REUSEPORT, its workers. Raises `OSError` when anybody has it.

    The socket does not listen, so the system gives it no connections; as long as it is open nobody else gets the port,
    also when no worker listens. It is bound before SO_REUSEPORT is set: thus not even another program that sets it too
    may have the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.bind((host.strip("[]"), port))
    except OSError:
        # Connections that a server before this one closed keep the port for a minute, but for this option; with it a
        # port that somebody listens on cannot be bound either.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host.strip("[]"), port))
        except OSError as error:
            taken.close()
            raise OSError(f"port {port} on {host} cannot be bound: {error.strerror}") from None
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return taken
