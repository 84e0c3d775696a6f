"""Free ports on 127.0.0.1 for the servers that tests start."""

from __future__ import annotations

import random
import socket

# Below the range from which the kernel takes the ports of outgoing connections: a connection of another test cannot
# take the port between this choice and the server's start.
_LOWEST = 12_000
_HIGHEST = 31_999
_dice = random.SystemRandom()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody uses now; drawn at random, because tests run in several processes."""
    for _ in range(1000):
        port = _dice.randint(_LOWEST, _HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {_LOWEST} and {_HIGHEST} was found")
