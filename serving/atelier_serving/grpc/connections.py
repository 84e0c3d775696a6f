"""Bounds the memory that clients of the native front hold: messages half sent, and answers not taken.

The front says nothing of these. So Linux' own numbers of each connection (TCP_INFO) are compared with what the front
has given and taken: the bytes that a client has sent, without those of the messages that have come out of the front,
are still in it; so are the bytes of answers that the client has not acknowledged. When the clients hold more than a
quarter of the free memory, the connections that hold most are ended, as slow_clients.py ends calls of grpcio.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import struct
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

from atelier_serving import memory

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
_COUNT_SECONDS = 5.0
MAX_CONNECTIONS = 10_000
# The struct tcp_info of linux/tcp.h: 8 bytes and 24 numbers of 4 bytes, then numbers of 8 bytes, of which these are
# tcpi_bytes_acked and tcpi_bytes_received. Since Linux 4.1.
_TCP_INFO_BYTES = 136
_ACKED_RECEIVED = struct.Struct("=QQ")
_AT = 120
# A call sends more than its message: headers and frames. An honest client's are shorter than this.
_CALL_BYTES = 256
# What is ended first holds at least so much.
_MUCH = 1 << 20


@dataclass(slots=True)
class _Traffic:
    """Of one client: the bytes of messages that came out of the front, their number, the bytes of answers put in."""

    received: int = 0
    calls: int = 0
    answered: int = 0


@dataclass(frozen=True)
class _Connection:
    """A socket of the front: the bytes that its client makes the front hold, those it sent, those it has taken."""

    peer: str
    holds: int
    received: int
    acked: int
    duplicate: socket.socket


class Connections:
    """The connections to one port of this process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._traffic: defaultdict[str, _Traffic] = defaultdict(_Traffic)

    def start(self, free: int) -> None:
        """Start the thread that watches. Clients may hold a quarter of the `free` bytes."""
        threading.Thread(target=self._watch, args=(free // 4,), daemon=True, name="connections").start()

    def received(self, peer: str, size: int) -> None:
        """Note a message of `size` bytes. Only one thread at a time may call this."""
        traffic = self._traffic[peer]
        traffic.received += size
        traffic.calls += 1

    def answered(self, peer: str, size: int) -> None:
        """Note an answer of `size` bytes."""
        self._traffic[peer].answered += size

    def _watch(self, budget: int) -> None:
        quiet = memory.resident()
        counted = time.monotonic()
        while True:
            time.sleep(_TICK_SECONDS)
            resident = memory.resident()
            quiet = min(quiet, resident)
            if resident - quiet > budget:
                held = self._relieve(budget)
                if held <= budget:
                    # Clients do not hold it: a model was loaded, or large requests are running.
                    quiet = resident - held
            if time.monotonic() > counted + _COUNT_SECONDS:
                counted = time.monotonic()
                self._count()

    def _relieve(self, budget: int) -> int:
        """End the connections that hold most, when clients hold too much. Return the bytes that were held."""
        found = self._open()
        try:
            held = left = sum(each.holds for each in found)
            for each in sorted(found, key=lambda one: one.holds, reverse=True):
                if held <= budget or left <= budget // 2 or each.holds < _MUCH:
                    break
                self._end(each)
                left -= each.holds
        finally:
            for each in found:
                each.duplicate.close()
        if left < held:
            memory.trim()
        return held

    def _end(self, connection: _Connection) -> None:
        _log.warning(
            f"Ended the connection of {connection.peer}: it holds {connection.holds >> 20} MB in messages half sent "
            "or answers not taken, and the server is short of memory."
        )
        # The front's own descriptor is of the same socket, so it sees the end too.
        connection.duplicate.shutdown(socket.SHUT_RDWR)

    def _count(self) -> None:
        """Forget clients that are gone, and end the newest connections when there are too many."""
        found = self._open()
        try:
            for each in found[MAX_CONNECTIONS:]:
                each.duplicate.shutdown(socket.SHUT_RDWR)
            alive = {each.peer: each for each in found}
            for peer, traffic in list(self._traffic.items()):
                if peer not in alive:
                    self._traffic.pop(peer, None)
                    continue
                # Messages came out larger than they went in (gzip), answers took more bytes than their own: neither
                # is a credit for later.
                if traffic.received > alive[peer].received:
                    traffic.received = alive[peer].received
                if traffic.answered < alive[peer].acked:
                    traffic.answered = alive[peer].acked
        finally:
            for each in found:
                each.duplicate.close()

    def _open(self) -> list[_Connection]:
        """The open connections. Each has a duplicate descriptor, which the caller closes."""
        found = []
        for name in os.listdir("/proc/self/fd"):
            try:
                if not stat.S_ISSOCK(os.stat(int(name)).st_mode):
                    continue
                duplicate = socket.socket(fileno=os.dup(int(name)))
            except OSError:
                # It was closed meanwhile.
                continue
            connection = self._connection(duplicate)
            if connection is None:
                duplicate.close()
            else:
                found.append(connection)
        return found

    def _connection(self, duplicate: socket.socket) -> _Connection | None:
        """The connection of a socket; None when it is none of this port."""
        try:
            if duplicate.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            if duplicate.getsockname()[1] != self._port:
                return None
            host, port = duplicate.getpeername()[:2]
            info = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            # It listens, or its client is gone.
            return None
        peer = f"ipv6:[{host}]:{port}" if duplicate.family == socket.AF_INET6 else f"ipv4:{host}:{port}"
        acked, received = _ACKED_RECEIVED.unpack_from(info, _AT)
        traffic = self._traffic.get(peer) or _Traffic()
        half_sent = max(0, received - traffic.received - _CALL_BYTES * traffic.calls)
        not_taken = max(0, traffic.answered - acked)
        return _Connection(peer, half_sent + not_taken, received, acked, duplicate)
