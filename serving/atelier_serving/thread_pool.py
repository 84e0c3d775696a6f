"""The threads that handle requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from queue import SimpleQueue
from typing import Any

_waited = threading.local()


class ThreadPool(Executor):
    """The part of `ThreadPoolExecutor` that grpcio's server uses. A task costs 1 us here, and 5 us there.

    Threads are started when they are needed: at most `size`, plus those of `set_extra`.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._tasks: SimpleQueue[tuple[Callable[..., object], tuple[Any, ...], _Done, float]] = SimpleQueue()
        self._started = 0
        self._extra = 0
        self._starting = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `fn(*args)` in a thread. The result has only the method `add_done_callback`."""
        done = _Done()
        self._tasks.put((fn, args, done, time.perf_counter()))
        if self._started < self._size + self._extra and not self._tasks.empty():
            self._start()
        return done

    def set_extra(self, more: int) -> None:
        """Allow `more` threads than `size`, to replace blocked threads. A later call with less ends the surplus."""
        self._extra = more
        for _ in range(min(self._tasks.qsize(), self._size + more - self._started)):
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._started < self._size + self._extra:
                self._started += 1
                name = f"{self._name}-{self._started}"
                threading.Thread(target=self._work, daemon=True, name=name).start()

    def _too_many(self) -> bool:
        with self._starting:
            too_many = self._started > self._size + self._extra
            self._started -= too_many
        return too_many

    def _work(self) -> None:
        while self._started <= self._size + self._extra or not self._too_many():
            fn, args, done, submitted = self._tasks.get()
            _waited.seconds = time.perf_counter() - submitted
            try:
                fn(*args)
            finally:
                done.finish()
                # While this thread waits for the next request, it must not keep objects of the last one alive.
                del fn, args, done


class _Done:
    __slots__ = ("_callbacks", "_finished")

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], object]] = []
        self._finished = False

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` once the task has ended."""
        self._callbacks.append(callback)
        if self._finished:
            self._call()

    def finish(self) -> None:
        self._finished = True
        self._call()

    def _call(self) -> None:
        # Two threads may get here at the same time. `pop` gives each callback to only one of them.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)


def seconds_waited() -> float:
    """How long the current task waited for this thread, in seconds."""
    return getattr(_waited, "seconds", 0.0)
