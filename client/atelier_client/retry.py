"""When a failed call is made again: how often, how long after, and how many in all.

A retry helps when a server restarts or has no room for a moment, and harms when it has no room for longer: then retries
are the load that keeps it down. So they are bounded three ways: by the request's deadline, by a number of attempts, and
by a budget that all requests of a client share and that only successes refill (the token bucket of gRPC's retry
throttling, https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs).
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

from atelier_client.errors import Overloaded, ServerError, SettingsError


@dataclass(frozen=True)
class Retry:
    """Attempts a request, and the pause before the n-th retry: random up to `first * 2**(n-1)`, at most `most` seconds.

    Random from nothing to the whole ("full jitter"), so that clients that failed together do not come back together.
    `budget` retries may be made at once; each success allows `refill` more. `attempts=1` is no retry.
    """

    attempts: int = 5
    first: float = 0.05
    most: float = 1.0
    budget: float = 100.0
    refill: float = 0.2

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first < 0 or self.most < 0 or self.budget < 0 or self.refill < 0:
            raise SettingsError(f"{self}: attempts must be 1 or more, the other values 0 or more.")

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return random.uniform(0.0, min(self.most, self.first * 2.0 ** (failures - 1)))


class Budget:
    """The retries a client may still make; thread-safe."""

    def __init__(self, retry: Retry) -> None:
        self._most = retry.budget
        self._refill = retry.refill
        self._left = retry.budget
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A request succeeded."""
        if self._left < self._most:
            with self._lock:
                self._left = min(self._most, self._left + self._refill)

    def spend(self) -> bool:
        """Take one retry; False when none is left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


def retryable(error: ServerError) -> bool:
    """UNAVAILABLE, and RESOURCE_EXHAUSTED when it is not a message above a limit, which stays too large."""
    return error.code == "UNAVAILABLE" or isinstance(error, Overloaded)
