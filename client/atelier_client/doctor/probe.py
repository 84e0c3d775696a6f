"""Finds out what listens at an address: gRPC, TLS, REST, something else, or nothing."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from enum import Enum

# The preface of HTTP/2 (RFC 9113, section 3.4) and an empty SETTINGS frame. The server responds with its SETTINGS.
_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_TYPE = 3
_SETTINGS = 4
# The first bytes of a TLS record with an alert (RFC 8446, section 5.1).
_TLS_ALERT = b"\x15\x03"
_HTTP1 = b"GET / HTTP/1.1\r\nHost: doctor\r\nConnection: close\r\n\r\n"


class Protocol(Enum):
    """The protocol of what listens."""

    GRPC = "gRPC"
    HTTP = "HTTP/1 (REST)"
    TLS = "TLS"
    SILENCE = "nothing"
    OTHER = "something else"


@dataclass(frozen=True)
class Address:
    """Where to connect: a host and port, or the path of a unix socket."""

    host: str
    port: int
    path: str | None = None

    @classmethod
    def of(cls, target: str) -> Address:
        """The address of a target, in any form that _targets.py accepts."""
        if target.startswith("unix"):
            path = target.partition(":")[2]
            path = path.removeprefix("//")
            return cls("localhost", 0, "\0" + path if target.startswith("unix-abstract") else path)
        scheme, separator, rest = target.partition("://")
        rest = rest if separator and scheme in ("http", "https") else target
        rest = rest.removeprefix("dns:").rpartition("/")[2] if not separator else rest
        host, colon, port = rest.rpartition(":")
        if not colon or not port.isdigit():
            host = rest
            port = "443" if scheme == "https" else "80"
        return cls(host.strip("[]"), int(port))

    def connect(self, seconds: float) -> socket.socket:
        """Connect. Raises `OSError`; for a name that is not known it is `socket.gaierror`."""
        if self.path is None:
            return socket.create_connection((self.host, self.port), seconds)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        try:
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection


def detect_protocol(address: Address, seconds: float) -> Protocol:
    """The protocol at the address. It is TLS when there is no response without encryption."""
    received = _first_bytes(address, _OPENING, seconds)
    if (
        len(received) > _FRAME_TYPE
        and received[_FRAME_TYPE] == _SETTINGS
        and not received.startswith(b"HTTP")
    ):
        return Protocol.GRPC
    if received.startswith(b"HTTP/1"):
        return Protocol.HTTP
    if received.startswith(_TLS_ALERT) or _has_tls(address, seconds):
        return Protocol.TLS
    if _first_bytes(address, _HTTP1, seconds).startswith(b"HTTP/1"):
        return Protocol.HTTP
    return Protocol.OTHER if received else Protocol.SILENCE


def handshake(address: Address, context: ssl.SSLContext, name: str | None, seconds: float) -> None:
    """Make a TLS handshake and read one byte: only then a refused client certificate is noticed. Raises `OSError`."""
    context.set_alpn_protocols(["h2"])
    with (
        address.connect(seconds) as plain,
        context.wrap_socket(plain, server_hostname=name or address.host) as secure,
    ):
        secure.sendall(_OPENING)
        if not secure.recv(1):
            raise ConnectionResetError("it ended the connection after the handshake")


def _has_tls(address: Address, seconds: float) -> bool:
    # The certificate is not checked, because nothing is sent over this connection.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with address.connect(seconds) as plain, context.wrap_socket(plain):
            return True
    except (OSError, ValueError):
        return False


def _first_bytes(address: Address, sent: bytes, seconds: float) -> bytes:
    try:
        with address.connect(seconds) as connection:
            connection.sendall(sent)
            return connection.recv(16)
    except OSError:
        return b""
