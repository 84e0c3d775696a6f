"""Replicas behind round robin: when does a request that comes at random get its answer?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy


@dataclass(frozen=True)
class Server:
    """One replica, which answers what waits in one run: seconds of a run of n rows are `fixed + n * each`.

    `most` is the largest number of rows of a run; 1 is a server that joins nothing.
    """

    fixed: float
    each: float
    most: int = 64

    def seconds(self, rows: int) -> float:
        """Of one run."""
        return self.fixed + rows * self.each

    @property
    def capacity(self) -> float:
        """Rows a second when there is always more to do."""
        return self.most / self.seconds(self.most)

    @classmethod
    def measured(cls, alone: float, rate: float, most: int = 64) -> Server:
        """From two measurements: seconds of an answer with one request at a time, and answers a second with `most`."""
        each = max((most / rate - alone) / (most - 1), 0.0)
        return cls(alone - each, each, most)


class Replica:
    """One server in the simulation, with the times at which its waiting requests came."""

    def __init__(self, world: simpy.Environment, server: Server, answered: Callable[[float], None]) -> None:
        self._world, self._server, self._answered = world, server, answered
        self._came: deque[float] = deque()
        self._more = world.event()
        self.in_work = 0
        world.process(self._work())

    @property
    def waiting(self) -> int:
        """Requests that have come and are not in a run."""
        return len(self._came)

    def take(self) -> None:
        """A request comes."""
        self._came.append(self._world.now)
        if not self._more.triggered:
            self._more.succeed()

    def _work(self) -> Generator[Any, Any, None]:
        while True:
            if not self._came:
                self._more = self._world.event()
                yield self._more
            burst = [self._came.popleft() for _ in range(min(len(self._came), self._server.most))]
            self.in_work = len(burst)
            yield self._world.timeout(self._server.seconds(len(burst)))
            self.in_work = 0
            for came in burst:
                self._answered(self._world.now - came)


def latencies(rate: float, seconds: float, replicas: int, server: Server, seed: int) -> np.ndarray:
    """Seconds until the answer, float64 [requests], of requests that come at random, `rate` a second (Poisson)."""
    world = simpy.Environment()
    answered: list[float] = []
    group = [Replica(world, server, answered.append) for _ in range(replicas)]
    gaps = np.random.default_rng(seed).exponential(1 / rate, round(rate * seconds))

    def arrivals() -> Generator[Any, Any, None]:
        for number, gap in enumerate(gaps):
            yield world.timeout(gap)
            group[number % replicas].take()

    world.process(arrivals())
    world.run()
    return np.array(answered)
