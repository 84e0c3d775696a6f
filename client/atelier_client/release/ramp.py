"""Moves requests to the candidate step by step, watches how it answers them, and says when it has to go."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from atelier_client.client import Client
from atelier_client.errors import NotReachable, ServerError, SettingsError
from atelier_client.gate.rule import Rule
from atelier_client.release.served_versions import CANARY, STABLE
from atelier_client.release.traffic_file import TrafficFile
from atelier_client.routing.router import Router
from atelier_client.routing.statistics import LabelStatistics

REQUESTS_A_SECOND = 50.0
# Of fewer answers the 99th percentile is their slowest one.
_ANSWERS_FOR_P99 = 100
# A candidate that fails so many of its requests has to go, unless stable fails as many.
_ERROR_SHARE = 0.01
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Steps:
    """The candidate's share of the requests in percent, step by step, and how many seconds each step lasts."""

    shares: tuple[float, ...]
    hold: float

    @classmethod
    def parse(cls, shares: str, hold: str) -> Steps:
        """From `1,10,50,100` and `30s`. Raises `SettingsError`."""
        try:
            numbers = tuple(float(part) for part in shares.split(","))
        except ValueError:
            numbers = ()
        rising = all(low < high for low, high in itertools.pairwise(numbers))
        if not numbers or not rising or not all(0 < number <= 100 for number in numbers):
            raise SettingsError(f"--ramp {shares}: expected rising percentages up to 100, as 1,10,50,100.")
        number = hold.rstrip("smh")
        unit = hold[len(number) :]
        try:
            seconds = float(number) * _UNITS[unit]
        except (ValueError, KeyError):
            seconds = -1.0
        if not 0 < seconds <= 7 * 24 * 3600:
            raise SettingsError(f"--hold {hold}: expected the time of a step, as 30s, 5m or 1h.")
        return cls(numbers, seconds)

    @property
    def seconds(self) -> float:
        """How long all steps take at least."""
        return len(self.shares) * self.hold


class Ramp:
    """A ramp of one release. `rows` are inputs of one row each, which are sent in turn, 50 a second."""

    def __init__(
        self,
        client: Client,
        traffic: TrafficFile,
        steps: Steps,
        rows: Sequence[dict[str, NDArray[Any]]],
        latency: Rule,
        say: Callable[[str], None],
    ) -> None:
        self._client = client
        self._traffic = traffic
        self._steps = steps
        self._rows = itertools.cycle(rows)
        self._latency = latency
        self._say = say

    def __call__(self, candidate: int, stable: int, check: Callable[[], None]) -> str | None:
        """Take the steps; return None, or the sentence with which the candidate has to go."""
        steps = self._steps
        self._say(
            f"The ramp takes {steps.seconds:g} s at least: {len(steps.shares)} steps of {steps.hold:g} s."
        )
        with Router(self._client, weights={STABLE: 1}, seed=0) as router:
            for share in self._steps.shares:
                weights = {STABLE: 100 - share, CANARY: share}
                self._traffic.set(self._client.model, weights)
                router.weights = weights
                self._say(f"Ramp: {share:g} % to version {candidate} for {self._steps.hold:g} s.")
                if wrong := self._hold(router, candidate, check):
                    return f"Version {candidate} is rolled back at {share:g} % of the requests: {wrong}"
            statistics = router.statistics()
        self._say(
            f"Ramp: {self._words(statistics.get(CANARY), candidate)}, {self._words(statistics.get(STABLE), stable)}."
        )
        return None

    def _hold(self, router: Router, candidate: int, check: Callable[[], None]) -> str | None:
        begin = time.monotonic()
        looked = begin
        due = begin
        while (now := time.monotonic()) - begin < self._steps.hold:
            try:
                router.predict(next(self._rows))
            except NotReachable:
                # The server is gone, after all retries: that tells nothing about the candidate.
                raise
            except ServerError:
                # It is in the statistics, for the label that it was sent to.
                pass
            if now - looked > 1 or now - begin > self._steps.hold - 1 / REQUESTS_A_SECOND:
                looked = now
                check()
                if wrong := self._wrong(router.statistics(), candidate):
                    return wrong
            # Requests that took longer than their turn are not made up for.
            due = max(due + 1 / REQUESTS_A_SECOND, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
        check()
        return self._wrong(router.statistics(), candidate)

    def _wrong(self, statistics: dict[str, LabelStatistics], candidate: int) -> str | None:
        """What is wrong with the candidate's answers, None when nothing is."""
        canary = statistics.get(CANARY)
        if canary is None or not canary.requests:
            return None
        stable = statistics.get(STABLE)
        failed = canary.errors + canary.missing
        share = failed / canary.requests
        stable_share = (
            (stable.errors + stable.missing) / stable.requests if stable and stable.requests else 0.0
        )
        if share > max(_ERROR_SHARE, stable_share):
            return f"{failed} of its {canary.requests} requests failed (stable: {100 * stable_share:.1f} %)."
        mine = _p99(canary)
        if mine is None or self._latency.observe:
            return None
        theirs = _p99(stable) if stable else None
        bound = _bound(self._latency, theirs)
        if bound is not None and mine > bound:
            beside = f", stable has {theirs:.1f} ms" if theirs is not None else ""
            return f"its 99th percentile is {mine:.1f} ms, allowed are {bound:.1f} ms{beside}."
        return None

    def _words(self, statistics: LabelStatistics | None, version: int) -> str:
        if statistics is None:
            return f"version {version} had no requests"
        failed = statistics.errors + statistics.missing
        slowest = _p99(statistics)
        time_words = f", p99 {slowest:.1f} ms" if slowest is not None else ""
        return f"version {version} had {statistics.requests} requests, {failed} failed{time_words}"


def _p99(statistics: LabelStatistics) -> float | None:
    """The 99th percentile of a label's answers in milliseconds, None for too few."""
    slowest = [one.p99_ms for one in statistics.versions.values() if one.answers >= _ANSWERS_FOR_P99]
    return max(slowest, default=None)


def _bound(rule: Rule, stable: float | None) -> float | None:
    """The largest latency that the gate's rule allows, in milliseconds."""
    bounds = []
    if rule.value and rule.value.upper_bound is not None:
        bounds.append(rule.value.upper_bound)
    if rule.change and stable is not None:
        if rule.change.absolute is not None:
            bounds.append(stable + rule.change.absolute)
        elif rule.change.relative is not None:
            bounds.append(stable * (1 + rule.change.relative))
    return min(bounds, default=None)
