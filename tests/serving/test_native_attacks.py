"""The native front under what attacks send: others are answered, and the memory stays within its bounds."""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.support import http2
from tests.support.peer import ONCE, Peer
from tests.support.server import RunningServer, running_server

PREDICT = "/tensorflow.serving.PredictionService/Predict"
MB = 2**20
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[RunningServer]:
    with running_server(models, *ONCE, "--grpc_front=native", model="toy") as running:
        yield running


@pytest.fixture
def peer(server: RunningServer, models: Path) -> Iterator[Peer]:
    """Somebody else, who is answered before and after."""
    opened = Peer(server, models, "toy")
    assert opened.scale() == (1.0, 1)
    yield opened
    assert opened.scale() == (1.0, 1)
    opened.channel.close()
    assert server.process.poll() is None


def answered_within(peer: Peer, seconds: float) -> None:
    began = time.monotonic()
    assert peer.scale(timeout=20) == (1.0, 1)
    assert time.monotonic() - began < seconds


def test_a_message_of_4_gigabytes_that_is_only_announced_takes_no_memory(
    server: RunningServer, peer: Peer
) -> None:
    before = server.resident()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            opened = stack.enter_context(http2.connection(server.grpc))
            for stream in range(1, 40, 2):
                opened.sendall(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, http2.headers(PREDICT)))
                opened.sendall(http2.frame(http2.DATA, 0, stream, http2.prefix(2**32 - 1) + b"x"))
        time.sleep(1)
        answered_within(peer, 5)
        assert server.resident() < before + 64 * MB


def test_streams_that_are_opened_and_reset_hold_up_nobody(server: RunningServer, peer: Peer) -> None:
    """CVE-2023-44487. The server ends such a connection (GOAWAY), which is what the writer then sees."""
    before = server.resident()
    block = http2.headers(PREDICT)
    with http2.connection(server.grpc) as opened, contextlib.suppress(OSError):
        for start in range(1, 40_000, 400):
            opened.sendall(
                b"".join(
                    http2.frame(http2.HEADERS, http2.END_HEADERS, stream, block)
                    + http2.frame(http2.RST_STREAM, 0, stream, http2.CANCEL)
                    for stream in range(start, start + 400, 2)
                )
            )
            if not start % 4000 - 1:
                answered_within(peer, 5)
    assert server.resident() < before + 64 * MB


def test_thousands_of_open_streams_are_cheap(server: RunningServer, peer: Peer) -> None:
    before = server.resident()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            opened = stack.enter_context(http2.connection(server.grpc))
            opened.sendall(
                b"".join(
                    http2.frame(http2.HEADERS, http2.END_HEADERS, stream, http2.headers(PREDICT))
                    for stream in range(1, 1000, 2)
                )
            )
        time.sleep(1)
        answered_within(peer, 5)
        assert server.resident() < before + 200 * MB


OPENED = http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.headers(PREDICT))
BEGUN = http2.frame(http2.HEADERS, 0, 1, http2.headers(PREDICT))


