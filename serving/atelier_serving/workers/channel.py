"""The channel between the supervisor and a worker: questions and answers as lines of JSON, over a pair of sockets.

Either end asks: {"id": 1, "ask": "versions", "with": ["fashion"]}; the other answers {"id": 1, "answer": [...]} or
{"id": 1, "error": [5, "..."]}. Every question is answered in a thread of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from atelier_serving.status import Code, ServingError, of_exception

# So many small questions fit into the socket of an end that is stopped; with more, asking would have to wait for it.
_MAX_WAITING = 200
# What the other end does not take within this ends the channel.
_SEND_SECONDS = 5


class Channel:
    """One end. Thread-safe; never waits for the other end longer than it is told to."""

    def __init__(
        self, end: socket.socket, handlers: dict[str, Callable[..., Any]], on_end: Callable[[], object]
    ) -> None:
        """`handlers` by question; `on_end` is called once, when the other end has gone or either has closed."""
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
        self.handlers = handlers
        self._end = end
        self._on_end = on_end
        self._waiting: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self._ended = False
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        threading.Thread(target=self._read, daemon=True, name="channel").start()

    def ask(self, question: str, *arguments: Any) -> Future[Any]:
        """Ask; the future's exception is what the other end raised, a `ServingError`.

        It is a ConnectionError when the channel has ended, and a TimeoutError when too many questions wait.
        """
        future: Future[Any] = Future()
        with self._lock:
            if self._ended or len(self._waiting) >= _MAX_WAITING:
                future.set_exception(ConnectionError() if self._ended else TimeoutError())
                return future
            number = next(self._numbers)
            self._waiting[number] = future
        self._send({"id": number, "ask": question, "with": arguments})
        return future

    def call(self, question: str, *arguments: Any, seconds: float) -> Any:
        """Ask and wait. Raises `ServingError`: the other end's, or UNAVAILABLE when there is no answer in time."""
        try:
            return self.ask(question, *arguments).result(seconds)
        except (ConnectionError, TimeoutError):
            raise ServingError(Code.UNAVAILABLE, "The server's supervisor does not answer.") from None

    def close(self) -> None:
        """End the channel; the other end notices."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            with self._sending:
                self._end.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            # Half a message may have gone.
            self.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._end.makefile("rb") as lines:
            for line in lines:
                # A process that is killed while it writes leaves half a line.
                if line.endswith(b"\n"):
                    self._take(json.loads(line))
        with self._sending:
            self._end.close()
        with self._lock:
            self._ended = True
            left = list(self._waiting.values())
            self._waiting.clear()
        for future in left:
            future.set_exception(ConnectionError())
        self._on_end()

    def _take(self, message: dict[str, Any]) -> None:
        if "ask" in message:
            threading.Thread(target=self._reply, args=(message,), daemon=True).start()
            return
        with self._lock:
            future = self._waiting.pop(message["id"])
        if "error" in message:
            code, text = message["error"]
            future.set_exception(ServingError(Code(code), text))
        else:
            future.set_result(message["answer"])

    def _reply(self, message: dict[str, Any]) -> None:
        try:
            said: dict[str, Any] = {"answer": self.handlers[message["ask"]](*message["with"])}
        except Exception as error:
            failure = of_exception(error)
            said = {"error": [failure.code, failure.message]}
        self._send({"id": message["id"], **said})
