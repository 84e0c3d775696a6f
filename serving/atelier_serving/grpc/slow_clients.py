"""gRPC calls that wait for their client: the client has not sent its whole message, or has not taken its answer.

Such a call holds memory for as long as the client likes; a message may have 2 GB. It may also hold a thread, because
grpcio's server reads a message in the thread that will answer it. So the pool gets a new thread for each thread that
waits for a message. When the waiting calls hold more than a quarter of the free memory, the server ends the calls that
have waited longest.

gRPC keeps an answer in memory until the client takes it off its socket, also after the call has ended. That memory is
free only when the connection ends (keepalive ends it). So the server refuses further calls of this connection until it
has memory again.
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

# A call that waits for less time than this is not slow.
_PATIENCE_SECONDS = 0.1
_TICK_SECONDS = 0.1
_END_SECONDS = 1.0
# Each of these messages occupies a thread.
MAX_UNREAD_MESSAGES = 1000
_MANY = "Too many messages are arriving slowly, and this one for longest."
_MEMORY = "The server is short of memory, and this call has waited for its client for longest."
_local = threading.local()


class _Waiting:
    """A call. `since` is when it began to wait for its client (time.monotonic()); None while the server works on it."""

    __slots__ = ("call", "received", "since")

    def __init__(self, call: Any) -> None:
        self.call = call
        self.received = False
        self.since: float | None = time.monotonic()

    def peer(self) -> str:
        """The address of the client, in the form that a gRPC context gives."""
        peer: bytes = self.call.peer()
        return peer.decode()

    def end(self, reason: str) -> None:
        """End the call with RESOURCE_EXHAUSTED and the reason, and free the memory that it holds."""
        # On the server, `cancel` sends this status to the client (grpc_call_cancel_with_status).
        self.call.cancel(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], reason)


class SlowClients(Executor):
    """The executor of grpcio's server. It gives calls to the pool, and it knows which calls wait for their clients."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._calls: set[_Waiting] = set()
        self._refused: frozenset[str] = frozenset()

    def start(self, free: int) -> None:
        """Start the thread that watches the calls. Waiting calls may hold a quarter of the `free` bytes."""
        threading.Thread(target=self._watch, args=(free // 4,), daemon=True, name="slow-clients").start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Let a thread of the pool call `fn(*args)`. grpcio's server passes the call's event as second argument."""
        return self._pool.submit(self._run, fn, args)

    def received(self, context: grpc.ServicerContext | None) -> None:
        """Note that the call of this thread has received its message.

        `context` is None for a stream: a stream may wait as long as it likes, so it is no longer watched.
        """
        waiting = getattr(_local, "waiting", None)
        if waiting is None:
            return
        waiting.received = True
        waiting.since = None

        def forget() -> None:
            # grpcio calls this function when the client has taken the whole answer.
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
            # `list` copies the set in one step, so other threads cannot change it meanwhile.
            calls = list(self._calls)
            found = [(since, call) for call in calls if (since := call.since) is not None and since < before]
            slow = [call for _, call in sorted(found, key=lambda pair: pair[0])]
            unread = [call for call in slow if not call.received]
            self._pool.set_extra(min(len(unread), MAX_UNREAD_MESSAGES))
            for call in unread[: max(0, len(unread) - MAX_UNREAD_MESSAGES)]:
                call.end(_MANY)
            if slow and memory.resident() - quiet > budget:
                # grpcio does not tell how much memory a call holds. So the older half of the calls is ended; if that is
                # not enough, the next round ends half of the rest.
                oldest = slow[: len(slow) // 2 + 1]
                self._refused |= {call.peer() for call in oldest}
                for call in oldest:
                    call.end(_MEMORY)
                self._await_end(oldest)
                memory.trim()
            else:
                self._refused = frozenset()
            if not slow:
                quiet = memory.resident()

    def _await_end(self, calls: list[_Waiting]) -> None:
        """Wait until these calls have ended: only then is their memory free, and no other call must end for it."""
        deadline = time.monotonic() + _END_SECONDS
        while not self._calls.isdisjoint(calls) and time.monotonic() < deadline:
            time.sleep(0.01)
