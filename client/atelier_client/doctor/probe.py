"""What listens at an address: gRPC, gRPC behind TLS, REST, something else, or nothing."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from enum import Enum

# HTTP/2's opening (RFC 9113, section 3.4) and an empty SETTINGS frame; the server answers with its own SETTINGS.
_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_FRAME_TYPE, _SETTINGS = 3, 4
# A TLS record that carries an alert begins so (RFC 8446, section 5.1).
_TLS_ALERT = b"\x15\x03"
_HTTP1 = b"GET / HTTP/1.1\r\nHost: doctor\r\nConnection: close\r\n\r\n"


class Speaks(Enum):
    """What answered."""

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
        """Of a target as targets.py accepts them."""
        if target.startswith("unix"):
            path = target.partition(":")[2]
            path = path.removeprefix("//")
            return cls("localhost", 0, "\0" + path if target.startswith("unix-abstract") else path)
        scheme, separator, rest = target.partition("://")
        rest = rest if separator and scheme in ("http", "https") else target
        rest = rest.removeprefix("dns:").rpartition("/")[2] if not separator else rest
        host, colon, port = rest.rpartition(":")
        if not colon or not port.isdigit():
            host, port = rest, "443" if scheme == "https" else "80"
        return cls(host.strip("[]"), int(port))

    def connect(self, seconds: float) -> socket.socket:
        """A connection. Raises `OSError` (`socket.gaierror` for a name that is not known)."""
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


def what_speaks(address: Address, seconds: float) -> Speaks:
    """What answers without encryption; TLS when it only answers with it."""
    answer = _first_bytes(address, _OPENING, seconds)
    if len(answer) > _FRAME_TYPE and answer[_FRAME_TYPE] == _SETTINGS and not answer.startswith(b"HTTP"):
        return Speaks.GRPC
    if answer.startswith(b"HTTP/1"):
        return Speaks.HTTP
    if answer.startswith(_TLS_ALERT) or _has_tls(address, seconds):
        return Speaks.TLS
    if _first_bytes(address, _HTTP1, seconds).startswith(b"HTTP/1"):
        return Speaks.HTTP
    return Speaks.OTHER if answer else Speaks.SILENCE


def handshake(address: Address, context: ssl.SSLContext, name: str | None, seconds: float) -> None:
    """Go through a TLS handshake and read a first byte, where a refused client certificate shows. Raises `OSError`."""
    context.set_alpn_protocols(["h2"])
    with (
        address.connect(seconds) as plain,
        context.wrap_socket(plain, server_hostname=name or address.host) as secure,
    ):
        secure.sendall(_OPENING)
        if not secure.recv(1):
            raise ConnectionResetError("it ended the connection after the handshake")


def _has_tls(address: Address, seconds: float) -> bool:
    # Only whether there is TLS at all: nothing is sent over it.
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
