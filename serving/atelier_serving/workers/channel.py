"""The channel between the supervisor and a worker: questions and answers as lines of JSON, over a pair of sockets.

Either end may ask {"id": 1, "ask": "versions", "with": ["fashion"]}. The other end answers {"id": 1, "answer": [...]}
or {"id": 1, "error": [5, "..."]}. Each question is answered in its own thread.
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

# When the other end does not read, so many small questions fit into the socket. With more, `ask` would block.
_MAX_WAITING = 200
# When the other end does not read a message within this time, the channel ends.
_SEND_SECONDS = 5


class Channel:
    """One end of a channel. Thread-safe. It never waits for the other end longer than its caller allows."""

    def __init__(
        self, end: socket.socket, handlers: dict[str, Callable[..., Any]], on_end: Callable[[], object]
    ) -> None:
        """`handlers` has a function for each question. `on_end` is called once, when the channel has ended."""
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
        """Ask without waiting. The exception of the future is the `ServingError` that the other end raised.

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
        """Ask and wait. Raises the `ServingError` of the other end, or UNAVAILABLE when there is no answer in time."""
        try:
            return self.ask(question, *arguments).result(seconds)
        except (ConnectionError, TimeoutError):
            raise ServingError(Code.UNAVAILABLE, "The server's supervisor does not answer.") from None

    def close(self) -> None:
        """End the channel. The other end notices it."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            with self._sending:
                self._end.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            # Perhaps only a part of the message was sent, so the channel cannot be used any more.
            self.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._end.makefile("rb") as lines:
            for line in lines:
                # The last line is incomplete when the other process was killed while it wrote.
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
