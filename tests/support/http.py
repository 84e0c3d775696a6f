"""Questions to a server over HTTP, in a line each."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

from tests.support.server import RunningServer


def get(server: RunningServer, path: str, method: str = "GET") -> tuple[int, str]:
    """(status, body)"""
    request = urllib.request.Request(server.rest + path, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def series(server: RunningServer) -> dict[str, float]:
    """Each line of the metrics page as {name{labels}: value}."""
    _, text = get(server, "/monitoring/prometheus/metrics")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def connect(server: RunningServer) -> socket.socket:
    """A connection to the REST port."""
    host, port = server.rest.split("//")[1].split(":")
    return socket.create_connection((host, int(port)), timeout=20)
