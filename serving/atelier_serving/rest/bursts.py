"""Bursts: small requests that have arrived together. Those that may be joined run as one session call.

The event loop collects them. One thread of the pool at a time reads those that wait, runs them and writes their
answers: so a burst costs one change of threads, not one for each request.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Hashable

from atelier_serving.inference.exchange import exchange_of
from atelier_serving.inference.joining import HeldServables, JoinedRuns, Result
from atelier_serving.monitoring.request_recorder import RequestRecorder
from atelier_serving.request_context import begin
from atelier_serving.rest.answer import Answer
from atelier_serving.rest.http_api import HttpApi, JoinedRequest
from atelier_serving.rest.http_caller import HttpCaller
from atelier_serving.rest.request import Request
from atelier_serving.thread_pool import ThreadPool

# As many requests are read at once.
_BURST = 64
# A larger body runs in a thread of the pool, by itself (docs/decisions.md has the measurement).
SMALL = 32 * 1024


class SmallRequest(JoinedRequest):
    """A request of a burst."""

    __slots__ = ("answered", "api", "arrived", "caller")

    def __init__(
        self, api: HttpApi, request: Request, caller: HttpCaller, answered: asyncio.Future[Answer]
    ) -> None:
        """`answered` gets the answer."""
        self.api = api
        self.request = request
        self.caller = caller
        self.answered = answered
        self.arrived = time.perf_counter()


class Bursts:
    """Answers small requests of any `HttpApi` that takes them."""

    def __init__(self, recorder: RequestRecorder, pool: ThreadPool) -> None:
        self._recorder = recorder
        self._pool = pool
        self._runs = JoinedRuns()
        self._waiting: deque[SmallRequest] = deque()
        self._lock = threading.Lock()
        # Whether a thread takes those that wait.
        self._taken = False

    def takes(self, api: HttpApi, request: Request) -> bool:
        """Whether a request is small, and may be run with others."""
        return len(request.body) <= SMALL and api.takes(request)

    async def answer(self, api: HttpApi, request: Request, caller: HttpCaller) -> Answer:
        """Answer a request that this `takes`."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(SmallRequest(api, request, caller, answered))
        with self._lock:
            start = not self._taken
            self._taken = True
        if start:
            self._pool.submit(self._work)
        return await answered

    def _work(self) -> None:
        with self._lock:
            burst = [self._waiting.popleft() for _ in range(min(_BURST, len(self._waiting)))]
        try:
            self._answer(burst)
        finally:
            with self._lock:
                self._taken = bool(self._waiting)
                more = self._taken
            if more:
                # Other requests have their turn at the threads, too.
                self._pool.submit(self._work)

    def _answer(self, burst: list[SmallRequest]) -> None:
        """Answer a burst, those of its requests that take long in threads of their own."""
        held = HeldServables()
        try:
            groups = self._read(burst, held)
            short: list[list[SmallRequest]] = []
            for key, group in groups.items():
                if key is None or self._runs.take_long([*short, group]):
                    for some in [group] if key else [[member] for member in group]:
                        held.hold()
                        self._pool.submit(self._run, some, held)
                else:
                    short.append(group)
            for group in short:
                self._run(group, None)
        finally:
            held.release()

    def _read(
        self, burst: list[SmallRequest], held: HeldServables
    ) -> dict[Hashable | None, list[SmallRequest]]:
        """Groups that may be joined, by their keys, with None for those that run alone. Answers those that fail."""
        groups: dict[Hashable | None, list[SmallRequest]] = {}
        now = time.perf_counter()
        for member in burst:
            member.context = context = begin(member.api.method(member.request), None, now - member.arrived)
            self._recorder.begin(context)
            try:
                member.task, member.form = member.api.joinable(member.request, context, held)
                key = self._runs.key(member.task)
            except Exception as error:
                member.form = None
                self._end([member], [error])
                continue
            # Those of a group are answered and recorded together, so they have one API.
            groups.setdefault(key and (id(member.api), key), []).append(member)
        return groups

    def _run(self, group: list[SmallRequest], held: HeldServables | None) -> None:
        """Run a group, and answer its requests. Releases what is `held`, if given, after the run."""
        try:
            found = self._runs.run(group)
        finally:
            if held:
                held.release()
        self._end(group, found)

    def _end(self, group: list[SmallRequest], found: list[Result]) -> None:
        """Write and record the answers of a group, and then give them to the event loop."""
        answers = group[0].api.answers(group, found)
        for member, result in zip(group, found, strict=True):
            if member.context.keep and not isinstance(result, Exception):
                # A member's rows are a part of the arrays of all members.
                own = {alias: array.copy() for alias, array in result.items()}
                member.context.keep(exchange_of(member.context, member.task, own))
        # Who has an answer finds it in the metrics.
        good = [(member.context, member.caller) for member in group if member.context.code == "OK"]
        if good:
            self._recorder.rest(good)
        for member in group:
            if member.context.code != "OK":
                self._recorder.rest([(member.context, member.caller)])
        group[0].answered.get_loop().call_soon_threadsafe(_give, list(zip(group, answers, strict=True)))


def _give(answers: list[tuple[SmallRequest, Answer]]) -> None:
    for member, answer in answers:
        if not member.answered.done():
            member.answered.set_result(answer)
