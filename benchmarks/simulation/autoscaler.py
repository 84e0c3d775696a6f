"""An autoscaler that adds replicas by the requests waiting, as Kubernetes' does with a metric of this kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from benchmarks.simulation.replicas import Replica, Server


@dataclass(frozen=True)
class Policy:
    """What the autoscaler is told; the seconds are Kubernetes' defaults but for `start`.

    Every `period` it wants ceil(replicas * waiting per replica / target) of them, and changes nothing within a tenth of
    the target (kubernetes.io, "Horizontal Pod Autoscaling", algorithm details). It takes replicas away only when
    nothing higher was wanted for `calm` seconds, one each `apart` seconds at most (0: all at once, the default). A new
    replica answers after `start` seconds.
    """

    target: float
    least: int = 1
    most: int = 10
    period: float = 15.0
    calm: float = 300.0
    apart: float = 0.0
    start: float = 10.0
    tolerance: float = 0.1


@dataclass
class Outcome:
    """What came of it: seconds until each answer with the time it came, and replicas and waiting requests in time."""

    answers: list[tuple[float, float]] = field(default_factory=list)
    replicas: list[tuple[float, int]] = field(default_factory=list)
    waiting: list[tuple[float, int]] = field(default_factory=list)

    def p99(self, first: float, end: float) -> float:
        """The 99th percentile, in seconds, of the answers given between two times."""
        chosen = [took for when, took in self.answers if first <= when < end]
        return float(np.percentile(chosen, 99)) if chosen else math.nan


class Autoscaler:
    """The replicas that there are, and those that will be."""

    def __init__(self, world: simpy.Environment, server: Server, policy: Policy) -> None:
        self._world, self._server, self._policy = world, server, policy
        self.outcome = Outcome()
        self._group = [self._replica() for _ in range(policy.least)]
        self._starting = 0
        self._wanted: list[tuple[float, int]] = []
        self._next = 0
        self._last = 0.0
        world.process(self._watch())

    def take(self) -> None:
        """A request comes, and goes to the replica whose turn it is."""
        self._next = (self._next + 1) % len(self._group)
        self._group[self._next].take()

    def _replica(self) -> Replica:
        answers = self.outcome.answers
        return Replica(self._world, self._server, lambda took: answers.append((self._world.now, took)))

    def _watch(self) -> Generator[Any, Any, None]:
        while True:
            yield self._world.timeout(self._policy.period)
            waiting = sum(replica.waiting + replica.in_work for replica in self._group)
            now, there = self._world.now, len(self._group) + self._starting
            self.outcome.waiting.append((now, waiting))
            self.outcome.replicas.append((now, len(self._group)))
            ratio = waiting / there / self._policy.target
            wanted = there if abs(ratio - 1) <= self._policy.tolerance else math.ceil(there * ratio)
            wanted = min(max(wanted, self._policy.least), self._policy.most)
            self._wanted = [(when, number) for when, number in self._wanted if when > now - self._policy.calm]
            self._wanted.append((now, wanted))
            if wanted > there:
                self._starting += wanted - there
                self._world.process(self._start(wanted - there))
            else:
                self._take_away(max(number for _, number in self._wanted))

    def _take_away(self, wanted: int) -> None:
        """A replica that is taken away answers what it has: it only gets nothing new."""
        if self._policy.apart:
            if self._world.now < self._last + self._policy.apart:
                return
            wanted = max(wanted, len(self._group) - 1)
        if wanted < len(self._group):
            self._last = self._world.now
            del self._group[wanted:]

    def _start(self, number: int) -> Generator[Any, Any, None]:
        yield self._world.timeout(self._policy.start)
        self._starting -= number
        self._group += [self._replica() for _ in range(number)]


def run(rate: Callable[[float], float], seconds: float, server: Server, policy: Policy, seed: int) -> Outcome:
    """Requests at random, `rate(time)` a second, which must be above 0."""
    world = simpy.Environment()
    scaler = Autoscaler(world, server, policy)
    dice = np.random.default_rng(seed)

    def arrivals() -> Generator[Any, Any, None]:
        while world.now < seconds:
            yield world.timeout(dice.exponential(1 / rate(world.now)))
            scaler.take()

    world.process(arrivals())
    world.run(until=seconds)
    return scaler.outcome
