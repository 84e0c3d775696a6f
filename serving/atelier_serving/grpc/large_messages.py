"""Limits the bytes of large messages that are handled at the same time.

A message of n bytes may be in memory eight times: in grpcio's buffers, as bytes, parsed, and as a tensor; the response
may be as large, in the same four forms. So the messages together may have an eighth of the free memory.
"""

from __future__ import annotations

import threading
from typing import Any

# Smaller messages are limited only in their number.
LARGE = 1 << 20


class LargeMessages:
    """Counts the bytes of large messages. Thread-safe."""

    def __init__(self) -> None:
        self._budget = 0
        self._reserved = 0
        self._lock = threading.Lock()

    def start(self, free: int) -> None:
        """Set the limit: an eighth of the `free` bytes."""
        self._budget = free // 8

    def reserve(self, size: int) -> Reservation | str:
        """Count a message as long as the returned object lives. Without room for it, return the reason as a text."""
        with self._lock:
            if self._reserved + size > self._budget:
                return (
                    f"A message of {size} bytes has come while others of {self._reserved} are being answered; "
                    f"together they may have {self._budget}, an eighth of the memory that was free at the start."
                )
            self._reserved += size
        return Reservation(self, size)

    def release(self, size: int) -> None:
        """Stop counting a message of `size` bytes."""
        with self._lock:
            self._reserved -= size


class Reservation:
    """A message that counts until this object dies, because a call may end anywhere, also before it has started."""

    __slots__ = ("_counted", "_size", "message")

    def __init__(self, counted: LargeMessages, size: int) -> None:
        self._counted = counted
        self._size = size
        self.message: Any = None

    def __del__(self) -> None:
        self._counted.release(self._size)
