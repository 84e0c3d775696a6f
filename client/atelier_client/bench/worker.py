"""One process of the load generator: an event loop that sends one prepared request again and again.

Closed loop: a fixed number of requests is in flight; after each response the next request leaves. Open loop: requests
leave at the times of a Poisson process, whether or not there were responses to earlier ones. Their latency counts from
the time they were due. So a server (or a client) that falls behind shows a higher latency, and not a lower rate
("coordinated omission").
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import selectors
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier_client._targets import parse_targets
from atelier_client.async_client import make_async_transport
from atelier_client.errors import ServerError
from atelier_client.transports.base import METHODS, PREDICT, Method

# With so many unanswered requests, an open loop only counts further ones and does not send them, to save memory.
MOST_IN_FLIGHT = 10_000
# Seconds to wait after an error; otherwise a dead server would get a hundred thousand requests a second.
_PAUSE_AFTER_ERROR = 0.01
NOT_SENT = "NOT_SENT"


@dataclass(frozen=True)
class Plan:
    """What to send (a serialized request of the method with that path), how fast, how long. Times are in seconds."""

    method: str
    request: bytes
    concurrency: int
    rate: float | None
    warm_up: float
    window: float
    timeout: float


@dataclass
class Window:
    """What happened in a window: latencies of the responses in seconds, errors by kind, CPU seconds of the process.

    `due` is the number of requests that had to leave in the window. `lags` (open loop only) are the seconds by which
    they left too late.
    """

    seconds: float
    latencies: NDArray[np.float64]
    errors: Counter[str]
    cpu: float
    due: int
    lags: NDArray[np.float64]


@dataclass
class _WindowCounts:
    started: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    due: int = 0
    lags: list[float] = field(default_factory=list)

    def close(self) -> Window:
        return Window(
            time.perf_counter() - self.started,
            np.array(self.latencies),
            self.errors,
            time.process_time() - self.cpu,
            self.due,
            np.array(self.lags),
        )


def _event_loop() -> asyncio.AbstractEventLoop:
    """An event loop with exact sleeps. The default selector, epoll, counts in whole milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main(connection: Connection, target: str, settings: dict[str, Any]) -> None:
    """Carry out the plans that come through the connection, until it is closed."""
    # The parent process handles Ctrl-C and closes the connection.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=_event_loop) as runner:
        runner.run(_serve(connection, target, settings))


async def _serve(connection: Connection, target: str, settings: dict[str, Any]) -> None:
    await _Worker(connection, target, settings).serve()


class _Worker:
    def __init__(self, connection: Connection, target: str, settings: dict[str, Any]) -> None:
        self._connection = connection
        self._transports = [
            make_async_transport(item, settings["tls"], settings["token"], False)
            for item in parse_targets(target)
        ]
        self._turn = itertools.cycle(self._transports)
        self._commands: asyncio.Queue[Plan | None] = asyncio.Queue()
        self._counts = _WindowCounts()
        self._method = PREDICT

    async def serve(self) -> None:
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._receive)
        with contextlib.suppress(EOFError, OSError):
            while True:
                plan = await self._commands.get()
                if plan is not None:
                    await self._carry_out(plan)
        for transport in self._transports:
            await transport.close()

    def _receive(self) -> None:
        try:
            self._commands.put_nowait(self._connection.recv())
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            raise SystemExit(0) from None

    async def _carry_out(self, plan: Plan) -> None:
        """Send until the next command comes; report each window after the warm-up."""
        self._method = _method(plan.method)
        if plan.rate is not None:
            tasks = [asyncio.ensure_future(self._open_loop(plan, plan.rate))]
        else:
            tasks = [asyncio.ensure_future(self._closed_loop(plan)) for _ in range(plan.concurrency)]
        try:
            for number in itertools.count():
                self._counts = _WindowCounts()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._commands.get(), plan.window if number else plan.warm_up)
                    return
                if number:
                    self._connection.send(self._counts.close())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # No window of this plan comes after this.
            self._connection.send(None)

    async def _closed_loop(self, plan: Plan) -> None:
        while True:
            if not await self._send(plan, time.perf_counter()):
                await asyncio.sleep(_PAUSE_AFTER_ERROR)

    async def _open_loop(self, plan: Plan, rate: float) -> None:
        flights: set[asyncio.Task[bool]] = set()
        due = time.perf_counter()
        try:
            while True:
                due += random.expovariate(rate)
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                elif len(flights) % 64 == 0:
                    # The loop is late: read responses now and then.
                    await asyncio.sleep(0)
                self._counts.due += 1
                if len(flights) >= MOST_IN_FLIGHT:
                    self._counts.errors[NOT_SENT] += 1
                    continue
                flight = asyncio.ensure_future(self._send_due(plan, due))
                flights.add(flight)
                flight.add_done_callback(flights.discard)
        finally:
            for flight in flights:
                flight.cancel()

    async def _send_due(self, plan: Plan, due: float) -> bool:
        self._counts.lags.append(time.perf_counter() - due)
        return await self._send(plan, due)

    async def _send(self, plan: Plan, since: float) -> bool:
        try:
            await next(self._turn).call(self._method, plan.request, plan.timeout)
        except ServerError as error:
            self._counts.errors[error.code] += 1
            return False
        self._counts.latencies.append(time.perf_counter() - since)
        return True


def _method(path: str) -> Method:
    found = next((method for method in METHODS if method.path == path), None)
    if found is None:
        from atelier_client.open_inference import methods

        found = next(method for method in methods.METHODS if method.path == path)
    return found