@pytest.mark.parametrize(
    ("first", "repeated"),
    [
        (b"", http2.frame(http2.PING, 0, 0, b"12345678")),
        (b"", http2.frame(http2.SETTINGS, 0, 0)),
        (b"", http2.frame(http2.SETTINGS, 0, 0, struct.pack("!HI", 4, 65535))),
        (b"", http2.frame(http2.PRIORITY, 0, 1, struct.pack("!IB", 3, 1))),
        (b"", http2.frame(http2.GOAWAY, 0, 0, bytes(8))),
        (b"", http2.frame(0xEE, 0, 0, bytes(1000))),
        # CVE-2024-27316: headers that never end.
        (BEGUN, http2.frame(http2.CONTINUATION, 0, 1, http2.field("x", "y" * 100))),
        (BEGUN, http2.frame(http2.CONTINUATION, 0, 1)),
        (OPENED, http2.frame(http2.DATA, 0, 1)),
        (OPENED, http2.frame(http2.DATA, 8, 1, b"\xff" + bytes(255))),
        (OPENED, http2.frame(http2.WINDOW_UPDATE, 0, 1, struct.pack("!I", 1))),
        # The answer is never taken: its window is closed.
        (http2.frame(http2.SETTINGS, 0, 0, struct.pack("!HI", 4, 0)) + OPENED, http2.frame(http2.PING, 0, 0, bytes(8))),
    ],
)  # fmt: skip
def test_frames_without_end_hold_up_nobody_and_take_no_memory(
    server: RunningServer, peer: Peer, first: bytes, repeated: bytes
) -> None:
    """The front ends such a connection, or reads no more of it, or passes the frames over."""
    before = server.resident()
    many = repeated * (2**18 // len(repeated))
    with http2.connection(server.grpc) as opened, contextlib.suppress(OSError):
        opened.settimeout(1)
        opened.sendall(first)
        # At most 64 MB, or a second in which nothing is read.
        for _ in range(256):
            opened.sendall(many)
        answered_within(peer, 10)
    answered_within(peer, 10)
    assert server.resident() < before + 32 * MB


def test_headers_that_unpack_to_much_are_refused(server: RunningServer, peer: Peer) -> None:
    """HPACK: one field of 3 kB in the table, then ten thousand references to it in each call (30 MB of headers)."""
    before = server.resident()
    value = b"v" * 3000
    length = bytes([127, 0x80 + (3000 - 127) % 128, (3000 - 127) // 128])
    indexed = b"\x40" + b"\x01x" + length + value
    with http2.connection(server.grpc) as opened, contextlib.suppress(OSError):
        for stream in range(1, 400, 2):
            block = http2.headers(PREDICT) + (indexed if stream == 1 else b"\xbe" * 10_000)
            opened.sendall(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, block))
        answered_within(peer, 5)
    assert server.resident() < before + 32 * MB


def test_what_is_no_http2_is_closed(server: RunningServer, peer: Peer) -> None:
    host, _, port = server.grpc.rpartition(":")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", secrets.token_bytes(10_000), http2.PREFACE + b"\xff" * 10_000):
        with socket.create_connection((host, int(port)), timeout=20) as opened, contextlib.suppress(OSError):
            opened.sendall(garbage)
            while opened.recv(65536):
                pass
        answered_within(peer, 5)


@pytest.mark.parametrize("path", ["/a.B/Nothing", PREDICT + "X", "/" + "x" * 100])
def test_an_unknown_method_has_grpcs_status(server: RunningServer, path: str) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        with pytest.raises(grpc.RpcError) as refused:
            ask(b"", timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("size", [5, 100_000])
def test_bytes_that_are_no_message_have_grpcs_status(server: RunningServer, peer: Peer, size: int) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
        calls = [ask.future(b"\xff" * size, timeout=10) for _ in range(50)]
        assert {call.code() for call in calls} == {grpc.StatusCode.INTERNAL}
        assert {call.details() for call in calls} == {"Exception deserializing request!"}


def test_memory_of_a_message_that_unpacks_to_much_goes_back(server: RunningServer, peer: Peer) -> None:
    """It is unpacked whole before it is counted (docs/security.md)."""
    before = server.resident()
    with grpc.insecure_channel(server.grpc, options=UNLIMITED) as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
        for _ in range(3):
            call = ask.future(bytes(200 * MB), timeout=60, compression=grpc.Compression.Gzip)
            assert call.code() == grpc.StatusCode.INTERNAL
            answered_within(peer, 5)
    end = time.monotonic() + 10
    while server.resident() > before + 64 * MB and time.monotonic() < end:
        time.sleep(0.1)
    assert server.resident() < before + 64 * MB


def test_compressed_messages_can_be_refused(models: Path) -> None:
    """As docs/security.md says for a port that strangers reach."""
    flag = "--grpc_channel_arguments=grpc.compression_enabled_algorithms_bitset=1"
    with running_server(models, *ONCE, flag, model="toy") as server:
        assert "front: grpcio, because --grpc_" in server.log_text()
        with grpc.insecure_channel(server.grpc, options=UNLIMITED) as channel:
            ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
            call = ask.future(bytes(MB), timeout=60, compression=grpc.Compression.Gzip)
            assert call.code() == grpc.StatusCode.UNIMPLEMENTED, call.details()
            assert "is disabled" in str(call.details())
