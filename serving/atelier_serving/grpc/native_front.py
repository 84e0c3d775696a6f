"""The fast front: HTTP/2 and gRPC run outside the interpreter (pygrpc-native), and small calls run in bursts.

One thread at a time has the turn: it takes the calls that have arrived. Small calls of Predict and ModelInfer it
answers itself, joined where they may be (bursts.py); all others go to the pool, as do the calls of a server with
batching. When a run takes long, the thread gives its turn away before. Health, reflection and unknown methods go to a
grpcio front behind an
abstract Unix socket.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
import threading
import time

from pygrpc_native import EVENT_CALL, NativeGrpcFront

from atelier_serving import memory
from atelier_serving.grpc.answering import (
    STOPPING,
    UNEXPECTED,
    UNREADABLE,
    Answering,
)
from atelier_serving.grpc.bursts import Burst, Bursts
from atelier_serving.grpc.connections import Connections
from atelier_serving.grpc.front import ListenSettings
from atelier_serving.grpc.grpcio_front import (
    KEEPALIVE_MS,
    KEEPALIVE_TIMEOUT_MS,
    MAX_MESSAGE,
    MAX_REQUESTS,
    MAX_STREAMS,
    GrpcioFront,
)
from atelier_serving.grpc.large_messages import LARGE, LargeMessages
from atelier_serving.grpc.native_call import NativeCall
from atelier_serving.status import Code, ServingError
from atelier_serving.thread_pool import ThreadPool, seconds_waited

_log = logging.getLogger(__name__)

# As many calls are taken at once.
_BURST = 64
# A message of more bytes runs in a thread of the pool, by itself (docs/decisions.md has the measurement).
SMALL = 64 * 1024
_IO_THREADS = 1
_TOO_MANY = ServingError(Code.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")


class NativeFront:
    """Answers calls until it is stopped. Raises `OSError` when the port is in use."""

    def __init__(
        self,
        answering: Answering,
        large: LargeMessages,
        listen: ListenSettings,
        pool: ThreadPool,
        threads: int,
        bursts: Bursts | None,
    ) -> None:
        """Up to `threads` bursts run at a time. `bursts` is None with batching, which has rules of its own."""
        self._answering = answering
        self._large = large
        self._pool = pool
        self._threads = threads
        self._bursts = bursts
        self._workers = listen.workers
        inner = f"atelier-{secrets.token_hex(16)}"
        self._grpcio = GrpcioFront(
            answering, large, dataclasses.replace(listen, address=f"unix-abstract:{inner}"), pool, None
        )
        services = answering.services.items()
        paths = {
            f"/{name}/{method.name}": method for name, methods in services for method in methods.values()
        }
        self._methods = list(paths.values())
        host, _, port = listen.address.rpartition(":")
        try:
            self._front = NativeGrpcFront(
                listen.address,
                [(path, False) for path in paths],
                io_threads=_IO_THREADS,
                call_details=True,
                keepalive_time_ms=KEEPALIVE_MS,
                keepalive_timeout_ms=KEEPALIVE_TIMEOUT_MS,
                max_concurrent_streams=MAX_STREAMS,
                # Without workers the port must not be shared: a second server would silently get half of the requests.
                reuse_port=listen.workers > 1,
            )
        except OSError:
            raise OSError(f"port {port} on {host} cannot be bound: another program has it") from None
        self._front.set_fallback(f"\0{inner}")
        self._calls: dict[int, NativeCall] = {}
        self._connections = Connections(self._front.bound_port)
        self._turn = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Accept requests."""
        self._grpcio.start()
        self._front.start()
        self._connections.start(memory.available() // self._workers)
        for number in range(self._threads):
            threading.Thread(target=self._serve, daemon=True, name=f"burst-{number + 1}").start()

    def set_ready(self, ready: bool) -> None:
        """Set the state that grpc.health.v1 reports. It tells watchers of a change."""
        self._grpcio.set_ready(ready)

    def refuse(self) -> None:
        """Report NOT_SERVING, and refuse new requests with UNAVAILABLE, so that clients send them to another server."""
        self._grpcio.refuse()

    def stop(self, seconds: float) -> None:
        """Close the port. Requests in flight have up to `seconds` to end. Call `refuse` before."""
        deadline = time.monotonic() + seconds
        while self._calls and time.monotonic() < deadline:
            time.sleep(0.01)
        self._front.close()
        self._grpcio.stop(max(0.0, deadline - time.monotonic()))

    def _serve(self) -> None:
        """Take the turn, and answer bursts."""
        while not self._closed:
            with self._turn:
                burst = self._next_long()
            if burst is not None:
                self._run(burst)
                # While this thread waits, it must keep no call alive.
                del burst

    def _next_long(self) -> Burst | None:
        """Answer bursts until one takes long, and return that one not yet run. None when the front is closed."""
        while not self._closed:
            burst = self._arrived()
            if burst is not None and burst.takes_long():
                return burst
            if burst is not None:
                self._run(burst)
            del burst
        return None

    def _run(self, burst: Burst) -> None:
        """Run a burst. A mistake of this server ends its calls and no thread."""
        try:
            burst.run()
        except Exception:
            _log.exception("internal error: a burst was not answered")
            for call in burst.calls:
                if call.id in self._calls:
                    self.respond(call, UNEXPECTED)

    def _arrived(self) -> Burst | None:
        """Wait for calls. Return those that run in a burst, and give the others to the pool."""
        events = self._front.recv_batch_details(_BURST)
        if events is None:
            self._closed = True
            return None
        small = []
        for kind, number, index, payload, _, details in events:
            if kind != EVENT_CALL:
                if call := self._calls.get(number):
                    call.active = False
                continue
            method = self._methods[index]
            call = NativeCall(number, method, payload or b"", details)
            self._connections.received(call.peer(), len(call.payload))
            if len(self._calls) >= MAX_REQUESTS:
                self._front.fail(number, int(_TOO_MANY.code), _TOO_MANY.message)
                continue
            self._calls[number] = call
            if self._bursts and method.joinable and len(call.payload) <= SMALL:
                small.append(call)
            else:
                self.later(call)
        return self._bursts.read(small, self) if small and self._bursts else None

    def later(self, call: NativeCall) -> None:
        """Answer a call in a thread of the pool."""
        self._pool.submit(self._answer, call)

    def respond(self, call: NativeCall, answer: bytes | ServingError) -> None:
        """End a call with its answer or its error."""
        if isinstance(answer, ServingError):
            self._front.fail(call.id, int(answer.code), answer.message)
        else:
            self._connections.answered(call.peer(), len(answer))
            self._front.respond(call.id, answer)
        self._calls.pop(call.id, None)

    def _answer(self, call: NativeCall) -> None:
        answer: bytes | ServingError = UNEXPECTED
        try:
            answer = self._answer_of(call)
        finally:
            call.payload = b""
            self.respond(call, answer)

    def _answer_of(self, call: NativeCall) -> bytes | ServingError:
        size = len(call.payload)
        if self._answering.closed:
            return STOPPING
        if size > MAX_MESSAGE:
            text = f"SERVER: Received message larger than max ({size} vs. {MAX_MESSAGE})"
            return ServingError(Code.RESOURCE_EXHAUSTED, text)
        if size >= LARGE:
            reserved = self._large.reserve(size)
            if isinstance(reserved, str):
                return ServingError(Code.RESOURCE_EXHAUSTED, reserved)
            call.keep(reserved)
        if call.message is None:
            try:
                call.message = call.method.request.FromString(call.payload)
            except Exception:
                return UNREADABLE
        call.payload = b""
        result = self._answering.answer(call.method, call.message, call, seconds_waited())
        call.message = None
        if isinstance(result, ServingError):
            return result
        try:
            return bytes(result.SerializeToString())
        except Exception:
            # A message of more than 2 GB. The text is grpcio's.
            return ServingError(Code.INTERNAL, "Failed to serialize response!")
