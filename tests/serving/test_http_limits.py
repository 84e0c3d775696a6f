"""The limits of HTTP: slow and endless headers, slow and huge bodies, too many connections."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.support.http import connect, get
from tests.support.peer import Peer


def test_a_slow_body_is_refused_in_time_and_a_slow_header_closed(small_peer: Peer) -> None:
    with connect(small_peer.server) as slow, connect(small_peer.server) as slower:
        started = time.monotonic()
        slow.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        slower.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 5
        closed = False
        for _ in range(30):
            time.sleep(0.5)
            try:
                slower.sendall(b"a")
            except OSError:
                closed = True
                break
        assert closed
        assert time.monotonic() - started < 14


def test_endless_headers_and_huge_bodies_are_cut_off(small_peer: Peer) -> None:
    with connect(small_peer.server) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\n")
        sent = 0
        try:
            for _ in range(400):
                endless.sendall(b"X: " + b"a" * 4000 + b"\r\n")
                sent += 4000
                time.sleep(0.001)
        except OSError:
            pass
        assert sent < 1_000_000
    memory = small_peer.server.resident()
    with connect(small_peer.server) as huge:
        huge.sendall(
            b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
        )
        huge.settimeout(20)
        sent = 0
        try:
            while sent < 1.5 * 2**30:
                sent += huge.send(b" " * 2**20)
        except OSError:
            pass
    # The body is refused at a gigabyte (or at its time), and what was held of it is given back.
    assert sent < 1.5 * 2**30
    deadline = time.monotonic() + 10
    while small_peer.server.resident() > memory + 3e8 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert small_peer.server.resident() < memory + 3e8
    assert small_peer.scale()[0] in (1.0, 7.0)


@pytest.mark.parametrize(
    "endless",
    [b"X: " + b"a" * 4000 + b"\r\n", b"X: " + b"a" * 4000, b"X:\r\n" * 800],
    ids=["fields", "one", "short"],
)
def test_an_end_of_a_chunked_body_that_does_not_end_is_cut_off(small_peer: Peer, endless: bytes) -> None:
    with connect(small_peer.server) as connection:
        connection.sendall(
            b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
        )
        sent = 0
        try:
            for _ in range(400):
                connection.sendall(endless)
                sent += len(endless)
                time.sleep(0.001)
        except OSError:
            pass
        assert sent < 1_000_000


def test_chunks_of_one_byte_are_read(small_peer: Peer) -> None:
    body = b'{"instances": [%s1]}' % (b" " * 100_000)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with connect(small_peer.server) as connection:
        head = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + chunks + b"0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_client_that_does_not_take_its_answer_is_cut_off(small_peer: Peer) -> None:
    body = b'{"instances": [%s1]}' % (b"1," * 8_000_000)
    resting = small_peer.server.resident()
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(small_peer.server)) for _ in range(3)]
        for connection in held:
            connection.settimeout(60)
            connection.sendall(
                b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            connection.sendall(body)
        # Nothing is read, and the connections are held: the server ends them, and has its memory back.
        deadline = time.monotonic() + 60
        for connection in held:
            assert connection.recv(12) == b"HTTP/1.1 200"
        while small_peer.server.resident() - resting > 64 * 2**20:
            assert time.monotonic() < deadline, (small_peer.server.resident() - resting) / 2**20
            time.sleep(0.1)
    assert small_peer.scale()[0] in (1.0, 7.0)


def test_more_connections_than_allowed_are_turned_away_and_requests_go_on(small_peer: Peer) -> None:
    held = [connect(small_peer.server) for _ in range(1000)]
    try:
        with connect(small_peer.server) as late:
            late.sendall(b"GET /v1/models/toy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert late.recv(1000).startswith(b"HTTP/1.1 503")
        # A probe is answered nevertheless.
        assert get(small_peer.server, "/healthz")[0] == get(small_peer.server, "/readyz")[0] == 200
        assert small_peer.scale()[0] in (1.0, 7.0)
    finally:
        for connection in held:
            connection.close()
    small_peer.wait(lambda: get(small_peer.server, "/healthz")[0] == 200)
