"""Sends requests to the replicas: which one gets a request, when it is sent again, and when to give up.

Like the core, it does no input or output: it yields steps (_routine.py) that a shell carries out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atelier_client._routine import Call, Pause, Routine
from atelier_client._targets import Replicas
from atelier_client.errors import NotReachable, ServerError, never_sent
from atelier_client.messages.requests import Request
from atelier_client.retry import Retry, RetryBudget, retryable
from atelier_client.transports.base import Method

# Called with the serialized request, the response, the number of the replica and the seconds.
Keep = Callable[[bytes, Any, int, float], None]


class RequestSender:
    """The replicas and the retry budget of a client. `timeout` (seconds) bounds a request with all its retries."""

    def __init__(self, replicas: int, timeout: float, retry: Retry, clock: Callable[[], float]) -> None:
        self._timeout = timeout
        self._retry = retry
        self._clock = clock
        self._replicas = Replicas(replicas, clock)
        self._budget = RetryBudget(retry)

    def send(
        self, method: Method, request: Request, traceparent: str | None = None, keep: Keep | None = None
    ) -> Routine[tuple[Any, float]]:
        """One response, from any replica, within the timeout, and the seconds it took. Retries what failed.

        `keep` is called with the request and its answer.
        """
        message = request()
        started = self._clock()
        deadline = started + self._timeout
        tried: set[int] = set()
        failures = 0
        attempts = 0
        left = self._timeout
        while True:
            replica = self._replicas.pick(tried)
            attempts += 1
            try:
                response = yield Call(replica, method, message, left, traceparent)
            except ServerError as error:
                error.attempts = attempts
                if not retryable(error):
                    raise
                left = deadline - self._clock()
                if isinstance(error, NotReachable):
                    self._replicas.rest(replica)
                    tried.add(replica)
                    # The other replicas may work although this one is dead: ask the next one without a pause.
                    if len(tried) < self._replicas.count and left > 0:
                        continue
                tried.clear()
                failures += 1
                pause = self._retry.pause(failures)
                if failures >= self._retry.attempts or pause >= left or not self._budget.spend():
                    raise
                yield Pause(pause)
                left = deadline - self._clock()
            else:
                self._budget.earn()
                seconds = self._clock() - started
                if keep is not None:
                    keep(message, response, replica, seconds)
                return response, seconds

    def send_once(self, method: Method, replica: int, request: bytes) -> Routine[None]:
        """Send a request to one replica, at most once. Only a failed connection is tried again: nothing was sent."""
        deadline = self._clock() + self._timeout
        failures = 0
        left = self._timeout
        while True:
            try:
                yield Call(replica, method, request, left)
                return
            except ServerError as error:
                failures += 1
                error.attempts = failures
                pause = self._retry.pause(failures)
                left = deadline - self._clock() - pause
                if not never_sent(error) or failures >= self._retry.attempts or left <= 0:
                    raise
            yield Pause(pause)
