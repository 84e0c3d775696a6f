"""HTTP/2 by hand (RFC 9113), to send a gRPC server what no client library would."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, END_HEADERS = 1, 4
CANCEL = struct.pack("!I", 8)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame: length, type, flags, stream, payload (section 4.1)."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def headers(path: str) -> bytes:
    """The header block of a gRPC call, without compression: literal fields, never indexed (RFC 7541, 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "127.0.0.1",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(field(name, value) for name, value in fields.items())


def field(name: str, value: str) -> bytes:
    """A header field as a literal that is not indexed; name and value are shorter than 127."""
    return b"\0" + _text(name) + _text(value)


def _text(value: str) -> bytes:
    # A length of less than 127 has one byte.
    return bytes([len(value)]) + value.encode()


def prefix(size: int) -> bytes:
    """What stands before a gRPC message of so many bytes: not compressed, and its length."""
    return struct.pack("!BI", 0, size)


@contextlib.contextmanager
def connection(target: str) -> Iterator[socket.socket]:
    """A connection to host:port that has sent the preface and empty settings."""
    host, _, port = target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as opened:
        opened.sendall(PREFACE + frame(SETTINGS, 0, 0))
        yield opened
