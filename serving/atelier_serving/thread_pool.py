"""The threads that answer gRPC requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from queue import SimpleQueue
from typing import Any

_waited = threading.local()


class ThreadPool(Executor):
    """As much of `ThreadPoolExecutor` as grpcio's server uses, for a fifth of its cost (5 us a task, here 1).

    Threads are started as needed, up to `size` and what was lent.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._tasks: SimpleQueue[tuple[Callable[..., object], tuple[Any, ...], _Done, float]] = SimpleQueue()
        self._started = 0
        self._lent = 0
        self._starting = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Have a thread call `fn(*args)`; what is returned knows `add_done_callback` only."""
        done = _Done()
        self._tasks.put((fn, args, done, time.perf_counter()))
        if self._started < self._size + self._lent and not self._tasks.empty():
            self._start()
        return done

    def lend(self, more: int) -> None:
        """Have `more` threads than `size`, in place of as many that are held up; fewer again once they are free."""
        self._lent = more
        for _ in range(min(self._tasks.qsize(), self._size + more - self._started)):
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._started < self._size + self._lent:
                self._started += 1
                name = f"{self._name}-{self._started}"
                threading.Thread(target=self._work, daemon=True, name=name).start()

    def _too_many(self) -> bool:
        with self._starting:
            too_many = self._started > self._size + self._lent
            self._started -= too_many
        return too_many

    def _work(self) -> None:
        while self._started <= self._size + self._lent or not self._too_many():
            fn, args, done, submitted = self._tasks.get()
            _waited.seconds = time.perf_counter() - submitted
            try:
                fn(*args)
            finally:
                done.finish()
                # Nothing of a request may stay alive while this thread waits for the next one.
                del fn, args, done


class _Done:
    __slots__ = ("_callbacks", "_finished")

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], object]] = []
        self._finished = False

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call `callback` once, when the task has ended."""
        self._callbacks.append(callback)
        if self._finished:
            self._call()

    def finish(self) -> None:
        self._finished = True
        self._call()

    def _call(self) -> None:
        # Both ends may come here at the same time; a list's pop gives the callback to one of them.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)


def seconds_waited() -> float:
    """How long the task that this thread runs waited for a thread."""
    return getattr(_waited, "seconds", 0.0)
