"""Ports on 127.0.0.1: a taken one is found before anything is started, and named."""

from __future__ import annotations

import socket

from stack.errors import UsageError


def require_free(**ports: int) -> None:
    """Raise `UsageError` naming the first port (setting name = number) on which something else listens."""
    for setting, port in ports.items():
        with socket.socket() as probe:
            # Servers set this option, too: a port whose last connection is still closing counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except PermissionError:
                raise UsageError(
                    f"Port {port} needs privileges this user lacks; choose {setting}=1024 or above."
                ) from None
            except OSError:
                raise UsageError(
                    f"Port {port} on 127.0.0.1 is taken by another program. "
                    f"Stop it, or choose another: make up {setting}={port + 1000 if port < 64000 else port - 1000}"
                ) from None
