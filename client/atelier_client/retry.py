"""Retries of failed calls: how many, after which pauses, and how many in all.

A retry helps when a server restarts or is overloaded for a moment. It harms when a server is overloaded for longer,
because retries are more load. So three limits apply: the request's deadline, a number of attempts, and a budget. All
requests of a client share the budget, and only successful requests refill it. This is the token bucket of gRPC's retry
throttling (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

from atelier_client._arguments import is_amount, is_whole
from atelier_client.errors import Overloaded, ServerError, SettingsError


@dataclass(frozen=True)
class Retry:
    """How often a request is sent (`attempts`), and how long the pauses are.

    The pause before the n-th retry is random, from 0 to `first * 2**(n-1)` seconds, but at most `most`. It is random
    over the whole range ("full jitter"), so that clients that failed at the same time do not retry at the same time.
    A client may make `budget` retries at once; each successful request adds `refill`. `attempts=1` means no retry.
    """

    attempts: int = 5
    first: float = 0.05
    most: float = 1.0
    budget: float = 100.0
    refill: float = 0.2

    def __post_init__(self) -> None:
        others = (self.first, self.most, self.budget, self.refill)
        if not is_whole(self.attempts) or self.attempts < 1 or not all(map(is_amount, others)):
            raise SettingsError(
                f"{self}: attempts must be a whole number from 1, the other values numbers, 0 or more."
            )

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return random.uniform(0.0, min(self.most, self.first * 2.0 ** (failures - 1)))


class RetryBudget:
    """How many retries the client may still make. Thread-safe."""

    def __init__(self, retry: Retry) -> None:
        self._most = retry.budget
        self._refill = retry.refill
        self._left = retry.budget
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Refill the budget, because a request succeeded."""
        if self._left < self._most:
            with self._lock:
                self._left = min(self._most, self._left + self._refill)

    def spend(self) -> bool:
        """Take one retry from the budget. False when none is left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


def retryable(error: ServerError) -> bool:
    """True for UNAVAILABLE and RESOURCE_EXHAUSTED, but not for a message above a limit: it stays too large."""
    return error.code == "UNAVAILABLE" or isinstance(error, Overloaded)
