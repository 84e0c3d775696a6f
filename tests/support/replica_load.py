"""Load on several servers, under which no request may fail, and ports for them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from atelier_client import Client

from stack import ports
from stack.errors import UsageError
from tests.support.ports import free_port

IMAGE = np.zeros((1, 28, 28), np.uint8)


@dataclass
class Load:
    """What four threads that ask all the time have seen."""

    answers: int = 0
    failures: list[Exception] = field(default_factory=list)


@contextlib.contextmanager
def under_load(target: str) -> Iterator[Load]:
    """Ask until the block ends; at the end some were answered, and none failed."""
    seen = Load()
    stop = threading.Event()

    def ask(client: Client) -> None:
        while not stop.is_set():
            try:
                client.predict(IMAGE)
                seen.answers += 1
                # The servers that start need a share of the processors.
                stop.wait(0.005)
            except Exception as error:
                seen.failures.append(error)

    with Client(target, "fashion") as client:
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield seen
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert seen.failures == []
    assert seen.answers > 100


def room(count: int) -> int:
    """A port that is free with those above it that so many servers take."""
    for _ in range(50):
        first = free_port()
        with contextlib.suppress(UsageError):
            ports.require_room(first, first + 1, count)
            ports.require_free_for_replicas(
                ports.of_replicas(first, count), ports.of_replicas(first + 1, count)
            )
            return first
    raise AssertionError("no ports are free")
