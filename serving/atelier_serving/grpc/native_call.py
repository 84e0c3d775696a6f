"""A call of the native front."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from atelier_serving.grpc.method import Method


class NativeCall:
    """A call: its id in the front, its method, and its client."""

    __slots__ = ("_headers", "_kept", "_peer", "active", "deadline", "id", "message", "method", "payload")

    def __init__(self, number: int, method: Method, payload: bytes, details: Any) -> None:
        """`details` are the front's: metadata, peer, and the seconds that are left or None."""
        self.id = number
        self.method = method
        self.payload = payload
        self.message: Any = None
        self.active = True
        self._headers, self._peer, seconds = details
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self._kept: list[object] = []

    def is_active(self) -> bool:
        """Whether its client still waits."""
        return self.active

    def peer(self) -> str:
        """The address of its client."""
        return str(self._peer)

    def headers(self) -> Iterable[tuple[str | bytes, str | bytes]]:
        """Names and values of its metadata."""
        return self._headers  # type: ignore[no-any-return]

    def keep(self, reservation: object) -> None:
        """Keep it until the answer is with the front, which `Connections` watches from there on."""
        self._kept.append(reservation)
