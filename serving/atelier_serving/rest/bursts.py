"""Bursts: small predict requests that have arrived together. Those that may be joined run as one session call.

The event loop collects them. One thread of the pool at a time reads those that wait, runs them and writes their
answers: so a burst costs one change of threads, not one for each request.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Hashable
from functools import partial

from atelier_serving.inference.joining import HeldServables, JoinedRuns, Member, Result
from atelier_serving.monitoring.request_recorder import RequestRecorder
from atelier_serving.request_context import begin
from atelier_serving.rest.answer import Answer
from atelier_serving.rest.api import RestApi
from atelier_serving.rest.http_caller import HttpCaller
from atelier_serving.rest.predict import exchange_of, joined_texts, predict_text
from atelier_serving.rest.request import Request
from atelier_serving.thread_pool import ThreadPool

# As many requests are read at once.
_BURST = 64
# A larger body runs in a thread of the pool, by itself (docs/decisions.md has the measurement).
SMALL = 32 * 1024


class SmallPredict(Member):
    """A request of a burst."""

    __slots__ = ("answered", "arrived", "as_rows", "caller", "request")

    def __init__(self, request: Request, caller: HttpCaller, answered: asyncio.Future[Answer]) -> None:
        """`answered` gets the answer."""
        self.request = request
        self.caller = caller
        self.answered = answered
        self.arrived = time.perf_counter()
        self.as_rows = False


class Bursts:
    """Answers small predict requests."""

    def __init__(self, api: RestApi, recorder: RequestRecorder, pool: ThreadPool) -> None:
        self._api = api
        self._recorder = recorder
        self._pool = pool
        self._runs = JoinedRuns()
        self._waiting: deque[SmallPredict] = deque()
        self._lock = threading.Lock()
        # Whether a thread takes those that wait.
        self._taken = False

    def takes(self, request: Request) -> bool:
        """Whether a request is a small predict request."""
        return request.method == "POST" and request.path.endswith(":predict") and len(request.body) <= SMALL

    async def answer(self, request: Request, caller: HttpCaller) -> Answer:
        """Answer a request that this `takes`."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(SmallPredict(request, caller, answered))
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

    def _answer(self, burst: list[SmallPredict]) -> None:
        """Answer a burst, those of its requests that take long in threads of their own."""
        held = HeldServables()
        try:
            groups = self._read(burst, held)
            short: list[list[SmallPredict]] = []
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
        self, burst: list[SmallPredict], held: HeldServables
    ) -> dict[Hashable | None, list[SmallPredict]]:
        """Groups that may be joined, by their keys, with None for those that run alone. Answers those that fail."""
        groups: dict[Hashable | None, list[SmallPredict]] = {}
        failed: dict[SmallPredict, Result] = {}
        now = time.perf_counter()
        for member in burst:
            member.context = context = begin("predict", None, now - member.arrived)
            self._recorder.begin(context)
            try:
                member.task, member.as_rows = self._api.joinable(member.request, context, held)
                groups.setdefault(self._runs.key(member.task), []).append(member)
            except Exception as error:
                failed[member] = error
        if failed:
            self._end(list(failed), list(failed.values()))
        return groups

    def _run(self, group: list[SmallPredict], held: HeldServables | None) -> None:
        """Run a group, and answer its requests. Releases what is `held`, if given, after the run."""
        try:
            found = self._runs.run(group)
        finally:
            if held:
                held.release()
        self._end(group, found)

    def _end(self, group: list[SmallPredict], found: list[Result]) -> None:
        """Write and record the answers of a group, and then give them to the event loop."""
        texts = joined_texts(found) if all(member.as_rows for member in group) else None
        answers: list[tuple[SmallPredict, Answer]] = []
        for position, (member, result) in enumerate(zip(group, found, strict=True)):
            text = (
                partial(iter, texts[position : position + 1])
                if texts
                else partial(predict_text, member.request, result, member.as_rows)
            )
            answers.append((member, self._api.answer(member.request, member.context, text)))
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
        answers[0][0].answered.get_loop().call_soon_threadsafe(_give, answers)


def _give(answers: list[tuple[SmallPredict, Answer]]) -> None:
    for member, answer in answers:
        if not member.answered.done():
            member.answered.set_result(answer)
