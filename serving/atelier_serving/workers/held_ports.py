"""The supervisor keeps the ports of its workers reserved."""

from __future__ import annotations

import socket


def hold(host: str, port: int) -> socket.socket:
    """Bind a port for this process and, with SO_REUSEPORT, for its workers. Raises `OSError` when it is in use.

    The socket does not listen, so it gets no connections. As long as it is open no other program gets the port, also
    when no worker listens. SO_REUSEPORT is set after the bind: so the bind also fails when another program uses the
    port with SO_REUSEPORT.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.bind((host.strip("[]"), port))
    except OSError:
        # Without this option, closed connections of an earlier server keep the port for a minute. With it the bind
        # still fails when a program listens on the port.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host.strip("[]"), port))
        except OSError as error:
            taken.close()
            raise OSError(f"port {port} on {host} cannot be bound: {error.strerror}") from None
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return taken
