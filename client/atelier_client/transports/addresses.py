"""The addresses behind a name: a headless Service or a service of compose is one name for several servers."""

from __future__ import annotations

import re
import socket

# HOST:PORT as `parse_targets` takes it for gRPC, with the host apart; no IPv6 address, which is its own address.
_NAME = re.compile(r"(?:dns:(?://[^/]*/)?)?([^\s:/\[\]]+):(\d{1,5})")


def each_address(target: str) -> list[str]:
    """HOST:PORT of every server behind a target of gRPC, sorted; the target itself where it is one server or unknown.

    What must be asked of each server by itself cannot be left to gRPC, which chooses one.
    """
    match = _NAME.fullmatch(target)
    if not match:
        return [target]
    host, port = match[1], int(match[2])
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return [target]
    # One server may listen on an address of either family: of `localhost` IPv4 and IPv6 are the same server.
    family = min(entry[0] for entry in found)
    addresses = sorted({str(entry[4][0]) for entry in found if entry[0] == family})
    if len(addresses) < 2:
        return [target]
    bracketed = [f"[{address}]" if ":" in address else address for address in addresses]
    return [f"{address}:{port}" for address in bracketed]
