"""How many bytes of large messages are being answered at a time.

From its arrival to its answer a message of n bytes is there up to eight times: in grpcio's buffers, as bytes, parsed
and as a tensor, and its answer, which may be as large, the same way back. So what is being answered may have an eighth
of the free memory.
"""

from __future__ import annotations

import threading
from typing import Any

# Smaller ones are bounded by their number.
LARGE = 1 << 20


class LargeMessages:
    """The bytes held now. Thread-safe."""

    def __init__(self) -> None:
        self._budget = 0
        self._reserved = 0
        self._lock = threading.Lock()

    def start(self, free: int) -> None:
        """Messages may have an eighth of the `free` bytes."""
        self._budget = free // 8

    def reserve(self, size: int) -> Reservation | str:
        """Count a message as long as the object given back lives; the reason when there is no room for it."""
        with self._lock:
            if self._reserved + size > self._budget:
                return (
                    f"A message of {size} bytes has come while others of {self._reserved} are being answered; "
                    f"together they may have {self._budget}, an eighth of the memory that was free at the start."
                )
            self._reserved += size
        return Reservation(self, size)

    def release(self, size: int) -> None:
        """A message is gone."""
        with self._lock:
            self._reserved -= size


class Reservation:
    """A message that counts until this object dies: a call may end anywhere, or be dropped before it is begun."""

    __slots__ = ("_counted", "_size", "message")

    def __init__(self, counted: LargeMessages, size: int) -> None:
        self._counted = counted
        self._size = size
        self.message: Any = None

    def __del__(self) -> None:
        self._counted.release(self._size)
