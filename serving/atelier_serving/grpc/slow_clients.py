"""gRPC calls that wait for their client: for the rest of a message, or for an answer to be taken.

Each holds memory for as long as the client likes (a message may have 2 GB), and grpcio's server reads a message in the
thread that is to answer it. So threads that wait for a message are replaced, and when the calls that wait hold more
than a quarter of the free memory, those that have waited longest are ended.

What is already on its way to a client that takes nothing off its socket goes only with the connection (keepalive ends
it): until memory is there again, further calls of the same connection are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import grpc

from atelier_serving import memory
from atelier_serving.thread_pool import ThreadPool

# Up to here nothing is unusual.
_PATIENCE_SECONDS = 0.1
_TICK_SECONDS = 0.1
_END_SECONDS = 1.0
# Each has a thread.
MAX_UNREAD_MESSAGES = 1000
_MANY = "Too many messages are arriving slowly, and this one for longest."
_MEMORY = "The server is short of memory, and this call has waited for its client for longest."
_local = threading.local()


class _Waiting:
    """A call, and since when (time.monotonic()) it has waited for its client; None while the server works on it."""

    __slots__ = ("call", "received", "since")

    def __init__(self, call: Any) -> None:
        self.call = call
        self.received = False
        self.since: float | None = time.monotonic()

    def peer(self) -> str:
        """The connection's other end, as contexts name it."""
        peer: bytes = self.call.peer()
        return peer.decode()

    def end(self, reason: str) -> None:
        """Give the client RESOURCE_EXHAUSTED with the reason, and free what the call holds."""
        # From the server's side this sends a status: grpc_call_cancel_with_status.
        self.call.cancel(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], reason)


class SlowClients(Executor):
    """grpcio's executor: gives calls to the pool, and knows which of them wait for their clients."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._calls: set[_Waiting] = set()
        self._refused: frozenset[str] = frozenset()

    def start(self, free: int) -> None:
        """Begin to watch. Calls that wait may have a quarter of the `free` bytes."""
        threading.Thread(target=self._watch, args=(free // 4,), daemon=True, name="slow-clients").start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Have a thread call `fn(*args)`: what grpcio's server asks for, with the call's event in second place."""
        return self._pool.submit(self._run, fn, args)

    def received(self, context: grpc.ServicerContext | None) -> None:
        """This thread's call has its message; a stream, which may wait as long as it likes, is not watched: None."""
        waiting = getattr(_local, "waiting", None)
        if waiting is None:
            return
        waiting.received = True
        waiting.since = None

        def forget() -> None:
            # grpcio calls this once the client has everything.
            self._calls.discard(waiting)

        if context is None or not context.add_callback(forget):
            forget()
        elif self._refused and context.peer() in self._refused:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, _MEMORY)

    def _run(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        _local.waiting = waiting = _Waiting(args[1].call)
        self._calls.add(waiting)
        try:
            fn(*args)
        finally:
            _local.waiting = None
            if waiting.received:
                waiting.since = time.monotonic()
            else:
                self._calls.discard(waiting)

    def _watch(self, budget: int) -> None:
        quiet = memory.resident()
        while True:
            time.sleep(_TICK_SECONDS)
            before = time.monotonic() - _PATIENCE_SECONDS
            # A set is copied in one step, whatever other threads do.
            calls = list(self._calls)
            found = [(since, call) for call in calls if (since := call.since) is not None and since < before]
            slow = [call for _, call in sorted(found, key=lambda pair: pair[0])]
            unread = [call for call in slow if not call.received]
            self._pool.lend(min(len(unread), MAX_UNREAD_MESSAGES))
            for call in unread[: max(0, len(unread) - MAX_UNREAD_MESSAGES)]:
                call.end(_MANY)
            if slow and memory.resident() - quiet > budget:
                # How much each holds is not to be known; half of them at a time ends soon.
                oldest = slow[: len(slow) // 2 + 1]
                self._refused |= {call.peer() for call in oldest}
                for call in oldest:
                    call.end(_MEMORY)
                self._await_end(oldest)
                memory.give_back()
            else:
                self._refused = frozenset()
            if not slow:
                quiet = memory.resident()

    def _await_end(self, calls: list[_Waiting]) -> None:
        """Until they are gone what they hold is not free, and no further calls have to go for it."""
        deadline = time.monotonic() + _END_SECONDS
        while not self._calls.isdisjoint(calls) and time.monotonic() < deadline:
            time.sleep(0.01)
